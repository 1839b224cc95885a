"""The facts as progress.png: every experiment, the incumbent's staircase, what is believed of it, and the noise.

In the manner of the picture that this field knows (karpathy/autoresearch, analysis.ipynb), with what a reader of
it misses: labels that do not cross, crashes and stopped runs, how far luck alone moves a point, and how much of a
step is believed.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..text import write_whole
from .facts import CRASH, DISCARD, KEEP, OPEN, WITHIN, Facts, Trial
from .labels import Box, Label, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE, NEEDS = "progress.png", "matplotlib"
SIZE, DPI = (16.0, 8.0), 150  # inches; pixels an inch
LABELS_MOST = 40  # that are tried; a picture with more is not read
LABEL_LENGTH = 44  # characters
DOTS_AVOIDED = 200  # points up to which labels keep off all of them
INK, MUTED, GRID = "#1f2328", "#57606a", "#d8dee4"
KEPT, BAND, GREY, RED, AMBER = "#1a7f37", "#2da44e", "#8c959f", "#cf222e", "#9a6700"


def draw(facts: Facts, path: Path) -> None:
    """Write the picture, whole."""
    import io

    buffer = io.BytesIO()
    figure, _ = paint(facts)
    with warnings.catch_warnings():  # a letter that the font lacks is shown as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, dpi=DPI, format="png")
    write_whole(path, buffer.getvalue())


def paint(facts: Facts) -> tuple[Figure, list[Box]]:
    """The picture, and the boxes of its labels (pixels)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.065, right=0.985, top=0.86, bottom=0.085)
    axes = figure.add_subplot()
    low, high = facts.span
    last = max((one.number for one in facts.trials), default=0)
    axes.set_xlim(-max(last, 1) * 0.015 - 0.35, max(last, 1) * 1.03 + 0.35)
    axes.set_ylim(low, high)
    _frame(axes)
    dots = _points(axes, facts, high)
    _staircase(axes, facts, last)
    _words(figure, facts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        boxes = _labels(figure, axes, facts, dots, last)
    if not facts.trials:
        axes.text(0.5, 0.5, "no experiment yet", transform=axes.transAxes, ha="center", color=MUTED, fontsize=14)
    elif axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right", fontsize=9, framealpha=0.95, edgecolor=GRID, labelcolor=INK)
    return figure, boxes


def _frame(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("experiment", fontsize=11, color=INK)
    axes.set_ylabel("val_bpb (validation bits per byte, lower is better)", fontsize=11, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.tick_params(colors=MUTED, labelsize=10)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)


def _points(axes: Axes, facts: Facts, high: float) -> list[tuple[float, float]]:
    """Every experiment; returns the places of those that are dots."""
    many = len(facts.trials) > 300
    scored = [one for one in facts.trials if one.val_bpb is not None]
    discards = [one for one in scored if one.state == DISCARD]
    inside = [one for one in discards if (one.val_bpb or 0.0) <= high]
    above = [one for one in discards if (one.val_bpb or 0.0) > high]
    kept = [one for one in scored if one.state == KEEP and not one.provisional]
    waiting = [one for one in scored if one.state == KEEP and one.provisional]
    edge = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 4}
    if inside:
        size, alpha = (9, 0.55) if many else (24, 0.75)
        _scatter(axes, inside, s=size, c=GREY, alpha=alpha, linewidths=0, zorder=2,
                 label=f"discarded ({len(discards)})")  # fmt: skip
    if above:
        _strip(axes, above, 0.985, marker="^", s=16, c=GREY, alpha=0.7, linewidths=0,
               label=f"… of which above this scale ({len(above)})", **edge)  # fmt: skip
    stopped = [one for one in facts.trials if one.stopped is not None]
    if stopped:
        _strip(axes, stopped, 1.012, marker="|", s=40, c=AMBER,
               label=f"stopped by its curve ({len(stopped)})", **edge)  # fmt: skip
    crashes = [one for one in facts.trials if one.state == CRASH]
    if crashes:
        _strip(axes, crashes, 1.012, marker="x", s=26, c=RED, linewidths=1.2,
               label=f"crashed ({len(crashes)})", **edge)  # fmt: skip
    if kept:
        improved = sum(not one.baseline for one in kept)
        _scatter(axes, kept, s=34 if many else 58, c=BAND, edgecolors=INK, linewidths=0.7, zorder=6,
                 label=f"kept ({improved})" if improved else "baseline")  # fmt: skip
    if waiting:
        _scatter(axes, waiting, s=58, c="white", edgecolors=KEPT, linewidths=1.4, zorder=6,
                 label="kept provisionally")  # fmt: skip
    return [(float(one.number), one.val_bpb or 0.0) for one in [*inside, *kept, *waiting]]


def _scatter(axes: Axes, trials: Sequence[Trial], **how: Any) -> None:
    axes.scatter([one.number for one in trials], [one.val_bpb or 0.0 for one in trials], **how)


def _strip(axes: Axes, trials: Sequence[Trial], height: float, **how: Any) -> None:
    """Marks at one height of the picture, for what has no place on its scale."""
    axes.scatter([one.number for one in trials], [height] * len(trials), **how)


def _staircase(axes: Axes, facts: Facts, last: int) -> None:
    end = last + max(last * 0.02, 0.25)
    if facts.steps:
        xs = [*(step.number for step in facts.steps), end]
        ys = [*(step.val_bpb for step in facts.steps), facts.steps[-1].val_bpb]
        axes.step(xs, ys, where="post", color=KEPT, linewidth=2.2, zorder=5, label="incumbent, as measured")
    if facts.levels:
        xs = [*(level.number for level in facts.levels), end]
        levels = [*facts.levels, facts.levels[-1]]
        low = [level.mean - WITHIN * level.sd for level in levels]
        high = [level.mean + WITHIN * level.sd for level in levels]
        axes.fill_between(xs, low, high, step="post", color=BAND, alpha=0.2, linewidth=0, zorder=3,
                          label="incumbent, as believed without luck (80 %)")  # fmt: skip
    if facts.noise and facts.steps:
        # Beside the last step: how far one run strays by its seed alone.
        told = f"one run, by its seed alone (80 %, sigma {facts.noise.sigma:.4f})"
        axes.errorbar([end], [facts.steps[-1].val_bpb], yerr=[WITHIN * facts.noise.sigma], color=INK, capsize=4,
                      linewidth=1.3, zorder=7, fmt="none", label=told)  # fmt: skip


def _words(figure: Figure, facts: Facts) -> None:
    count = sum(facts.counts[state] for state in (KEEP, DISCARD, CRASH))
    title = f"autoresearch {facts.tag}: {count} experiment{'s' * (count != 1)}, {facts.counts[KEEP]} kept"
    best = facts.best
    if best is not None and best.baseline > 0 and len(facts.steps) > 1:
        share = 100 * (best.baseline - best.mean) / best.baseline
        title += f": val_bpb {best.baseline:.4f} → {best.mean:.4f} (−{share:.2f} %)"
    figure.text(0.065, 0.95, title, fontsize=16, color=INK, weight="bold", parse_math=False)
    told = [f"{facts.budget} a run, profile {facts.profile} on {facts.device}"] if facts.budget else []
    if best is not None and best.believed is not None and best.believed_sd is not None:
        told.append(f"believed gain, luck taken off: {best.believed:.4f} ± {best.believed_sd:.4f} bpb")
    if facts.counts[OPEN]:
        told.append(f"{facts.counts[OPEN]} not decided yet")
    figure.text(0.065, 0.915, "  ·  ".join(told), fontsize=11, color=MUTED, parse_math=False)


def _labels(
    figure: Figure, axes: Axes, facts: Facts, dots: Sequence[tuple[float, float]], last: int
) -> list[Box]:
    """The keeps' descriptions, with a line to the point where they are not beside it; returns their boxes."""
    kept = [one for one in facts.trials if one.state == KEEP and one.val_bpb is not None]
    wanted = _weighed(kept)
    if not wanted:
        return []
    from matplotlib.patheffects import withStroke

    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # Agg's has one
    to_pixels = axes.transData.transform
    artists, labels = [], []
    for one, weight in wanted:
        text = axes.text(0, 0, shortened(one), fontsize=8.5, color=KEPT, va="center", zorder=8, parse_math=False,
                         path_effects=[withStroke(linewidth=2.5, foreground="white")])  # fmt: skip
        size = text.get_window_extent(renderer)
        x, y = to_pixels((one.number, one.val_bpb or 0.0))
        artists.append(text)
        labels.append(Label(x, y, size.width, size.height, weight))
    frame = axes.get_window_extent(renderer)
    limits = Box(frame.x0 + 4, frame.y0 + 4, frame.x1 - 4, frame.y1 - 14)
    taken = [*_stairs(facts, last, to_pixels), *_marks(kept, dots, to_pixels), _legend(frame)]
    boxes = place(labels, limits, taken)
    for text, label, box in zip(artists, labels, boxes, strict=True):
        if box is None:
            text.remove()
            continue
        middle = (box.bottom + box.top) / 2
        text.set_transform(None)
        text.set_position((box.left, middle))
        end = box.left - 2 if box.left > label.x else box.right + 2
        if math.hypot(end - label.x, middle - label.y) > 2.2 * label.height:
            axes.plot([label.x, end], [label.y, middle], color=KEPT, alpha=0.35, linewidth=0.7, zorder=4,
                      transform=None, scalex=False, scaley=False)  # fmt: skip
    placed = [box for box in boxes if box is not None]
    if left := len(kept) - len(placed):
        axes.text(0.0, -0.075, f"{left} keep{'s' * (left > 1)} without a label", transform=axes.transAxes,
                  fontsize=8.5, color=MUTED)  # fmt: skip
    return placed


def _weighed(kept: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """The keeps to label, and how much each matters: first and last before all, then the largest steps."""
    drops = [(before.val_bpb or 0.0) - (one.val_bpb or 0.0) for before, one in itertools.pairwise(kept)]
    weights = [math.inf, *drops]
    if weights:
        weights[-1] = math.inf
    ranked = sorted(zip(kept, weights, strict=False), key=lambda pair: -pair[1])
    return ranked[:LABELS_MOST]


def shortened(one: Trial) -> str:
    text = one.description or "(no description)"
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1].rstrip()}…"


