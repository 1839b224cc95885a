"""Score, memory, speed, lines of code: the experiments that none beats in one without losing in another.

What differs by less than can be measured does not differ. So values are compared by the cell that they fall into
(epsilon-dominance, Laumanns et al., 2002, Evolutionary Computation 10(3)): one sigma of the score, two per cent of
memory and speed, one line. Of those in one cell the best score stands for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from .branch import TRAIN
from .phases import described

if TYPE_CHECKING:
    from .situation import Situation

SAME = 0.02  # relative difference of memory and speed that says nothing
SHOWN = 12  # rows


@dataclass(frozen=True)
class Point:
    """One scored experiment. `val_bpb`: mean over its runs; `memory_mb`: peak; `speed`: tokens a second of
    training; `lines`: of train.py."""

    number: int
    commit: str
    status: str
    val_bpb: float
    memory_mb: float
    speed: float
    lines: int
    description: str


def frontier(points: Sequence[Point], sigma: float) -> list[Point]:
    """Those that no other dominates, the best score first. `sigma`: noise of one run (bpb)."""
    cells: dict[tuple[int, int, int, int], Point] = {}
    for point in sorted(points, key=lambda one: one.val_bpb):
        cells.setdefault(_cell(point, sigma), point)
    best: list[tuple[int, int, int, int]] = []
    for cell in sorted(cells):  # whatever dominates a cell comes before it
        if not any(all(a <= b for a, b in zip(other, cell, strict=True)) for other in best):
            best.append(cell)
    return sorted((cells[cell] for cell in best), key=lambda one: one.val_bpb)


def _cell(point: Point, sigma: float) -> tuple[int, int, int, int]:
    """Smaller is better in each."""
    width = math.log1p(SAME)
    memory, speed = (math.log(max(value, 1e-9)) / width for value in (point.memory_mb, point.speed))
    return math.floor(point.val_bpb / max(sigma, 1e-9)), math.floor(memory), math.floor(-speed), point.lines


def table(best: Sequence[Point], scored: int, most: int = SHOWN) -> list[str]:
    """The frontier, a line each."""
    if not best:
        return ["pareto: no experiment has a score yet"]
    told = "scored experiments that none beats in score, memory, speed or lines without losing in another"
    rows = [
        f"pareto: {len(best)} of {scored} {told}",
        f"  run  {'val_bpb':>9} {'memory MB':>10} {'tok/s':>10}  lines  status  what was tried",
    ]
    rows += [
        f"  {one.number:04d} {one.val_bpb:>9.6f} {one.memory_mb:>10.0f} {one.speed:>10.0f} {one.lines:>6}  "
        f"{one.status:<7} {one.description[:70]}"
        for one in best[:most]
    ]
    return [*rows, *([f"  … and {len(best) - most} more with a worse score"] if len(best) > most else [])]


def gather(now: Situation) -> list[Point]:
    """Every scored experiment that is decided."""
    decided = [one for one in now.experiments if one.decision and one.decision.val_bpb is not None]
    base = decided[0].commit if decided else ""
    length = len(now.branch.git.texts(f"{base}:{TRAIN}")[0].splitlines()) if base else 0
    lengths = {base: length}
    points = []
    for one in decided:
        request, decision = one.candidate.request, one.decision
        # A candidate's length follows from its incumbent's: git need not be asked for each.
        before = lengths.get(request.parent, length)
        lengths[one.commit] = before + request.lines_added - request.lines_removed
        records = [run.record for run in one.own if run.scored and run.record and run.record.seconds > 0]
        if decision is None or decision.val_bpb is None or not records:
            continue
        points.append(
            Point(
                number=one.number,
                commit=one.commit[:7],
                status=decision.status,
                val_bpb=decision.val_bpb,
                memory_mb=max(record.peak_memory_mb for record in records),
                speed=fmean(record.tokens / record.seconds for record in records),
                lines=lengths[one.commit],
                description=described(one),
            )
        )
    return points


def of(now: Situation) -> tuple[list[Point], int]:
    """The campaign's frontier, and of how many."""
    points = gather(now)
    return frontier(points, now.noise.sigma if now.noise else 0.0), len(points)


