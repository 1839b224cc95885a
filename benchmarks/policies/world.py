"""What is drawn: the ideas of a campaign, what a run of one measures, and the curve on the way there.

A gain is in bpb, positive is better. Everything follows from the world's seed and the number of the idea or run,
so policies that are compared meet the same ideas and, as far as they run the same things, the same luck.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from harness.racing import SHARES

OVERHEAD = 0.08  # of a run: starting, compiling, scoring. A run that is stopped early does not pay the scoring
OVERHEAD_STOPPED = 0.05
NULL_SD = 0.00007  # bpb, of what a change does that should do nothing
START = 1.0  # val_bpb of the baseline


@dataclass(frozen=True)
class Ideas:
    """How good ideas are. Sizes are lognormal; the share of gains halves every `fade` ideas; what is left of a
    gain shrinks by `overlap` of all that was gained already (drift: what one keep brought, the next cannot
    bring)."""

    name: str
    source: str
    gains: float  # share of ideas that truly gain, at the beginning
    gain: float  # their median, bpb
    gain_spread: float  # standard deviation of the logarithm
    nulls: float  # share that does nothing, but for NULL_SD
    loss: float  # median of the losses, bpb
    loss_spread: float
    fade: float
    drift: float  # standard deviation of the share by which a gain changes with each other keep

    def worth(self, count: int) -> float:
        """What the first `count` ideas gain on average, were each that gains kept and no other."""
        each = self.gain * math.exp(self.gain_spread**2 / 2)
        good = self.gains * math.fsum(math.exp(-math.log(2) * number / self.fade) for number in range(count))
        return good * each + count * self.nulls * NULL_SD / math.sqrt(2 * math.pi)


# The first two are what constants were tuned on; the others were looked at afterwards only.
MAR8 = Ideas(
    "mar8",
    "karpathy/autoresearch discussion 43: 125 experiments, 22 keeps (about half noise, median 0.00046, three "
    "with 69 % of 0.028), losers to 0.011",
    gains=0.15, gain=0.0006, gain_spread=1.1, nulls=0.20, loss=0.0020, loss_spread=1.2, fade=80, drift=0.2,
)  # fmt: skip
LEAN = Ideas(
    "lean",
    "a pessimistic mar8: half the gains, and smaller; NanoGPT-Bench (agents recover under 10 % of human progress)",
    gains=0.08, gain=0.0004, gain_spread=1.0, nulls=0.25, loss=0.0020, loss_spread=1.2, fade=60, drift=0.3,
)  # fmt: skip
RICH = Ideas(
    "rich",
    "an untuned start: autoresearch@home (1,045 experiments, 0.9949 to 0.9631), novix (1.044 to 0.977)",
    gains=0.25, gain=0.0008, gain_spread=1.0, nulls=0.15, loss=0.0025, loss_spread=1.2, fade=120, drift=0.2,
)  # fmt: skip
NUDGES = Ideas(
    "nudges",
    "an agent that moves constants a little (Prime Intellect: 'grinding one surface'): small gains, small losses",
    gains=0.25, gain=0.0003, gain_spread=0.8, nulls=0.25, loss=0.0006, loss_spread=1.0, fade=100, drift=0.2,
)  # fmt: skip
TUNED_ON, REPORTED_ON = (MAR8, LEAN), (RICH, NUDGES)
ALL = TUNED_ON + REPORTED_ON


@dataclass(frozen=True)
class Curves:
    """How well a curve foretells the end, at share s: off by (own sigma)² (1 - s) of noise and, for each idea,
    (mismatch |gain|)² (1 - s)²: what is behind at half of the budget may be so because its learning is later."""

    name: str
    own: float
    mismatch: float


CURVES = (Curves("good", 1.0, 0.5), Curves("poor", 2.0, 1.2))


@dataclass
class World:
    """One campaign's luck. `noise`: sigma of a run (bpb); `shared`: the share of its variance that the seed
    makes."""

    ideas: Ideas
    curves: Curves
    noise: float
    seed: int
    shared: float = 0.0

    def __post_init__(self) -> None:
        self.luck = random.Random(f"luck/{self.seed}")
        self.lucks: dict[int, float] = {}
        self._drawn = random.Random(f"ideas/{self.seed}")
        self._ideas: list[tuple[float, float]] = []  # true gain, luck of the first run

    def idea(self, number: int) -> float:
        """The true gain of idea `number`."""
        while len(self._ideas) <= number:
            self._ideas.append((self._draw(len(self._ideas)), self._drawn.gauss(0, 1)))
        return self._ideas[number][0]

    def _draw(self, number: int) -> float:
        drawn, its = self._drawn, self.ideas
        kind = drawn.random()
        if kind < its.nulls:
            return drawn.gauss(0, NULL_SD)
        if kind < its.nulls + its.gains * 0.5 ** (number / its.fade):
            return its.gain * math.exp(its.gain_spread * drawn.gauss(0, 1))
        return -its.loss * math.exp(its.loss_spread * drawn.gauss(0, 1))

    def worth(self, count: int) -> float:
        """What the first `count` ideas gain, were each that gains kept and no other."""
        return sum(max(self.idea(number), 0.0) for number in range(count))

    def drifted(self, gain: float) -> float:
        """What a gain is once something else was kept."""
        return gain * (1 + self.ideas.drift * self.luck.gauss(0, 1))

    def score(self, level: float, seed: int, first_of: int | None = None) -> float:
        """What a run of a commit at the true `level` measures; `first_of`: it is the first run of this idea, which
        has the same luck whoever runs it."""
        if seed not in self.lucks:
            self.lucks[seed] = self.luck.gauss(0, 1)
        own, shared = math.sqrt(1 - self.shared), math.sqrt(self.shared)
        mine = self.luck.gauss(0, 1) if first_of is None else self._ideas[first_of][1]
        return level + self.noise * (own * mine + shared * self.lucks[seed])

    def forecasts(self, gain: float, measured: float) -> tuple[float, ...]:
        """What the curve foretells at each share, of a run with this true gain that will measure the gain
        `measured`."""
        late = self.luck.gauss(0, 1)
        told = []
        for share in SHARES:
            rest = 1 - share
            noise = self.curves.own * self.noise * math.sqrt(rest) * self.luck.gauss(0, 1)
            told.append(measured + noise + self.curves.mismatch * abs(gain) * rest * late)
        return tuple(told)
