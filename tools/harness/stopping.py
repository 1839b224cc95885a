"""Why no further experiment is to begin: a person asked for the end (the file STOP), or a limit is reached.

What is in hand is always finished and logged first; STOP with the word `now` in it asks to discard it instead.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import limits, stint
from .branch import STEERING
from .text import write_whole

if TYPE_CHECKING:
    from .situation import Situation

FILE = "STOP"  # at the root
ASKED = "a person asked for the end (STOP); the person may go on with tools/stop.py --withdraw"
RAISE = "to go on, the person may raise it in program.md or with scripts/start.sh"


@dataclass(frozen=True)
class Request:
    """An end that was asked for. `now`: what is in hand is discarded, not finished."""

    now: bool


def asked(root: Path) -> Request | None:
    """What STOP asks for; None where there is none."""
    path = root / FILE
    if not os.path.lexists(path):
        return None
    try:
        with path.open("rb") as file:
            words = file.read(1000).decode("utf-8", "replace").lower()
    except OSError:  # a folder, a link to nothing: it is there, and that is enough
        words = ""
    return Request(re.search(r"\bnow\b", words) is not None)


def at_once(root: Path) -> bool:
    """Whether STOP asks for an end without delay."""
    request = asked(root)
    return request is not None and request.now


def ask(root: Path, now: bool) -> None:
    """Ask for the end; one that was asked for `now` stays so."""
    before = asked(root)
    if before is None or (now and not before.now):
        write_whole(root / FILE, "now\n" if now else "")


def withdraw(root: Path, before: float = float("inf")) -> bool:
    """Take STOP back, if it was made `before` (unix time); says whether there was one."""
    path = root / FILE
    if not os.path.lexists(path) or path.lstat().st_mtime > before:
        return False
    with contextlib.suppress(FileNotFoundError):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return True


def reason(now: Situation) -> str | None:
    """Why no further experiment begins, and how a person goes on, in one line; None where one may begin."""
    if asked(now.root) is not None:
        return ASKED
    found, _ = stint.limits(now)
    told = limits.reached(found, stint.spent(now)) if found else None
    # A limit of a flag ends with the start that it was given to.
    return f"{told}; {RAISE}" if told and STEERING in told else told