def _stairs(facts: Facts, last: int, to_pixels: Any) -> list[Box]:
    """What the staircase covers."""
    found = []
    for step, after in zip(facts.steps, [*facts.steps[1:], None], strict=True):
        x, y = to_pixels((step.number, step.val_bpb))
        x_end, y_end = to_pixels(
            (after.number if after else last * 1.02 + 0.25, after.val_bpb if after else step.val_bpb)
        )
        found.append(Box(x, y - 2, x_end, y + 2))
        found.append(Box(x_end - 2, min(y, y_end), x_end + 2, max(y, y_end)))
    return found


def _marks(kept: Sequence[Trial], dots: Sequence[tuple[float, float]], to_pixels: Any) -> list[Box]:
    """The points that labels keep off: the keeps, and all of them while they are few."""
    places = [(float(one.number), one.val_bpb or 0.0) for one in kept]
    places += dots if len(dots) <= DOTS_AVOIDED else []
    centres = [to_pixels(place) for place in places]
    return [Box(x - 6, y - 6, x + 6, y + 6) for x, y in centres]


def _legend(frame: Any) -> Box:
    """Where the legend stands: its size is known only once it is drawn, which is after the labels."""
    return Box(frame.x1 - 560, frame.y1 - 270, frame.x1, frame.y1)
