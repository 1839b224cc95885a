"""What goes wrong on the way to the model: a pure function from the seed and a request's number."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

SHARE = 0.04  # of the requests


@dataclass(frozen=True)
class Fault:
    """`status`: an HTTP error in place of an answer. `cut`: the share of the stream after which it ends (0:
    it does not); `reset`: by an error of the connection. `hang`: seconds before the first byte."""

    name: str = ""
    status: int = 0
    retry_after: int = 0  # seconds
    cut: float = 0.0
    reset: bool = False
    hang: float = 0.0


CALM = Fault()
FAULTS = (
    Fault("429, Retry-After", status=429, retry_after=2),
    Fault("429", status=429),
    Fault("500", status=500),
    Fault("503", status=503),
    Fault("cut early", cut=0.3),
    Fault("cut late", cut=0.8),
    Fault("cut early, reset", cut=0.3, reset=True),
    Fault("cut late, reset", cut=0.8, reset=True),
    Fault("hang", hang=5.0),
)


def weather(seed: int, number: int, share: float = SHARE) -> Fault:
    """The fault of the `number`-th request, CALM as a rule."""
    dice = Random(f"{seed}/weather/{number}")
    return dice.choice(FAULTS) if dice.random() < share else CALM
