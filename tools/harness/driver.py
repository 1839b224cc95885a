"""Who does research in this checkout: one scripts/start.sh at a time, and all that it launched.

Two models in one working tree undo each other, whatever their campaigns. The lock goes with the process that holds
it, however that ends; the clients that it launched may outlive it, and are ended by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import Refused, client, processes, record
from .processes import STARTED_BY

LOCK = "start.lock"  # in runs/
LAUNCHED = "start.json"  # in runs/: whose clients may be left


@dataclass(frozen=True)
class Driver:
    """The start that is at work, and its campaign."""

    pid: int
    tag: str


def at_work(root: Path) -> Driver | None:
    """The start that is at work in this checkout; None where there is none."""
    return _read(root) if record.is_locked(root / "runs" / LOCK) else None


@contextlib.contextmanager
def the_only_one(root: Path, tag: str) -> Iterator[None]:
    """Keep a second start out, and end the clients of one that was killed. Raises Refused."""
    (root / "runs").mkdir(exist_ok=True)
    before = _read(root)
    deadline = time.monotonic() + 1.0  # whoever looks whether it is held holds it for that moment
    while (held := record.take_lock(root / "runs" / LOCK)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if held is None:
        at = f" on the campaign {before.tag} (process {before.pid})" if before else ""
        raise Refused(
            f"another scripts/start.sh is at work in this checkout{at}: see tools/status.py, end it with "
            "tools/stop.py, or start in another clone"
        )
    try:
        if before is not None:
            left = processes.carrying(f"{STARTED_BY}={before.pid}")
            client.kill([pid for pid in left if processes.works_in(pid, root)])
        place = root / "runs" / LAUNCHED
        place.write_text(json.dumps({"pid": os.getpid(), "tag": tag}) + "\n")
        yield
        place.unlink(missing_ok=True)
    finally:
        os.close(held)


def _read(root: Path) -> Driver | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        value = json.loads((root / "runs" / LAUNCHED).read_text())
        return Driver(int(value["pid"]), str(value["tag"]))
    return None
