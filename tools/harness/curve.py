"""A run's learning curve: reading what the feeder appended, and a few lines that show it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHARES = (0.10, 0.25, 0.50, 0.75, 1.00)  # of the budget, where two curves are held side by side
WINDOW = 0.025  # share of the budget either side over which a loss is averaged: one batch's loss is noisy
RECENT = 10.0  # seconds over which the speed is measured


@dataclass(frozen=True)
class Point:
    """One logged step. `progress`: share of the budget; `seconds`: since the clock started; `loss`: nats; `lr`:
    scale of the learning rates, where train.py logs it."""

    step: int
    progress: float
    seconds: float
    tokens: int
    loss: float
    lr: float | None = None


def read(path: str | os.PathLike[str], most: int | None = None) -> list[Point]:
    """The curve in `path`, oldest first; [] when there is none. Torn and nonsense lines are passed by.

    Where a run was started again, only what its last attempt logged is kept. `most`: about how many lines are
    looked at, evenly spread over the file, the last among them.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return []
    points: list[Point] = []
    lines = text.rstrip("\n").split("\n")
    stride = -(-len(lines) // most) if most else 1
    extend(points, lines[(len(lines) - 1) % stride :: stride])
    return points


def extend(points: list[Point], lines: Sequence[str]) -> None:
    """Add what `lines` of the file say to the `points` before them."""
    for line in lines:
        point = _point(line)
        if point is None:
            continue
        while points and points[-1].step >= point.step:
            points.pop()
        points.append(point)


def _point(line: str) -> Point | None:
    try:
        item = json.loads(line)
        point = Point(
            int(item["step"]),
            float(item["progress"]),
            float(item["seconds"]),
            int(item["tokens"]),
            float(item["loss"]),
            float(item["lr"]) if isinstance(item.get("lr"), (int, float)) else None,
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    sane = all(0 <= n <= 1e15 for n in (point.step, point.progress, point.seconds, point.tokens))
    return point if sane else None


def loss_at(points: Sequence[Point], share: float) -> float | None:
    """Mean training loss (nats a token) around `share` of the budget; None where the curve has not been."""
    if not points or points[-1].progress < share - 2 * WINDOW:
        return None
    near = [p.loss for p in points if abs(p.progress - share) <= WINDOW]
    if not near:  # few, long steps: the nearest one
        near = [min(points, key=lambda p: abs(p.progress - share)).loss]
    mean = sum(near) / len(near)
    return mean if math.isfinite(mean) else None


def compare(candidate: Sequence[Point], incumbent: Sequence[Point]) -> list[str]:
    """At most five short lines: the training loss beside the incumbent's at the same share of the budget."""
    lines = []
    for share in SHARES:
        ours, theirs = loss_at(candidate, share), loss_at(incumbent, share)
        if ours is None:
            continue
        line = f"{share:4.0%} of the budget: loss {ours:.4f}"
        if theirs is not None:
            line += f", incumbent {theirs:.4f} ({ours - theirs:+.4f})"
        lines.append(line)
    return lines or ["no curve yet"]


def progress_line(points: Sequence[Point]) -> str:
    """Where a running experiment is: `40 % | step 120 | loss 4.312 | 10.2k tok/s | 33 s left`."""
    if not points:
        return "starting: no step logged yet"
    last = points[-1]
    share = min(max(last.progress, 0.0), 1.0)
    parts = [f"{share * 100:.0f} %", f"step {last.step}", f"loss {last.loss:.3f}"]
    since = next((p for p in reversed(points) if last.seconds - p.seconds >= RECENT), points[0])
    tokens, seconds = last.tokens - since.tokens, last.seconds - since.seconds
    if seconds <= 0:
        tokens, seconds = last.tokens, last.seconds
    if seconds > 0.1 and tokens > 0:  # the first step is served at once, which is no speed
        parts.append(f"{_thousands(tokens / seconds)} tok/s")
    if share > 0 and last.seconds > 0:
        parts.append(f"{last.seconds * (1 - share) / share:.0f} s left")
    return " | ".join(parts)


def _thousands(number: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}" if number >= 100 * size else f"{number / size:.1f}{unit}"
    return f"{number:.0f}"
