"""A live view of a campaign: what is cheap is looked at each second, all runs only when something has changed.

Nothing is locked or mended here, so that looking on never comes between an agent and its bench.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import Refused, campaign, curve, record, situation
from .board import Running, running
from .branch import STEERING, TRAIN, Git
from .curve import Point
from .situation import Situation

EVERY = 1.0  # seconds between two looks
FILES = ("record.json", "decision.json", "trained.json", "run.json")
POINTS = 2000  # of the incumbent's curve that are read
Stamp = tuple[object, ...]


@dataclass
class Tail:
    """A curve that grows: only what was appended since the last look is read."""

    path: Path
    points: list[Point] = field(default_factory=list)
    _offset: int = 0
    _rest: bytes = b""

    def read(self) -> list[Point]:
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:  # begun again
                    self.points, self._offset, self._rest = [], 0, b""
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return self.points
        self._offset += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        curve.extend(self.points, [line.decode("utf-8", "replace") for line in whole])
        return self.points


class Change:
    """Whether the campaign at `root` has got on since the last look: by names and times of a few files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.head: Path | None = None
        self.folder: Path | None = None
        self._listed: Stamp | None = None
        self.newest: Path | None = None

    def stamp(self) -> Stamp:
        """Another one whenever something has happened."""
        head, tag = self._branch()
        folder = campaign.folder(self.root, tag) if tag else None
        listed = folder, _when(folder) if folder else None
        if listed != self._listed:
            self._listed = listed
            self.newest = max(folder.glob("[0-9]*-*"), default=None) if folder else None
        files = [self.newest / name for name in FILES] if self.newest else []
        files += [self.root / TRAIN, self.root / STEERING, self.root / "STOP"]
        return head, listed, self.is_alive, *map(_when, files)

    @property
    def is_alive(self) -> bool:
        """Whether the newest run is in progress."""
        return self.newest is not None and record.is_locked(self.newest / "run.lock")

    def _branch(self) -> tuple[str, str]:
        """What HEAD says, and the campaign's tag, if it is one's."""
        try:
            if self.head is None:
                self.head = self.root / Git(self.root).line("rev-parse", "--git-path", "HEAD")
            text = self.head.read_text(errors="replace").strip()
        except (OSError, Refused):
            return "", ""
        return text, text.partition("refs/heads/autoresearch/")[2]


def _when(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Watcher:
    """The campaign that is checked out at `root`, looked up again whenever it has changed. `trouble`: why it could
    not be; `kept`: what the caller made of the last look."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trouble = ""
        self.is_new = False
        self.kept: Any = None
        self._change = Change(root)
        self._stamp: Stamp | None = None
        self._now: Situation | None = None
        self._tail: Tail | None = None
        self._theirs: list[Point] = []

    def look(self) -> Situation | None:
        """The situation; None where there is none to be seen, for now."""
        stamp = self._change.stamp()
        self.is_new = stamp != self._stamp or self._now is None
        if not self.is_new:
            return self._now
        try:
            self._now, self._stamp = situation.look(self.root, mend=False), stamp
        except (Refused, OSError) as error:
            self._now, self.trouble = None, " ".join(str(error).split())
            return None
        best = self._now.incumbent
        self._theirs = curve.read(best.runs[-1].path / "curve.jsonl", POINTS) if best else []
        return self._now

    def running(self, now: Situation) -> Running | None:
        """The run in progress, by what its curve has now."""
        if now.state.name != "running" or now.newest is None:
            return None
        path = now.newest.last.path
        if self._tail is None or self._tail.path.parent != path:
            self._tail = Tail(path / "curve.jsonl")
        return running(self._tail.read(), self._theirs, (path / "trained.json").exists())


def every_second(draw: Callable[[], None], until: Callable[[], bool] = lambda: False) -> None:
    """Draw, and again each second; what takes longer leaves out a beat instead of making up for it."""
    due = time.monotonic()
    while not until():
        draw()
        due = max(due + EVERY, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0.05))
