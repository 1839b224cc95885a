"""What the agent makes of its experiments, a line now and then, for whoever comes after a compaction.

    runs/<tag>/lessons.jsonl        {"experiments": 10, "at": 1760000000.0, "lesson": "…"} a line

It is text that a model wrote: shown, it is cleaned and says whose it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import Refused
from .text import said, write_whole

NAME = "lessons.jsonl"
EVERY = 10  # experiments, after which one is asked for
SHOWN = 3
LENGTH = 240  # characters of one


@dataclass(frozen=True)
class Lesson:
    """`experiments`: how many were decided when it was drawn, the baseline not counted."""

    experiments: int
    text: str


def read(folder: Path) -> list[Lesson]:
    """The campaign's lessons, oldest first; a line that is none is passed by."""
    found = []
    for line in _text(folder).split("\n"):
        try:
            value = json.loads(line)
            found.append(Lesson(int(value["experiments"]), said(str(value["lesson"]), LENGTH)))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def add(folder: Path, experiments: int, text: str) -> Lesson:
    """Write one more down, below what is there. Raises Refused for one that says nothing."""
    lesson = Lesson(experiments, said(text, LENGTH))
    if not lesson.text:
        raise Refused("--lesson is empty: say in one line what the last experiments taught")
    value = {"experiments": experiments, "at": time.time(), "lesson": lesson.text}
    before = _text(folder)
    before += "\n" if before and not before.endswith("\n") else ""  # somebody's editor
    write_whole(folder / NAME, f"{before}{json.dumps(value, ensure_ascii=False)}\n")
    return lesson


def due(found: Sequence[Lesson], experiments: int) -> int:
    """How many experiments the last lesson is behind, where one is asked for; else 0."""
    since = experiments - (found[-1].experiments if found else 0)
    return since if since >= EVERY else 0


def told(found: Sequence[Lesson]) -> list[str]:
    """The latest, the newest first, fit to show."""
    return [f"after {one.experiments} experiments: {one.text}" for one in reversed(found[-SHOWN:])]


def _text(folder: Path) -> str:
    try:
        return (folder / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
