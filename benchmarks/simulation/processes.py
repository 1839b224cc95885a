"""The processes of a night, known by a mark in their environment, which whatever they start inherits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def marked(mark: str) -> dict[int, list[str]]:
    """Living processes of this user with `mark` (NAME=value) in their environment, with their command lines."""
    if sys.platform == "linux":
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return {
            pid: _words(pid, "cmdline") for pid in pids if pid != os.getpid() and mark in _words(pid, "environ")
        }
    # BSD's ps shows the environment after the command.
    listing = subprocess.run(["ps", "-axwwE", "-o", "pid=,command="], capture_output=True, text=True).stdout
    lines = [line.split() for line in listing.splitlines()]
    return {int(pid): words for pid, *words in lines if mark in words and int(pid) != os.getpid()}


def clients(mark: str) -> list[int]:
    """Those among them that carry out a turn of the model: `opencode run …`, but for start's question to it."""
    return [
        pid
        for pid, words in marked(mark).items()
        if words and Path(words[0]).name == "opencode" and "run" in words[1:2] and "probe" not in words
    ]


def kill(pids: Sequence[int]) -> int:
    """SIGKILL; returns how many there were to be killed."""
    killed = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def kill_all(mark: str, patience: float = 10.0) -> None:
    """SIGKILL for every one of them, until none is left."""
    deadline = time.monotonic() + patience
    while (pids := list(marked(mark))) and time.monotonic() < deadline:
        kill(pids)
        time.sleep(0.02)


def left(mark: str, patience: float) -> list[str]:
    """Command lines of those that are still there after `patience` seconds."""
    deadline = time.monotonic() + patience
    while (there := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [" ".join(words)[:200] for words in there.values()]


def _words(pid: int, name: str) -> list[str]:
    """A file of /proc with words that end in a zero byte; empty for a zombie, and for another's process."""
    try:
        raw = Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return []
    return raw.decode("utf-8", "replace").rstrip("\0").split("\0")
