"""How much a score moves by the seed alone: the noise that every verdict is measured against.

A training that spikes ends far from its commit's others, and squares take such a run for the noise of all: of the
16 runs in tests/verdict/test_noise.py one alone doubles the standard deviation. So the estimate is Huber's
proposal 2 (Robust Estimation of a Location Parameter, Annals of Mathematical Statistics 35, 1964), put on the
differences between two runs of one commit, where no centre must be guessed (as in Croux, Rousseeuw and Hossjer,
Generalized S-Estimators, JASA 89, 1994): squares that are larger than CLIP² variances count as that much, and what
is lost by it in normal noise is given back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PRIOR_FREEDOM = 4.0  # the prior weighs as much as four repeats: two or three runs tell little of a spread
# Of these, when it is asked what is far off. Half, since a prior from another budget may be wrong by much: one far
# pair is then bounded, at four priors, but two of them already have their way against it.
CLIP_FREEDOM = 2.0
CLIP = 1.5  # standard deviations. Lower bounds a spike earlier, and takes more of normal noise for one
SIGMA_FLOOR = 1e-4  # bpb. The same seed repeats to about 1e-4, so no noise below it can be believed
PAIRING_PRIOR = 0.25
THREE_QUARTERS = 1.1503493803760079  # standard deviations within which three quarters of a normal one lie
PAIRING_FROM = 8  # candidates whose differences tell how far one may stray
PAIRING_MOST = 0.95  # of the variance: a change is never without any luck of its own
TENTH = 1.2815515655446004  # standard deviations above which a tenth of a normal distribution lies


def _kept() -> float:
    """E[min(z², CLIP²)] of a standard normal z: the share of its variance that clipping leaves."""
    tail = math.erfc(CLIP / math.sqrt(2))  # both sides
    density = math.exp(-(CLIP**2) / 2) / math.sqrt(2 * math.pi)
    return 1 - tail - 2 * CLIP * density + CLIP**2 * tail


KEPT = _kept()


@dataclass(frozen=True)
class Noise:
    """`sigma`: standard deviation of one run's val_bpb (bpb). `runs`: runs of repeated commits behind it.

    It lies between `low` and `high` (bpb) with a probability of 80 %.
    """

    sigma: float
    runs: int
    low: float
    high: float
    freedom: float  # degrees of freedom, the prior's among them

    @property
    def cautious(self) -> float:
        """What to decide with: the mean of what sigma may be, which is above the best guess while little is known
        (of a scaled inverse chi distribution; right to 1 % from 4 degrees of freedom on)."""
        return self.sigma * math.sqrt(self.freedom / (self.freedom - 1.5))


def estimate(groups: Sequence[Sequence[float]], prior: float) -> Noise:
    """Noise from repeats, `groups` holding the scores of each commit, in any order.

    The spread within the groups, shrunk towards `prior` (bpb, from the preparation). Equal digits count once: a
    seed that was used twice says nothing about the noise.
    """
    distinct = [sorted({score for score in group if math.isfinite(score)}) for group in groups]
    prior = max(prior, SIGMA_FLOOR) if math.isfinite(prior) else SIGMA_FLOOR
    sigma, freedom = pooled(distinct, prior)
    sigma = max(sigma, SIGMA_FLOOR)
    # Scaled inverse chi-square, as after a normal prior's update (Gelman et al., Bayesian Data Analysis, 2.6).
    low = sigma * math.sqrt(freedom / chi_square(TENTH, freedom))
    high = sigma * math.sqrt(freedom / chi_square(-TENTH, freedom))
    runs = sum(len(group) for group in distinct if len(group) > 1)
    return Noise(sigma, runs, max(low, SIGMA_FLOOR), high, freedom)


def pairing(differences: Sequence[Sequence[float]], sigma: float) -> float:
    """The share of a run's variance that its seed makes, whatever commit runs on it: 0 to PAIRING_MOST.

    `differences`: for each candidate that ran on seeds of its incumbent's, its scores less the incumbent's. The
    variance of one candidate's is 2 (1 - share) sigma². Before there are repeats the share is taken for a quarter,
    but the variance cannot be more than what the differences of all candidates spread by (as three quarters
    of their distances from their median have it, which large effects do not move), since effects come on top.
    """
    spread, _ = pooled(differences, math.sqrt(2 * (1 - PAIRING_PRIOR)) * sigma)
    firsts = sorted(group[0] for group in differences if group)
    if len(firsts) >= PAIRING_FROM:
        middle = firsts[len(firsts) // 2]
        away = sorted(abs(one - middle) for one in firsts)
        spread = min(spread, away[len(away) * 3 // 4] / THREE_QUARTERS)
    return min(max(1 - spread**2 / (2 * sigma**2), 0.0), PAIRING_MOST)


def pooled(groups: Sequence[Sequence[float]], prior: float) -> tuple[float, float]:
    """Standard deviation within the groups, blind to a few outliers, and its degrees of freedom. `prior` > 0 is
    what it would be without any group, in the same unit.

    (4 prior² + sum of squares) / (4 + degrees of freedom), the sum being the usual one about the groups' means, or
    the clipped one where that is smaller: so nothing changes while no run is far off. Two lone runs far apart
    count nearly whole, since nobody can tell then which of two things was wrong, a run or the prior.
    """
    # (x - y)² / 2 of two runs has the variance for its mean; with weights 2/n a group of n has n - 1 of it in all,
    # and its sum is exactly that of the squares about the mean.
    pairs = sorted(
        ((x - y) ** 2 / 2, 2 / len(group)) for group in groups for i, x in enumerate(group) for y in group[:i]
    )
    freedom = float(sum(len(group) - 1 for group in groups if group))
    limit = CLIP**2 * _clip_variance(pairs, freedom, prior)
    whole = math.fsum(weight * half for half, weight in pairs)
    clipped = math.fsum(weight * min(half, limit) for half, weight in pairs)
    variance = (PRIOR_FREEDOM * prior**2 + min(whole, clipped / KEPT)) / (PRIOR_FREEDOM + freedom)
    return math.sqrt(variance), PRIOR_FREEDOM + freedom


def _clip_variance(pairs: Sequence[tuple[float, float]], freedom: float, prior: float) -> float:
    """The variance v with: sum of weight * min(half, CLIP² v), and CLIP_FREEDOM * KEPT * prior² of the prior's,
    = (freedom + CLIP_FREEDOM) * KEPT * v. There is one; `pairs` are sorted."""
    right = (freedom + CLIP_FREEDOM) * KEPT
    left = CLIP_FREEDOM * KEPT * prior**2
    beyond = freedom  # weight of the pairs that are clipped, if the first so many are not
    for half, weight in pairs:
        slope = right - CLIP**2 * beyond
        if slope > 0 and left / slope * CLIP**2 <= half:
            return left / slope
        left += weight * half
        beyond -= weight
    return left / right


def chi_square(z: float, freedom: float) -> float:
    """The quantile of the chi-square distribution that lies where a normal one has `z` standard deviations, after
    Wilson and Hilferty (PNAS 17, 1931). From 4 degrees of freedom on, `z` within 2: right to 2 %."""
    spread = 2 / (9 * freedom)
    return freedom * float(1 - spread + z * math.sqrt(spread)) ** 3
