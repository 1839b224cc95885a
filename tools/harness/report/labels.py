"""Where labels go beside their points, so that none overlaps another label, a point that matters, or the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = 2.0  # pixels between a label and whatever is next to it
# Distances from the point, in label heights: beside it first, then further up or down.
_RISES = (0.0, 0.8, -0.8, 1.6, -1.6, 2.6, -2.6, 3.8, -3.8, 5.2, -5.2, 7.0, -7.0, 9.0, 11.5, 14.0, 17.0)
_SHIFTS = (0.5, 1.5, 3.0)  # sideways, in label heights


@dataclass(frozen=True)
class Box:
    """Pixels, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box, gap: float = 0.0) -> bool:
        return (
            self.left < other.right + gap
            and other.left < self.right + gap
            and self.bottom < other.top + gap
            and other.bottom < self.top + gap
        )

    def inside(self, other: Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )


@dataclass(frozen=True)
class Label:
    """What is to be placed: its point, its size, and how much it matters (the higher the sooner)."""

    x: float
    y: float
    width: float
    height: float
    weight: float


def place(labels: Sequence[Label], frame: Box, taken: Sequence[Box] = ()) -> list[Box | None]:
    """A box for each label within `frame`, the nearest to its point that overlaps none of `taken` nor another
    label; None where there is no such place. What weighs most is placed first."""
    found: list[Box | None] = [None] * len(labels)
    filled = list(taken)
    for at in sorted(range(len(labels)), key=lambda at: (-labels[at].weight, at)):
        box = next(
            (
                box
                for box in candidates(labels[at])
                if box.inside(frame) and not any(box.overlaps(other, GAP) for other in filled)
            ),
            None,
        )
        if box is not None:
            found[at] = box
            filled.append(box)
    return found


def candidates(label: Label) -> list[Box]:
    """The places for a label that are tried, the best first: right of its point, then left, nearer before
    further."""
    boxes = []
    for rise in _RISES:
        middle = label.y + rise * label.height
        for shift in _SHIFTS:
            away = shift * label.height
            for left in (label.x + away, label.x - away - label.width):
                boxes.append(
                    Box(left, middle - label.height / 2, left + label.width, middle + label.height / 2)
                )
    return sorted(boxes, key=lambda box: _distance(box, label))


def _distance(box: Box, label: Label) -> float:
    """From the point to the box, in which far up or down counts a little more."""
    across = max(box.left - label.x, label.x - box.right, 0.0)
    along = max(box.bottom - label.y, label.y - box.top, 0.0)
    return across + 1.5 * along
