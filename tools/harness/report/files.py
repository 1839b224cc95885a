"""The report as files: report.html and progress.png in the campaign's folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import environment
from ..branch import Git
from ..situation import Situation
from ..text import said, write_whole
from . import book, page, picture
from .book import Book
from .facts import gather

PAGE = "report.html"
PATIENCE = 120.0  # seconds
NO_PICTURE = "no picture: this Python has no matplotlib: .venv/bin/python tools/report.py draws it"


@dataclass(frozen=True)
class Written:
    """`lines`: what to tell of it."""

    page: Path
    lines: tuple[str, ...]


def write(found: Book, text: Sequence[str]) -> Written:
    """Both, whole. `text`: the campaign in plain lines. They are the person's: what verify found is in them."""
    facts = gather(found, Git(found.root), private=True)
    target, drawn = found.folder / PAGE, found.folder / picture.FILE
    write_whole(target, page.render(facts, text))
    lines = [f"written: {target.relative_to(found.root)}"]
    if environment.has(picture.NEEDS):
        picture.draw(facts, drawn)
        lines.append(f"written: {drawn.relative_to(found.root)}")
    else:
        lines.append(f"note: {NO_PICTURE}")
    return Written(target, tuple(lines))


def leave(now: Situation, text: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The same at the end of research, where nothing may go wrong any more; returns what to tell of it.

    Where this Python cannot draw, the experiments' does: a person's scripts/start.sh runs in whatever is there.
    """
    if now.campaign is None:
        return ()
    own = environment.python(now.root, environ)
    try:
        if not environment.has(picture.NEEDS) and own != sys.executable:
            command = [own, str(now.root / "tools" / "report.py")]
            told = subprocess.run(command, env=dict(environ), capture_output=True, text=True, timeout=PATIENCE)
            if told.returncode == 0:
                return tuple(line for line in told.stdout.splitlines() if line.startswith(("written:", "note:")))
        return write(book.of(now), text).lines
    except Exception as error:
        return (f"note: no report was written ({said(str(error), 120)}): tools/report.py tries again",)
