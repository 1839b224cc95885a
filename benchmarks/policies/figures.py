"""What many campaigns of one policy come to, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.policies.rivals import Outcome


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    mean: float
    error: float


@dataclass(frozen=True)
class Figures:
    """Of a policy in one world: means over `campaigns`, in bpb where nothing else is said. `bias`: reported less
    true gain. `false_keep_share`: of all keeps, those that gain nothing. `racing_lost_keeps`: runs that racing
    stopped and that would have been kept, as a share of these and the keeps. `device_time_saved`: by racing, as a
    share of what the campaign would have taken without it."""

    campaigns: int
    gain: Estimate
    bias: Estimate
    keeps: float
    ideas: float
    false_keep_share: float
    racing_lost_keeps: float
    device_time_saved: float


def figures(outcomes: Sequence[Outcome], worth: Sequence[float], expected: float) -> Figures:
    """`worth`: of each campaign, what its ideas would have gained in all; `expected`: the mean of that, which is
    known exactly. Campaigns differ in it by far the most, so the luck of the draw is taken off (a control variate:
    the mean stays right, and its error becomes half as large or less)."""
    gains = [one.gain for one in outcomes]
    slope = statistics.linear_regression(worth, gains).slope
    even = [gain - slope * (drawn - expected) for gain, drawn in zip(gains, worth, strict=True)]
    keeps = sum(one.keeps for one in outcomes)
    lost = sum(one.lost_keeps for one in outcomes)
    saved = sum(one.saved for one in outcomes)
    return Figures(
        len(outcomes),
        estimate(even),
        estimate([one.reported - one.gain for one in outcomes]),
        keeps / len(outcomes),
        statistics.fmean(one.ideas for one in outcomes),
        sum(one.false_keeps for one in outcomes) / max(keeps, 1),
        lost / max(keeps + lost, 1),
        saved / (saved + sum(one.used for one in outcomes)),
    )


def estimate(values: Sequence[float]) -> Estimate:
    return Estimate(statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)))


def ratio(above: Sequence[Estimate], below: Sequence[Estimate]) -> Estimate:
    """Of the sums. Both are taken for independent, though they meet the same ideas: the error is rather less."""
    top, bottom = sum(one.mean for one in above), sum(one.mean for one in below)
    found = top / bottom
    errors = math.fsum(one.error**2 for one in above) + found**2 * math.fsum(one.error**2 for one in below)
    return Estimate(found, math.sqrt(errors) / abs(bottom))


def pooled(each: Sequence[Figures]) -> Figures:
    """Over several worlds, each with the same weight in the means; shares are of all keeps."""
    keeps = sum(one.keeps for one in each)
    lost = sum(one.keeps * one.racing_lost_keeps / (1 - one.racing_lost_keeps) for one in each)
    return Figures(
        sum(one.campaigns for one in each),
        _mean([one.gain for one in each]),
        _mean([one.bias for one in each]),
        keeps / len(each),
        statistics.fmean(one.ideas for one in each),
        sum(one.keeps * one.false_keep_share for one in each) / keeps if keeps else 0.0,
        lost / (keeps + lost) if keeps + lost else 0.0,
        statistics.fmean(one.device_time_saved for one in each),
    )


def _mean(each: Sequence[Estimate]) -> Estimate:
    return Estimate(
        statistics.fmean(one.mean for one in each), math.sqrt(math.fsum(one.error**2 for one in each)) / len(each)
    )
