"""Where the incumbent truly stands, when its runs and the candidates' share seeds.

A score is  level of the commit + luck of the seed + luck of the run.  What a seed (data order, initialization)
does to one commit it does in part to another, so a candidate that runs on a seed of the incumbent's is compared
more sharply than on a fresh one: on two CPU cores, `small` profile, the difference of 38 edits from the baseline
had a standard deviation of 0.013 on the same seed, where that of one run was 0.026 over seeds
(benchmarks/RESULTS.md). How much of the luck is the seed's is measured, see `noise`; where none of it is, all
this comes to plain means.

The belief is one normal distribution over all of these, kept exactly (a Kalman filter without dynamics). A
candidate that is discarded tells of the incumbent too: were only the keeps to count, which come after low
scores, every level would seem lower than it is. Nothing here is larger than a few numbers, so it is written out
without numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .belief import Normal


@dataclass(frozen=True)
class Score:
    """One finished run: val_bpb and its seed."""

    seed: int
    val_bpb: float


# Places in the vector of what is believed; from SEEDS on, the luck of each seed.
LEVEL, BASELINE, ASIDE, SEEDS = 0, 1, 2, 3


@dataclass(frozen=True)
class Levels:
    """Belief about the incumbent's level, the baseline's, one that is set aside, and the luck of each of `seeds`:
    `mean`, `cov`ariance. `shared`, `own`: variances of a score that come from the seed and from the run (bpb²)."""

    shared: float
    own: float
    seeds: tuple[int, ...]
    mean: tuple[float, ...]
    cov: tuple[tuple[float, ...], ...]

    @property
    def level(self) -> Normal:
        """The incumbent's true val_bpb, over seeds."""
        return Normal(self.mean[LEVEL], math.sqrt(max(self.cov[LEVEL][LEVEL], 0.0)))

    @property
    def gain(self) -> Normal:
        """How much lower the level is than the baseline's. What later runs tell of the one, they tell of the
        other."""
        variance = self.cov[LEVEL][LEVEL] - 2 * self.cov[LEVEL][BASELINE] + self.cov[BASELINE][BASELINE]
        return Normal(self.mean[BASELINE] - self.mean[LEVEL], math.sqrt(max(variance, 0.0)))

    def seen(self, score: Score) -> Levels:
        """After a run of the incumbent."""
        known = self._with_seed(score.seed)
        reach = known._reach_of(score.seed)  # covariance of everything with what a run on this seed shows
        expected, variance = known._expected(score.seed)
        surprise = (score.val_bpb - expected) / (variance + self.own)
        whole = variance + self.own
        mean = tuple([m + r * surprise for m, r in zip(known.mean, reach, strict=True)])
        cov = tuple(
            [
                tuple([c - ri * rj / whole for c, rj in zip(row, reach, strict=True)])
                for row, ri in zip(known.cov, reach, strict=True)
            ]
        )
        return Levels(self.shared, self.own, known.seeds, mean, cov)

    def after(self, scores: Sequence[Score], gain: Normal, kept: bool) -> Levels:
        """After runs of a candidate whose gain was believed to be `gain` before them; `kept`: it is the incumbent
        now."""
        known = self._rearranged(ASIDE, LEVEL)
        mean = (known.mean[LEVEL] - gain.mean, *known.mean[1:])
        cov = ((known.cov[LEVEL][LEVEL] + gain.sd**2, *known.cov[LEVEL][1:]), *known.cov[1:])
        known = Levels(self.shared, self.own, known.seeds, mean, cov)
        for score in scores:
            known = known.seen(score)
        return known if kept else known._rearranged(LEVEL, ASIDE)

    def _rearranged(self, to: int, source: int) -> Levels:
        """With the level at the place `source` at the place `to` as well."""
        mean = (*self.mean[:to], self.mean[source], *self.mean[to + 1 :])
        rows = [(*row[:to], row[source], *row[to + 1 :]) for row in self.cov]
        rows[to] = rows[source]
        return Levels(self.shared, self.own, self.seeds, mean, tuple(rows))

    def _with_seed(self, seed: int) -> Levels:
        """The same, with a place for this seed's luck."""
        if seed in self.seeds or not self.shared:
            return self
        rows = [(*row, 0.0) for row in self.cov]
        last = (*(0.0 for _ in self.mean), self.shared)
        return replace(self, seeds=(*self.seeds, seed), mean=(*self.mean, 0.0), cov=(*rows, last))

    def _reach_of(self, seed: int) -> tuple[float, ...]:
        if not self.shared:
            return self.cov[LEVEL]
        at = SEEDS + self.seeds.index(seed)
        return tuple([row[LEVEL] + row[at] for row in self.cov])

    def _expected(self, seed: int) -> tuple[float, float]:
        """Mean and variance of level and luck together."""
        if not self.shared:
            return self.mean[LEVEL], self.cov[LEVEL][LEVEL]
        at, reach = SEEDS + self.seeds.index(seed), self._reach_of(seed)
        return self.mean[LEVEL] + self.mean[at], reach[LEVEL] + reach[at]

    def gain_of(self, scores: Sequence[Score]) -> tuple[float, float]:
        """The gain (bpb) that scores of another commit show, and its variance: generalized least squares."""
        known = self
        for score in scores:
            known = known._with_seed(score.seed)
        shown = [known._expected(score.seed)[0] - score.val_bpb for score in scores]
        cov = []
        for at, one in enumerate(scores):
            reach = known._reach_of(one.seed)
            row = [reach[LEVEL]] * len(scores)
            if self.shared:
                row = [reach[LEVEL] + reach[SEEDS + known.seeds.index(two.seed)] for two in scores]
            row[at] += self.own
            cov.append(row)
        weights = _solve(cov, [1.0] * len(scores))
        total = math.fsum(weights)
        return math.fsum(w * y for w, y in zip(weights, shown, strict=True)) / total, 1.0 / total


def begin(scores: Sequence[Score], sigma: float, pairing: float) -> Levels:
    """Of a baseline of which nothing is known but its `scores`. `sigma`: noise of one run (bpb); `pairing`: the
    share of its variance that the seed makes, 0 to below 1."""
    start = math.fsum(score.val_bpb for score in scores) / len(scores)
    wide = (100 * sigma) ** 2  # says nothing beside any score
    levels = Levels(pairing * sigma**2, (1 - pairing) * sigma**2, (), (start,) * SEEDS, ((wide,) * SEEDS,) * SEEDS)
    for score in scores:
        levels = levels.seen(score)
    return levels


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """x with matrix x = right; the matrix is positive definite and small."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        for j in range(i + 1, size):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [b - factor * a for a, b in zip(rows[i], rows[j], strict=True)]
    found = [0.0] * size
    for i in reversed(range(size)):
        rest = math.fsum(rows[i][j] * found[j] for j in range(i + 1, size))
        found[i] = (rows[i][size] - rest) / rows[i][i]
    return found
