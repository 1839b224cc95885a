"""A sweep as a picture: val_bpb over the values of a constant, or over the trials where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import constants, sweep
from .campaign import folder
from .sweep import Plan
from .sweep_result import UNDECIDED, Result, Row

BEFORE = "incumbent before"
COLOURS = {BEFORE: "#0969da", "keep": "#1a7f37", "discard": "#6e7781"}
NO_SCORE = "#cf222e"
DECADES = 4.0  # largest value over smallest, from which the axis is logarithmic
LABELS_MOST = 60  # characters of labels that stand side by side


def place(root: Path, tag: str, plan: Plan) -> Path:
    """Where the picture of a sweep lies."""
    return folder(root, tag) / sweep.FOLDER / f"{plan.name}.png"


def draw(found: Result, path: Path) -> None:
    """Draw what is decided of a sweep into a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    plan = found.plan
    rows = [(row.status, row) for row in found.rows if row.status != UNDECIDED]
    if found.before is not None:
        rows.insert(0, (BEFORE, found.before))
    figure, axes = pyplot.subplots(figsize=(7.2, 4.4), layout="constrained")
    places = _set_ticks(axes, plan, [row for _, row in rows])
    for status, colour in COLOURS.items():
        own = [(x, row) for x, (its, row) in zip(places, rows, strict=True) if its == status]
        _points(axes, [(x, row.val_bpb, row.sd or 0.0) for x, row in own if row.val_bpb], status, colour)
    scores = [row.val_bpb for _, row in rows if row.val_bpb]
    if scores and (none := [x for x, (_, row) in zip(places, rows, strict=True) if not row.val_bpb]):
        top = max(scores) + 0.08 * (max(scores) - min(scores) or 0.01)
        axes.plot(none, [top] * len(none), "x", color=NO_SCORE, label="crashed or stopped early")
    if found.before is not None and found.before.val_bpb:
        axes.axhline(found.before.val_bpb, color=COLOURS[BEFORE], linewidth=1, linestyle="--")
    axes.set_xlabel(plan.constants if len(plan.axes) == 1 else f"trial ({plan.constants})")
    axes.set_ylabel("val_bpb (lower is better)")
    axes.set_title(f"Sweep {plan.name} of {plan.constants}", fontsize=11)
    if scores:
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _points(axes: Any, points: Sequence[tuple[float, float, float]], label: str, colour: str) -> None:
    """Scores with their noise, each as x, val_bpb and standard deviation."""
    if points:
        x, y, sd = zip(*points, strict=True)
        axes.errorbar(x, y, sd, fmt="o", color=colour, capsize=3, label=label)


def _set_ticks(axes: Any, plan: Plan, rows: Sequence[Row]) -> list[float]:
    """Where each row stands on the x axis, whose ticks are set."""
    alone = len(plan.axes) == 1
    numbers = [one for row in rows if (one := constants.number(row.values[0])) is not None] if alone else []
    if not rows or len(numbers) == len(rows):
        places = [float(number) for number in numbers]
        if places and min(places) > 0 and max(places) >= DECADES * min(places):
            axes.set_xscale("log")
            axes.set_xticks(places, [row.values[0] for row in rows])
            axes.minorticks_off()
        return places
    labels = [row.values[0].strip("\"'") if alone else f"{row.experiment:04d}" for row in rows]
    if not alone and rows[0].values == plan.before:
        labels[0] = "before"
    axes.set_xticks(range(len(rows)), labels, rotation=45 if sum(map(len, labels)) > LABELS_MOST else 0)
    return [float(at) for at in range(len(rows))]
