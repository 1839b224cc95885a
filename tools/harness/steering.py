"""program.md, the person's steering: read, never judged, never written. It may change at any moment."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from .branch import STEERING
from .ledger import clean
from .text import printable

if TYPE_CHECKING:
    from .situation import Situation

GOAL_LIMIT = 200  # characters
CHANGES_MOST = 40  # lines of a difference that are shown …
CHANGE_LIMIT = 300  # … and characters of one of them
COMPARED_MOST = 200_000  # bytes of program.md that are compared
CHANGED = f"{STEERING}: changed since the last run; read it again."


def read(root: Path) -> bytes | None:
    """program.md as it is now; None where there is none."""
    try:
        return (root / STEERING).read_bytes()
    except OSError:
        return None


def digest(program: bytes | None) -> str | None:
    """By which a change is noticed; None where there is no program.md."""
    return hashlib.sha256(program).hexdigest() if program is not None else None


def goal(program: bytes | None) -> str | None:
    """The first line under the heading that speaks of the goal, else the first line of text."""
    lines = [line.strip() for line in (program or b"").decode("utf-8", "replace").splitlines()]
    heads = [i for i, line in enumerate(lines) if line.startswith("#") and "goal" in line.lower()]
    below = lines[heads[0] + 1 :] if heads else lines
    text = next((line for line in below if line and not line.startswith(("#", "<!--"))), None)
    return clean(text)[:GOAL_LIMIT] if text else None


def changed(now: Situation) -> bool:
    """Whether program.md is not what the last run began with."""
    return bool(now.runs) and digest(read(now.root)) != now.runs[-1].request.program_sha256


def changes(now: Situation) -> list[str]:
    """What changed in program.md since the last run, as a unified difference; empty where nothing did."""
    if not changed(now):
        return []
    program = read(now.root)
    if program is None:
        return [f"({STEERING} is gone)"]
    before = read(now.runs[-1].path) if now.runs[-1].request.program_sha256 else b""
    if before is None:
        return [f"(the last run's copy of {STEERING} is gone)"]
    found = list(difflib.unified_diff(_lines(before), _lines(program), n=1, lineterm=""))[2:]
    shown = [line if len(line) <= CHANGE_LIMIT else f"{line[: CHANGE_LIMIT - 1]}…" for line in found]
    if len(shown) > CHANGES_MOST:
        shown = [*shown[:CHANGES_MOST], f"… and {len(shown) - CHANGES_MOST} more lines"]
    return shown or ["(in white space only)"]


def told(lines: list[str]) -> list[str]:
    """The lines that say so, around a difference; none where there is none."""
    return [f"{CHANGED} The difference:", *(f"  {line}" for line in lines)] if lines else []


def _lines(program: bytes) -> list[str]:
    text = program[:COMPARED_MOST].decode("utf-8-sig", "replace")
    return [printable(line).rstrip() for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n")]
