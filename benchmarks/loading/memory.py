"""The most memory that a command and all it starts hold at one time."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from feeder import tree

LOOK = 0.1  # seconds between two looks


class CommandFailed(Exception):
    """The message is its last words."""


def held(pid: int) -> int:
    """Bytes of its own that process `pid` holds: nothing that it maps of files, which the system can drop, and its
    part of what it shares, so that a sum over processes counts that once. Elsewhere than on Linux its resident
    memory. 0 when it is gone."""
    if sys.platform != "linux":
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(pid).memory_info().rss)
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    return 0


def peak_of(command: Sequence[str], environ: dict[str, str]) -> tuple[int, float]:
    """Peak bytes and wall seconds of a command. Raises CommandFailed."""
    began, peak = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environ, stdout=said, stderr=said)
        while process.poll() is None:
            peak = max(peak, sum(map(held, tree(process.pid))))
            time.sleep(LOOK)
        if process.returncode != 0:
            said.seek(0)
            raise CommandFailed(said.read().strip()[-300:])
    return peak, time.monotonic() - began
