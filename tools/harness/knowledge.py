"""What a campaign knows when it comes to a verdict: the incumbent's level, what ideas are worth, errors spent.

Everything is a fold over the campaign's experiments in their order, so it can be made again from the records, and
benchmarks/policy.py simulates it with the very same functions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from . import choice, effects, levels
from .belief import Mixture, Normal
from .effects import Effects, Measured
from .levels import Levels, Score

# Share of what a new idea is expected to gain that a run of it earns: not every gain is found by its run.
FOUND = 0.3


@dataclass(frozen=True)
class Knowledge:
    """Immutable; each event makes a new one.

    `incumbent`: belief about its true val_bpb, and the luck of each seed. `ran`: the seeds that it ran on itself.
    `effects`: what ideas are worth. `errors`: of each keep so far, the probability that it gains nothing.
    """

    sigma: float  # noise of one run, bpb
    incumbent: Levels
    ran: frozenset[int]
    effects: Effects
    errors: tuple[float, ...] = ()

    @property
    def level(self) -> Normal:
        """The incumbent's true val_bpb, as believed."""
        return self.incumbent.level

    @functools.cached_property
    def prior(self) -> Mixture:
        """The belief about an idea's gain before it is run."""
        return self.effects.prior

    @functools.cached_property
    def run_value(self) -> float:
        """bpb that a run of a new idea is expected to earn: what the time of a confirmation is worth elsewhere."""
        return FOUND * self.prior.surplus(0.0)

    @functools.cached_property
    def allowed(self) -> float:
        """The most that the next keep may err."""
        return choice.allowance(self.errors)

    @property
    def gain(self) -> Normal:
        """The campaign's gain so far (bpb)."""
        return self.incumbent.gain

    def measured(self, scores: Sequence[Score]) -> Measured:
        """The gain that a candidate's scores show against the incumbent."""
        return Measured(*self.incumbent.gain_of(scores))

    # -- events ---------------------------------------------------------------------------------------

    def ran_again(self, score: Score) -> Knowledge:
        """After one more run of the incumbent."""
        return replace(self, incumbent=self.incumbent.seen(score), ran=self.ran | {score.seed})

    def foretold(self, told: Measured, seed: int | None = None) -> Knowledge:
        """After an idea whose run on `seed` was stopped, when its curve foretold this gain. The variance is of
        what the forecast and the luck of the run are off by, without the level of the incumbent.

        It tells of that level as well. Runs that go to their end have the better luck, since a curve shows it:
        learnt from them alone, the level would seem lower than it is, and every gain smaller. The seed's luck must
        be in it as it is in the others: else levels and lucks drift apart, each without an end.
        """
        shared = 0.0 if seed is None else self.incumbent.shared
        loose = replace(self.incumbent, shared=shared, own=max(told.variance - shared, self.incumbent.own))
        at = seed or 0
        score = Score(at, loose.gain_of([Score(at, 0.0)])[0] - told.gain)  # that would have shown this gain
        shown = Measured(*loose.gain_of([score]))
        after = loose.after([score], _explained(self.prior, shown)[1], False)
        incumbent = replace(after, shared=self.incumbent.shared, own=self.incumbent.own)
        return replace(self, incumbent=incumbent, effects=self.effects.with_one(shown))

    def tried(self, scores: Sequence[Score], prior: Mixture, kept: bool, fresh: bool, counts: bool) -> Knowledge:
        """After a candidate with these scores, of which `prior` was believed before them, was kept or discarded.

        Its level is not the mean of its scores: a candidate is kept because they were low, and the part of that
        which was luck (the winner's curse) is taken off by the prior. `fresh`: the idea was never measured before.
        A simplification was not kept for a gain: then its error does not count.
        """
        shown = self.measured(scores)
        after, before = _explained(prior, shown)
        return replace(
            self,
            incumbent=self.incumbent.after(scores, before, kept),
            ran=frozenset(score.seed for score in scores) if kept else self.ran,
            effects=self.effects.with_one(shown) if fresh else self.effects,
            errors=(*self.errors, max(1.0 - after.above(0.0), 0.0)) if kept and counts else self.errors,
        )


def _explained(prior: Mixture, shown: Measured) -> tuple[Mixture, Normal]:
    """What is believed of a gain after it was measured, and the normal prior that comes to the same mean and
    spread: with it one step takes in what the scores tell of the gain and of the incumbent's level."""
    after = prior.given(shown.gain, shown.variance)
    precision = max(1 / after.sd**2 - 1 / shown.variance, 1e-3 / shown.variance)
    mean = (after.mean * (precision + 1 / shown.variance) - shown.gain / shown.variance) / precision
    return after, Normal(mean, 1 / math.sqrt(precision))


def begin(scores: Sequence[Score], sigma: float, pairing: float, assumed: float) -> Knowledge:
    """A campaign with its baseline's scores. `assumed`: the noise of one run that its preparation came with."""
    known = levels.begin(scores, sigma, pairing)
    ran = frozenset(score.seed for score in scores)
    return Knowledge(sigma, known, ran, effects.untried(assumed))


@dataclass(frozen=True)
class Next:
    """The run that tells most: of which `side`, candidate or incumbent, on which `seed` (None: a fresh one).
    `variance`: of what is known of the gain after it (bpb²)."""

    side: str
    seed: int | None
    variance: float = field(default=math.nan, compare=False, repr=False)

    def noise(self, variance: float) -> float:
        """Variance of the noise (bpb²) of what this run adds, where the gain is known with this `variance`: little
        on a seed that both ran on, much where it is the other side that is not known."""
        return variance * self.variance / max(variance - self.variance, 1e-3 * variance)


def next_run(known: Knowledge, scores: Sequence[Score], first: bool = False) -> Next:
    """The run after which the gain of a candidate with these `scores` is known best; `first`: it has none yet.

    A seed that the incumbent ran on is compared most sharply where seeds matter. The same commit never runs twice
    on one seed: that would repeat the digits, and is no evidence.
    """
    used = {score.seed for score in scores}
    fresh = min((*known.incumbent.seeds, *used, 0)) - 1  # stands for a seed that nobody used
    # Of equally good ones the first: the candidate before the incumbent, an older seed before a newer one.
    options: list[Next] = []
    for seed in (*known.incumbent.seeds, fresh):
        if seed not in used:
            variance = known.incumbent.gain_of([*scores, Score(seed, known.level.mean)])[1]
            options.append(Next("candidate", None if seed == fresh else seed, variance))
    for seed in () if first else (*sorted(used), fresh):
        if seed not in known.ran:
            seen = known.incumbent.seen(Score(seed, known.level.mean))
            options.append(Next("incumbent", None if seed == fresh else seed, seen.gain_of(scores)[1]))
    least = min(option.variance for option in options)
    return next(option for option in options if option.variance <= least * (1 + 1e-6))


def retest_seed(known: Knowledge) -> int | None:
    """Where a provisional keep, which is the incumbent in `known`, runs once more: on a seed of its predecessors'
    where there is one that it did not run on itself."""
    return min((seed for seed in known.incumbent.seeds if seed not in known.ran), default=None)
