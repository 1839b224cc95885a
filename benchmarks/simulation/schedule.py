"""When what befalls the night: a pure function from its length and its seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

KILL, REBOOT, STOP, STEER, OUTAGE = "kill", "reboot", "stop", "steer", "outage"
LONG = 50  # experiments, from which a night is a long one
A_SPAN = 7.0  # seconds: about an experiment, so that a blow may fall anywhere in it


@dataclass(frozen=True)
class Blow:
    """`what` happens `delay` seconds after `after` experiments are decided. `seconds`: of an outage."""

    what: str
    after: int
    delay: float
    seconds: float = 0.0


def plan(experiments: int, seed: int) -> list[Blow]:
    """The night's blows in their order.

    A SIGKILL of the client for every eighth experiment, one at least. Two outages, the second longer than the
    client's own patience where the night is long. A STOP in the middle, one change of program.md, a reboot or two.
    """
    dice = Random(f"{seed}/schedule")
    long = experiments >= LONG
    kinds = [(KILL, 0.0)] * max(1, round(experiments / 8)) + [(REBOOT, 0.0)] * (2 if long else 1)
    kinds += [(OUTAGE, 20.0), (OUTAGE, 90.0)] if long else [(OUTAGE, 4.0), (OUTAGE, 10.0)]
    last = max(experiments - 2 - experiments // 10, 0)  # so that each has time to strike
    blows = [Blow(what, dice.randint(0, last), dice.uniform(0, A_SPAN), seconds) for what, seconds in kinds]
    blows.append(Blow(STOP, experiments // 2, dice.uniform(0, A_SPAN)))
    blows.append(Blow(STEER, experiments // 3, dice.uniform(0, A_SPAN)))
    return sorted(blows, key=lambda blow: (blow.after, blow.delay))
