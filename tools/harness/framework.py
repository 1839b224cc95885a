"""The weighted framework: four marks from measured facts, one composite, one band.

**The verdict decides whether to keep; the framework decides whether a keep is final.** The marks are computed
from the facts alone. The composite is their weighted mean, held inside the range that belongs to the verdict
(`RANGE`), so the two can never contradict each other: a keep is never `stop`, a discard or a crash never
`proceed`. Where the range changed the composite, its line says so and shows the mean as it was.

    composite 85 and over   proceed       build on it
    70 to 84                conditional   with monitoring: kept provisionally, that is, run once more before
                                          anything builds on it, and undone if that fails; or to be confirmed
    below 70                stop          go back
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .verdict import Facts

# --------------------------------------------------------------------------------------------------------
# The rule table. Every mark is 0 to 100.
#
# mark        weight  measured from                    rule
# quality       30    believed gain less the price of  50 when the worth is zero, 100 from +2 sigma,
#                     its lines (the worth), in sigmas 0 from -2 sigma. The baseline, being the reference: 100
# efficiency    25    peak memory against the          100, less half a point for every percent more memory
#                     incumbent's, net added lines     (30 at most), less a point for every net added line
#                                                      (40 at most)
# accuracy      25    how sure the gain is             2 P - 1, P the posterior probability of no loss
#                                                      (fewer lines: of none over the tolerance)
# safety        20    finished, causal, in budget      40 finished, 30 causality probe passed, 30 at most
#                                                      2 % over the budget
#
# A crash, a refusal or a stopped run has no score: quality, efficiency and accuracy are 0.
WEIGHTS = {"quality": 30, "efficiency": 25, "accuracy": 25, "safety": 20}
QUALITY_SPAN = 2.0  # sigmas of worth from the middle of the scale to its ends
MEMORY_POINTS, MEMORY_MOST = 0.5, 30.0  # points a percent more memory: a soft limit, so it cannot sink a gain
LINE_POINTS, LINE_MOST = 1.0, 40.0  # points a net added line
FINISHED_POINTS, CAUSAL_POINTS, BUDGET_POINTS = 40, 30, 30
OVERRUN_MARKED = 0.02  # share of the budget: more than this over it is marked
PROCEED, CONDITIONAL = 85, 70
# status -> the lowest and the highest composite it may have
RANGE = {
    "keep": (CONDITIONAL, 100),
    "confirm": (CONDITIONAL, PROCEED - 1),
    "discard": (0, CONDITIONAL - 1),
    "crash": (0, CONDITIONAL - 1),
}
ADVICE = {
    "proceed": "proceed",
    "conditional": "conditional, with monitoring",
    "stop": "stop",
}
# --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Framework:
    """Four marks and their composite, 0 to 100; `band`: proceed, conditional or stop; `lines`: to print."""

    quality: int
    efficiency: int
    accuracy: int
    safety: int
    composite: int
    band: str
    lines: tuple[str, ...]


def band_of(composite: int) -> str:
    """The band of a composite."""
    return "proceed" if composite >= PROCEED else "conditional" if composite >= CONDITIONAL else "stop"


def score(facts: Facts, status: str) -> Framework:
    """The framework of `facts`, whose verdict is `status` (keep, discard, crash or confirm)."""
    marks, why = {}, {}
    for name, rule in (
        ("quality", _quality),
        ("efficiency", _efficiency),
        ("accuracy", _accuracy),
        ("safety", _safety),
    ):
        mark, why[name] = rule(facts)
        marks[name] = round(min(max(mark, 0.0), 100.0))
    mean = math.floor(sum(WEIGHTS[name] * mark for name, mark in marks.items()) / 100)
    low, high = RANGE[status]
    composite = min(max(mean, low), high)
    band = band_of(composite)
    lines = [f"{name:<10} {marks[name]:>3} x {weight} %  {why[name]}" for name, weight in WEIGHTS.items()]
    held = "" if composite == mean else f" (by the weights {mean}; the verdict is {status})"
    lines.append(f"composite  {composite:>3} of 100: {ADVICE[band]}{held}")
    return Framework(**marks, composite=composite, band=band, lines=tuple(lines))


def _quality(facts: Facts) -> tuple[float, str]:
    if not facts.compared:
        return _uncompared(facts, "the baseline is the reference")
    worth = facts.belief.mean - facts.price
    mark = 50.0 + 50.0 * max(-1.0, min(1.0, worth / (QUALITY_SPAN * facts.sigma)))
    told = f"gain {facts.belief.mean:+.4f} as believed, price of the lines {facts.price:+.4f}"
    return mark, f"{told}, sigma {facts.sigma:.4f}"


def _efficiency(facts: Facts) -> tuple[float, str]:
    if not facts.compared:
        return _uncompared(facts, f"peak memory {facts.peak_memory_mb:.0f} MB")
    more = facts.memory_growth
    mark = 100.0 - min(MEMORY_MOST, MEMORY_POINTS * 100 * max(more, 0.0))
    mark -= min(LINE_MOST, LINE_POINTS * max(facts.net_lines, 0))
    return mark, f"memory {more:+.0%}, lines {facts.net_lines:+d} net"


def _accuracy(facts: Facts) -> tuple[float, str]:
    if not facts.compared:
        return _uncompared(facts, "the baseline is the reference")
    chance = facts.belief.above(-facts.tolerance)
    told = f"{chance:.0%} sure of no loss" + (f" over {facts.tolerance:.4f}" if facts.tolerance else "")
    return 100.0 * (2.0 * chance - 1.0), f"{told}; runs {len(facts.scores)} against {facts.incumbent_runs}"


def _uncompared(facts: Facts, baseline: str) -> tuple[float, str]:
    """A mark without a comparison: the baseline's, or none."""
    return (100.0, baseline) if facts.is_baseline and not facts.no_score else (0.0, "no score")


def _safety(facts: Facts) -> tuple[float, str]:
    finished, causal = facts.outcome == "finished", facts.outcome == "finished" and facts.causal
    in_budget = finished and facts.budget_overrun <= OVERRUN_MARKED
    mark = FINISHED_POINTS * finished + CAUSAL_POINTS * causal + BUDGET_POINTS * in_budget
    if not finished:
        return mark, facts.outcome
    told = "causal" if causal else "not causal"
    return mark, f"finished, {told}, {facts.seconds:.0f} s, {facts.budget_overrun:+.1%} of the budget"
