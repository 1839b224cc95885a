"""How much a score moves by the seed alone: the noise that every verdict is measured against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PRIOR_FREEDOM = 4.0  # the prior weighs as much as four repeats: two or three runs tell little of a spread
SIGMA_FLOOR = 1e-4  # bpb. The same seed repeats to about 1e-4, so no noise below it can be believed


@dataclass(frozen=True)
class Noise:
    """`sigma`: standard deviation of one run's val_bpb (bpb). `runs`: runs of repeated commits behind it."""

    sigma: float
    runs: int


def estimate(groups: Sequence[Sequence[float]], prior: float) -> Noise:
    """Noise from repeats, `groups` holding the scores of each commit, in any order.

    The pooled variance of the groups about their own means, shrunk towards `prior` (bpb, from the
    preparation): (4 prior² + sum of squares) / (4 + degrees of freedom). Equal digits count once: a seed that
    was used twice says nothing about the noise.
    """
    squares, freedom, runs = 0.0, 0, 0
    for group in groups:
        scores = sorted({score for score in group if math.isfinite(score)})
        if len(scores) < 2:
            continue
        mean = math.fsum(scores) / len(scores)
        squares += math.fsum((score - mean) ** 2 for score in scores)
        freedom += len(scores) - 1
        runs += len(scores)
    prior = max(prior, SIGMA_FLOOR) if math.isfinite(prior) else SIGMA_FLOOR
    variance = (PRIOR_FREEDOM * prior**2 + squares) / (PRIOR_FREEDOM + freedom)
    return Noise(max(math.sqrt(variance), SIGMA_FLOOR), runs)
