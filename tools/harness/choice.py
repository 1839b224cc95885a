"""Keep, discard or measure once more: what is worth most, with a limit on how many keeps may be wrong.

Three choices, each with its worth in bpb. A keep is worth what the change is believed to gain, less the price of
its code. A discard is worth nothing. Another run is worth what it may still turn out to be, less what the same
device time would earn with a new idea. (P. Frazier, W. Powell, S. Dayanik, The knowledge-gradient policy, SIAM
J. Control Optim. 47(5), 2008; here for one, two and four runs ahead, since the first alone often cannot change
the decision.)

Worth alone would keep whatever is better on average, and two keeps of five would be wrong. So a keep also needs
its `error`, the probability that it gains nothing, to be at most what the campaign's budget allows: the errors
of all keeps together are at most ERRORS of them (the posterior expected false discovery proportion: P. Müller et
al., JASA 99, 2004). A sure keep leaves room for a less sure one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .belief import Mixture, Phi, phi

ERRORS = 0.05  # share of a campaign's keeps that may be no gain
CREDIT = 1  # keep that the budget begins with: else the first ones had to be surer than all that follow
ERROR_MOST = 0.12  # of one keep, however much room the others left
AHEAD = (1, 2, 4)  # runs to look ahead
_HALVINGS = 10  # of the search for the least gain that would be kept: to a hundredth of a sigma


@dataclass(frozen=True)
class Choice:
    """`status`: keep, discard or confirm. `error`: the probability of no gain. `worth`: bpb of a keep; `more`: of
    another run."""

    status: str
    error: float
    worth: float
    more: float


def allowance(errors: Sequence[float]) -> float:
    """The most that the next keep may err, after keeps with these probabilities of error."""
    return min(max(ERRORS * (len(errors) + 1 + CREDIT) - math.fsum(errors), 0.0), ERROR_MOST)


def choose(
    belief: Mixture, price: float, allowed: float, noise: float, run_value: float, runs_left: int
) -> Choice:
    """What to do with a change whose gain is believed to be `belief`.

    `price`: bpb that its code must earn. `noise`: variance of one more run's measurement. `run_value`: bpb that a
    run on a new idea earns. `runs_left`: how many more this one may have.
    """
    error = max(1.0 - belief.above(0.0), 0.0)  # rounding may be on either side of nothing
    worth = belief.mean - price
    if error <= allowed and worth > 0:
        return Choice("keep", error, worth, 0.0)
    more = value_of_runs(belief, price, allowed, noise, run_value, runs_left)
    return Choice("confirm" if more > 0 else "discard", error, worth, more)


def value_of_runs(
    belief: Mixture, price: float, allowed: float, noise: float, run_value: float, runs_left: int
) -> float:
    """bpb that further runs of a change earn beyond what they cost; below 0 where they do not pay."""
    certain = belief.surplus(price)  # what certainty would be worth; no number of runs is worth more
    return max(
        (
            gained_by(belief, price, allowed, noise / runs) - runs * run_value
            for runs in AHEAD
            if runs <= runs_left and runs * run_value < certain
        ),
        default=-math.inf,
    )


def gained_by(belief: Mixture, price: float, allowed: float, variance: float) -> float:
    """bpb that one more measurement of this variance earns by letting the change be kept where it proves good."""
    least = keep_from(belief, price, allowed, variance)
    total = 0.0
    for w, m, v in zip(belief.weights, belief.means, belief.variances, strict=True):
        spread = math.sqrt(v + variance)
        z = (m - least) / spread
        total += w * ((m - price) * Phi(z) + v / spread * phi(z))
    return total


def keep_from(belief: Mixture, price: float, allowed: float, variance: float) -> float:
    """The least measured gain (bpb) after which the change would be kept; found by halving."""
    spread = math.sqrt(belief.sd**2 + variance)
    low, high = min(price, belief.mean) - 2 * spread, max(price, belief.mean) + 6 * spread
    after = belief.outlook(variance, 0.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        mean, right = after(middle)
        if 1.0 - right > allowed or mean <= price:
            low = middle
        else:
            high = middle
    return high
