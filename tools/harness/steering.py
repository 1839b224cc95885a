"""program.md, the person's steering: read, never judged, never written. It may change at any moment."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .branch import STEERING
from .ledger import clean

GOAL_LIMIT = 200  # characters


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
