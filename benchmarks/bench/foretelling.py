"""How well a training curve, cut at a share of the budget, foretells the score at the end: what racing lives on.

For each edit and seed, the training loss at a share less the baseline's at the same share is `x`. Two things are
foretold from it by a straight line, fitted to all edits:

  score     the edit's final val_bpb less the baseline's mean: the noise of the edit's own seed is in it
  gain      the edit's mean over seeds less the baseline's mean: what a decision is about

  paired    the edit's final val_bpb less the baseline's on the same seed

The baseline's curve is of the same seed (the same batches in the same order, as long as the edit does not change
the shape of a batch), of another seed, or the mean of all its curves. What is left after the line is the residual;
beside it stands what is left when no curve is looked at.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .trainings import Result
from .truth import pooled

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WIDTHS = (0.05, 0.1, 0.2)  # shares of the budget before the look over which a loss is averaged
NEAR = 0.03  # bpb: edits this near the baseline are the ones that are hard to tell


@dataclass(frozen=True)
class Line:
    """A straight line and the standard deviation of what it leaves, from `count` points."""

    slope: float
    intercept: float
    residual: float
    count: int


@dataclass(frozen=True)
class Figure:
    """One way to foretell `target` (score, gain or paired) by a curve against the baseline's (same, other, mean).

    `robust`: 1.4826 times the median of the residuals' sizes, which a few diverging edits do not move.
    """

    target: str
    against: str
    width: float
    share: float
    line: Line
    robust: float


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """Least squares."""
    sound = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(sound) < 3:
        return Line(math.nan, math.nan, math.nan, len(sound))
    x0, y0 = (statistics.fmean(values) for values in zip(*sound, strict=True))
    spread = math.fsum((x - x0) ** 2 for x, _ in sound)
    slope = math.fsum((x - x0) * (y - y0) for x, y in sound) / spread if spread > 0 else 0.0
    left = math.fsum((y - y0 - slope * (x - x0)) ** 2 for x, y in sound)
    return Line(slope, y0 - slope * x0, math.sqrt(left / (len(sound) - 2)), len(sound))


def robust(points: Sequence[tuple[float, float]], line: Line) -> float:
    sizes = [abs(y - line.intercept - line.slope * x) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return 1.4826 * statistics.median(sizes) if sizes else math.nan


def near_ones(baseline: Sequence[Result], edits: Sequence[Sequence[Result | None]], near: float) -> list[
    Sequence[Result | None]
]:  # fmt: skip
    """The edits whose mean score is within `near` of the baseline's."""
    base = statistics.fmean(one.val_bpb for one in baseline if one.scored)
    scores = [[one.val_bpb for one in edit if one and one.scored] for edit in edits]
    return [
        edit for edit, own in zip(edits, scores, strict=True) if own and abs(statistics.fmean(own) - base) <= near
    ]


def figures(baseline: Sequence[Result], edits: Sequence[Sequence[Result | None]]) -> list[Figure]:
    """`baseline` and each edit: results by the number of their seed, None where not there yet."""
    found = []
    for target in ("score", "gain", "paired"):
        for against in ("same", "other", "mean"):
            for width in WIDTHS:
                for share in SHARES:
                    points = _points(baseline, edits, target, against, width, share)
                    line = fit(points)
                    found.append(Figure(target, against, width, share, line, robust(points, line)))
    return found


def _points(
    baseline: Sequence[Result], edits: Sequence[Sequence[Result | None]], target: str, against: str, width: float,
    share: float,
) -> list[tuple[float, float]]:  # fmt: skip
    base = [one for one in baseline if one.scored]
    mean = statistics.fmean(one.val_bpb for one in base)
    losses = [one.loss_at(share, width) for one in baseline]
    points = []
    for edit in edits:
        scored = [one for one in edit if one and one.scored]
        for number, one in enumerate(edit):
            if one is None or not one.scored or (target == "gain" and len(scored) < 2):
                continue
            theirs = {
                "same": losses[number],
                "other": losses[(number + 1) % len(losses)],
                "mean": statistics.fmean(losses),
            }[against]
            y = {
                "score": one.val_bpb - mean,
                "gain": statistics.fmean(each.val_bpb for each in scored) - mean,
                "paired": one.val_bpb - baseline[number].val_bpb,
            }[target]
            points.append((one.loss_at(share, width) - theirs, y))
    return points


def table(baseline: Sequence[Result], edits: Sequence[Sequence[Result | None]]) -> list[str]:
    """The figures for a person, all edits and then the near ones."""
    scored = [[one for one in edit if one and one.scored] for edit in edits]
    groups = [[one.val_bpb for one in edit] for edit in scored]
    own = [one.val_bpb for one in baseline if one.scored]
    differences = [
        [one.val_bpb - baseline[n].val_bpb for n, one in enumerate(edit) if one and one.scored] for edit in edits
    ]
    lines = [
        f"baseline: {len(own)} seeds, val_bpb {statistics.fmean(own):.5f}, standard deviation {_sd(own):.5f}",
        f"edits: {len(edits)}, with a score on every seed so far {sum(map(bool, scored))}, "
        f"runs {sum(map(len, scored))}",
        f"sigma of one run: {_sd(own):.5f} by the baseline's {len(own)} seeds; pooled over baseline and edits "
        f"{pooled([own, *groups]):.5f}, but all edits have the same few seeds, so that is hardly surer",
        f"sigma of the difference from the baseline on another seed: {_sd(own) * math.sqrt(2):.5f}",
        f"… on the same seed: {pooled(differences):.5f} pooled over edits, median {_middle(differences):.5f}",
    ]
    near = near_ones(baseline, edits, NEAR)
    for name, chosen in (("all edits", edits), (f"edits within {NEAR} bpb of the baseline", near)):
        if len(chosen) < 3:
            continue
        lines += ["", f"{name} ({len(chosen)}): standard deviation of what the line leaves, bpb"]
        some = figures(baseline, chosen)
        for target in ("score", "gain", "paired"):
            ys = [y for _, y in _points(baseline, chosen, target, "same", WIDTHS[0], SHARES[0])]
            lines += ["", f"  {TARGETS[target]}; without any curve {_sd(ys):.5f} ({len(ys)} points)"]
            lines.append(f"  {'curve of baseline':20}{'width':>6}" + "".join(f"{share:>9.1f}" for share in SHARES))
            for against in ("same", "other", "mean"):
                for width in WIDTHS:
                    row = [f for f in some if (f.target, f.against, f.width) == (target, against, width)]
                    head = f"  {AGAINST[against]:20}{width:6.2f}"
                    lines.append(head + "".join(f"{f.line.residual:9.5f}" for f in row))
                    if width == WIDTHS[1]:
                        lines.append(f"  {'  robust':26}" + "".join(f"{f.robust:9.5f}" for f in row))
                        lines.append(f"  {'  slope':26}" + "".join(f"{f.line.slope:9.4f}" for f in row))
    return lines


TARGETS = {
    "score": "final val_bpb less the baseline's mean",
    "gain": "mean over seeds less the baseline's mean",
    "paired": "final val_bpb less the baseline's on the same seed",
}
AGAINST = {"same": "same seed", "other": "another seed", "mean": "mean of all seeds"}


def _middle(groups: Sequence[Sequence[float]]) -> float:
    """The median of the groups' own standard deviations: edits that do much harm also make more noise."""
    spreads = [statistics.stdev(group) for group in groups if len(group) > 1]
    return statistics.median(spreads) if spreads else math.nan


def _sd(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan
