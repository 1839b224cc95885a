"""What changes of train.py are worth before they are tried: the prior of every verdict, learned as a campaign
goes.

Most ideas lose, many do nothing, few gain, and of those most gain little: so a score that looks a little better is
more often luck than it seems. The prior says how much more often. It is a mixture over a fixed ladder of sizes,
gains and losses each, whose weights begin at what published campaigns show and follow what this one measures
(adaptive shrinkage: M. Stephens, Biostatistics 18(2), 2017; here in one pass, in the order of the experiments).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from .belief import Mixture

# Sizes in units; a step's spread is half of its size. The unit is a small gain of the profile: three quarters of
# the noise that its preparation assumes, which is 0.0003 bpb in `full`.
LADDER = tuple(2.0**k for k in range(7))
UNIT = 0.75  # of the assumed noise
NULL_SD = 0.25  # units that a change which should do nothing does: other rounding, other order of operations
# Shares that the prior begins with, after 125 experiments of karpathy/autoresearch (discussion 43, branch
# exp/H100/mar8): 22 keeps, of which a seed's noise explains about a half, three of them with 69 % of the gain, and
# losers up to 0.011. Of the gains each step of the ladder has a share that falls by GAIN_FALL, of the losses by
# LOSS_FALL.
NULL_SHARE, GAIN_SHARE = 0.20, 0.12
GAIN_FALL, LOSS_FALL = 0.70, 0.85
# How many experiments of one's own the beginning weighs as much as, and how many are remembered: ideas get worse
# as a campaign goes on, and what the first ones gained says little of the hundredth.
PRIOR_EXPERIMENTS = 15.0
MEMORY = 60.0


@dataclass(frozen=True)
class Measured:
    """One idea's gain as it was measured (bpb, positive is better) and the variance of its noise."""

    gain: float
    variance: float


@functools.cache
def _beginning(unit: float) -> Mixture:
    """The prior before the first experiment, with sizes in bpb."""
    steps = range(len(LADDER))
    gains = [GAIN_FALL**k for k in steps]
    losses = [LOSS_FALL**k for k in steps]
    loss_share = 1 - NULL_SHARE - GAIN_SHARE
    weights = [NULL_SHARE]
    weights += [GAIN_SHARE * one / sum(gains) for one in gains]
    weights += [loss_share * one / sum(losses) for one in losses]
    means = [0.0, *LADDER, *(-size for size in LADDER)]
    sds = [NULL_SD, *(size / 2 for size in LADDER + LADDER)]
    return Mixture(tuple(weights), tuple(unit * mean for mean in means), tuple((unit * sd) ** 2 for sd in sds))


@dataclass(frozen=True)
class Effects:
    """What ideas are worth, as far as this campaign knows. `unit` in bpb; `counts`: experiments that each part of
    the mixture stands for."""

    unit: float
    counts: tuple[float, ...]

    @property
    def prior(self) -> Mixture:
        """The belief about the gain of an idea that was not tried yet."""
        begun, total = _beginning(self.unit), sum(self.counts)
        return Mixture(tuple(count / total for count in self.counts), begun.means, begun.variances)

    def with_one(self, measured: Measured) -> Effects:
        """After one more idea was measured."""
        shares = self.prior.shares(measured.gain, measured.variance)
        fade = min(1.0, MEMORY / (sum(self.counts) + 1))
        return Effects(self.unit, tuple(fade * (n + share) for n, share in zip(self.counts, shares, strict=True)))


def untried(noise: float) -> Effects:
    """What is believed before a campaign's first experiment. `noise`: what its preparation assumes, in bpb."""
    unit = UNIT * noise
    return Effects(unit, tuple(PRIOR_EXPERIMENTS * weight for weight in _beginning(unit).weights))
