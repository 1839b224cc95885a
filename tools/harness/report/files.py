"""The report as files: report.html and progress.png in the campaign's folder."""

from __future__ import annotations

from collections.abc import Sequence
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


def leave(now: Situation, text: Sequence[str]) -> tuple[str, ...]:
    """The same at the end of research, where nothing may go wrong any more; returns what to tell of it."""
    if now.campaign is None:
        return ()
    try:
        return write(book.of(now), text).lines
    except Exception as error:
        return (f"note: no report was written ({said(str(error), 120)}): tools/report.py tries again",)
