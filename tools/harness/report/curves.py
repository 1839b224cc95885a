"""Training curves, thinned for a page: at most so many points each, every one the mean of its stretch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .. import curve
from ..curve import Point
from ..record import Run

RUNS_MOST = 600  # in a page, which stays below some megabytes so
POINTS = 100  # of one run
_LOOKED_AT = 400  # lines of its file


@dataclass(frozen=True)
class Curve:
    """One run's, as columns: training tokens, seconds of the budget's clock, and loss (nats a token; None: not a
    number)."""

    run: int
    experiment: int
    tokens: tuple[int, ...]
    seconds: tuple[float, ...]
    loss: tuple[float | None, ...]


def thinned(run: Run) -> Curve | None:
    """The run's curve; None where it has logged nothing."""
    points = curve.read(run.path / "curve.jsonl", _LOOKED_AT)
    return columns(run.request.number, run.request.experiment, points) if points else None


def columns(run: int, experiment: int, points: Sequence[Point]) -> Curve:
    """`points`, averaged over as many stretches as a page shows. The last point is the last one logged."""
    size = -(-len(points) // POINTS)
    # From the end, so that what is left over is a short stretch at the steep beginning.
    ends = range(len(points), 0, -size)
    stretches = [points[max(end - size, 0) : end] for end in reversed(ends)]
    return Curve(
        run,
        experiment,
        tuple(stretch[-1].tokens for stretch in stretches),
        tuple(round(stretch[-1].seconds, 1) for stretch in stretches),
        tuple(_mean([point.loss for point in stretch]) for stretch in stretches),
    )


def _mean(losses: Sequence[float]) -> float | None:
    mean = math.fsum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.nan
    return round(mean, 4) if math.isfinite(mean) else None


def chosen(runs: Sequence[Run], kept: set[str], most: int = RUNS_MOST) -> list[Run]:
    """Whose curves a page holds, by number: those of the commits that were `kept`, then the newest; `most` in
    all."""
    steps: list[Run] = []
    others: list[Run] = []
    for run in runs:
        is_step = run.request.commit in kept and run.request.kind != "confirm"
        (steps if is_step else others).append(run)
    steps = steps[:1] + steps[1:][-(most - 1) :]  # of too many keeps the newest, and the baseline
    room = most - len(steps)
    return sorted([*steps, *(others[-room:] if room > 0 else [])], key=lambda run: run.request.number)
