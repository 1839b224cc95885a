"""Noise of the budget, apart from the noise of the seed: whether a neighbour or the heat took tokens from a run.

A budget in seconds buys fewer tokens on a machine that something else slows down, and then the score says less
about the idea than about the hour. Such a run is repeated, not judged. There are two signs: fewer tokens than the
same commit's other runs; or, while there are none, a dip in its own pace that its rivals do not have there. Merely
being slow is none: that is the price of the idea.

Pace is in tokens per share of the budget, which is right for wall seconds and for CPU-seconds alike. With a budget
in tokens it is always the same, so nothing is ever found there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby, pairwise

from . import noise
from .curve import Point

# Standard deviation of the logarithm of the tokens that one commit gets: tokens a CPU-second stay within 3 %
# beside a busy neighbour (prepare.py), which is three of these.
PRIOR = 0.01
SIGMAS = 3.0
LEAST_BAND = 0.03  # share of the tokens

WINDOWS = 20  # equal ones of the budget; the first and the last are left out, where runs warm up and wind down
LEAST_DIP = 0.15  # share of the pace: on two busy cores windows of one second stray by 5 to 10 %
LONGEST = 2  # windows that may be low: a pause to look at the model, say. What is longer is a dip
LARGEST = 0.5  # of a window that one logged interval may fill: where the time went in a longer one, nobody knows
FEWEST = 2 * WINDOWS  # points in a curve that says something of the pace
ENOUGH = 6  # windows that must be known for that
SAME_STEP = 0.02  # share that the tokens a step may differ by, and be called the same
UPPER = 0.75  # quantile over the windows that is the run's own pace: a dip of half the run does not move it


def band(groups: Sequence[Sequence[int]]) -> float:
    """Share by which the tokens of a run may stay below its commit's others: three standard deviations of their
    logarithm, outliers clipped, and at least 3 %. `groups`: token counts of each commit's runs, in any order."""
    logs = [[math.log(tokens) for tokens in group if tokens > 0] for group in groups]
    sigma, _ = noise.pooled(logs, PRIOR)
    return max(LEAST_BAND, -math.expm1(-SIGMAS * sigma))


def judge(
    points: Sequence[Point],
    tokens: int,
    same_commit_tokens: Sequence[int],
    rivals: Sequence[Sequence[Point]],
    band: float = LEAST_BAND,
) -> str:
    """Why a run that finished counts as disturbed, in one line; "" where it does not.

    `points`: its curve; `tokens`: what it got; `same_commit_tokens`: what other runs of its commit got, with the
    same budget, those that were called disturbed among them. Where there are any, they decide, whatever the curve
    looks like: so a model that grows as it trains is repeated once at most. `rivals`: the incumbent's curves;
    where all of them slow down, at the same share of the budget, it is the code that does. `band`: of the
    campaign's repeats, see above.
    """
    if any(number > 0 for number in same_commit_tokens):
        return _fewer(tokens, same_commit_tokens, band)
    return _dip(points, rivals, max(3 * band, LEAST_DIP))


def _fewer(tokens: int, others: Sequence[int], band: float) -> str:
    others = sorted(number for number in others if number > 0)
    if tokens <= 0:
        return ""
    median = (others[(len(others) - 1) // 2] + others[len(others) // 2]) / 2
    # The median of so many strays as well, and beside a single run it is all of it.
    least = median * (1 - band) ** math.sqrt(1 + 1 / len(others))
    if tokens >= least:
        return ""
    return f"{1 - tokens / median:.0%} fewer tokens than this commit's other runs".replace("%", " %")


def _dip(points: Sequence[Point], rivals: Sequence[Sequence[Point]], depth: float) -> str:
    paces = relative_paces(points)
    others = [relative_paces(rival) for rival in rivals]
    best = [max((pace for pace in at if pace is not None), default=1.0) for at in zip(*others, strict=True)]
    expected = [min(1.0, pace) for pace in best] or [1.0] * len(paces)
    ratios = [1.0 if pace is None else pace / usual for pace, usual in zip(paces, expected, strict=True)]
    low = [ratio < 1 - depth for ratio in ratios]
    dips = [list(stretch) for is_low, stretch in groupby(range(len(low)), key=low.__getitem__) if is_low]
    longest = max(dips, key=len, default=[])
    if _length([ratios[at] for at in longest]) <= LONGEST:
        return ""
    pace = math.fsum(paces[at] or 0.0 for at in longest) / len(longest)
    start, end = (longest[0] + 1) / WINDOWS, (longest[-1] + 2) / WINDOWS
    text = f"tokens a second fell to {pace:.0%} of the run's own pace from {start:.0%} to {end:.0%} of the budget"
    return text.replace("%", " %")


def _length(low: Sequence[float]) -> float:
    """Windows that a dip lasts, from the paces in those that it touches: it fills the first and the last as far as
    they are as low as their neighbour in it."""
    if len(low) < 3:
        return len(low)
    edges = ((low[0], low[1]), (low[-1], low[-2]))
    return len(low) - 2 + math.fsum(min(1.0, (1 - edge) / (1 - inner)) for edge, inner in edges)


def relative_paces(points: Sequence[Point]) -> list[float | None]:
    """The pace in each window of the budget but the first and the last, as a share of the run's own upper pace.

    None where it cannot be compared: nothing was logged there or too little, or its steps are not as large as most
    others are, since another batch has another pace.
    """
    points = _ascending(points)
    if len(points) < FEWEST:
        points = []
    edges = [number / WINDOWS for number in range(1, WINDOWS)]
    found = [_window(points, start, end) for start, end in pairwise(edges)]
    sizes = sorted(size for size, _ in filter(None, found))

    def is_like(size: float, other: float) -> bool:
        return abs(size - other) <= SAME_STEP * other

    common = max(sizes, key=lambda size: sum(is_like(other, size) for other in sizes), default=0.0)
    usual = [window[1] if window and is_like(window[0], common) else None for window in found]
    known = sorted(pace for pace in usual if pace is not None)
    if len(known) < ENOUGH or (upper := known[math.ceil(UPPER * (len(known) - 1))]) <= 0:
        return [None] * len(found)
    return [None if pace is None else pace / upper for pace in usual]


def _window(points: Sequence[Point], start: float, end: float) -> tuple[float, float] | None:
    """Tokens a step and pace (tokens per share of the budget) between two shares of the budget."""
    first = bisect_right(points, start, key=lambda point: point.progress) - 1
    last = bisect_right(points, end, key=lambda point: point.progress)
    if first < 0 or last >= len(points):
        return None
    steps, tokens = 0.0, 0.0
    for before, after in zip(points[first:last], points[first + 1 : last + 1], strict=True):
        inside = min(end, after.progress) - max(start, before.progress)
        if inside > LARGEST * (end - start):
            return None
        # Of an interval that reaches over the edge, the part of its time that is inside.
        share = inside / (after.progress - before.progress)
        steps += share * (after.step - before.step)
        tokens += share * (after.tokens - before.tokens)
    return (tokens / steps, tokens / (end - start)) if steps > 0 else None


def _ascending(points: Sequence[Point]) -> list[Point]:
    """The last attempt, where progress, steps and tokens go on; of points at the same progress the last."""
    kept: list[Point] = []
    for point in points:
        while kept and (
            kept[-1].progress >= point.progress or kept[-1].step >= point.step or kept[-1].tokens > point.tokens
        ):
            kept.pop()
        kept.append(point)
    return kept
