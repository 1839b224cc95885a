"""What is believed of a number that was measured with noise: a mixture of normal distributions.

A prior that is such a mixture stays one when a measurement with normal noise comes in, so everything here is exact
and fast, without sampling. Gains and scores are in bpb, positive gains are better.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

_ROOT2 = math.sqrt(2.0)
_ROOT2PI = math.sqrt(2.0 * math.pi)


def phi(z: float) -> float:
    """Density of the standard normal distribution."""
    return math.exp(-0.5 * z * z) / _ROOT2PI


def Phi(z: float) -> float:  # the function's name in every book
    """Its distribution function."""
    return 0.5 * math.erfc(-z / _ROOT2)


@dataclass(frozen=True)
class Normal:
    """One normal distribution: mean and standard deviation."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Mixture:
    """`weights` add up to 1 over as many `means` and `variances`."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    variances: tuple[float, ...]

    @functools.cached_property
    def mean(self) -> float:
        return math.fsum(map(operator.mul, self.weights, self.means))

    @functools.cached_property
    def sd(self) -> float:
        mean = self.mean
        parts = zip(self.weights, self.means, self.variances, strict=True)
        return math.sqrt(max(sum(w * (v + (m - mean) ** 2) for w, m, v in parts), 0.0))

    @functools.cached_property
    def sds(self) -> tuple[float, ...]:
        """The standard deviation of each part."""
        return tuple(map(math.sqrt, self.variances))

    def above(self, bar: float) -> float:
        """The probability of more than `bar`."""
        parts = zip(self.weights, self.means, self.sds, strict=True)
        return 0.5 * sum(w * math.erfc((bar - m) / (sd * _ROOT2)) for w, m, sd in parts)

    def surplus(self, bar: float) -> float:
        """The expectation of max(0, x - bar)."""
        total = 0.0
        for w, m, sd in zip(self.weights, self.means, self.sds, strict=True):
            z = (m - bar) / sd
            total += w * ((m - bar) * Phi(z) + sd * phi(z))
        return total

    @functools.lru_cache(maxsize=4)  # noqa: B019  # asked again in a moment; four of them are no leak
    def given(self, measured: float, variance: float) -> Mixture:
        """After a measurement whose noise has this variance (above 0)."""
        return Mixture(
            self.shares(measured, variance),
            tuple(
                (m * variance + measured * v) / (v + variance)
                for m, v in zip(self.means, self.variances, strict=True)
            ),
            tuple(v * variance / (v + variance) for v in self.variances),
        )

    @functools.lru_cache(maxsize=4)  # noqa: B019
    def shares(self, measured: float, variance: float) -> tuple[float, ...]:
        """How likely the measurement came from each part: the new weights."""
        logs = [
            math.log(w) - 0.5 * (math.log(v + variance) + (measured - m) ** 2 / (v + variance))
            if w > 0
            else -math.inf
            for w, m, v in zip(self.weights, self.means, self.variances, strict=True)
        ]
        most = max(logs)
        raised = [math.exp(one - most) for one in logs]
        total = sum(raised)
        return tuple(one / total for one in raised)

    def outlook(self, variance: float, bar: float) -> Callable[[float], tuple[float, float]]:
        """For a measurement to come with noise of this variance: the function from what it shows to the mean and
        the probability of more than `bar` after it. The same as `given`, for who asks it many times."""
        parts = [
            (
                math.log(w) - 0.5 * math.log(v + variance),
                m,
                -0.5 / (v + variance),
                m * variance / (v + variance),
                v / (v + variance),
                1 / math.sqrt(2 * v * variance / (v + variance)),
            )
            for w, m, v in zip(self.weights, self.means, self.variances, strict=True)
            if w > 0
        ]
        exp, erfc = math.exp, math.erfc

        def after(measured: float) -> tuple[float, float]:
            logs = [base + (measured - m) ** 2 * steep for base, m, steep, _, _, _ in parts]
            most = max(logs)
            total = mean = above = 0.0
            for log, (_, _, _, rest, pull, sharp) in zip(logs, parts, strict=True):
                if log < most - 40:  # e^-40 of the likeliest
                    continue
                share, its = exp(log - most), rest + pull * measured
                total += share
                mean += share * its
                above += share * erfc((bar - its) * sharp)
            return mean / total, 0.5 * above / total

        return after
