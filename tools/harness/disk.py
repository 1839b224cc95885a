"""Is there room for a run? Looked at before anything of it is written, so that nothing is torn."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "AUTORESEARCH_DISK_RESERVE_MB"
RESERVE = 500.0  # MB
FULL = 8.0  # MB free below which what fails is likely to fail for want of room
SAID = ("no space left", "quota exceeded", "file write failed", "enospc")  # and what it says then
MB = 2**20


def reserve() -> float:
    """MB that have to be free before a run begins; what the variable holds, unless that is no number."""
    try:
        value = float(os.environ.get(VARIABLE) or RESERVE)
    except ValueError:
        return RESERVE
    return value if 0 <= value < 1e12 else RESERVE


def shortage(root: Path) -> str | None:
    """One line where the disk of runs/ has no room for a run: what is free, what is needed, what to do."""
    found, needed = free(root), reserve()
    if found is None or (found >= needed and (found > 0 or needed == 0)):
        return None
    return (
        f"{found:.0f} MB are free on the disk of {root / 'runs'}, and a run needs {needed:.0f} MB ({VARIABLE}): "
        "a person has to make room there, nothing is lost meanwhile"
    )


def free(root: Path) -> float | None:
    """MB that may still be written below runs/; None where nobody knows."""
    for place in (root / "runs", root):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        if found.f_files and not found.f_favail:  # bytes enough, and no file can be made
            return 0.0
        return found.f_bavail * found.f_frsize / MB
    return None


def is_full(root: Path, said: str) -> bool:
    """Whether what failed, and `said` this last, failed for want of room."""
    found = free(root)
    if found is None:
        return False
    return found < FULL or (found < reserve() and any(words in said.lower() for words in SAID))
