"""How much of the machine a run may take, and whether it takes more: memory, processes, disk, log.

Looked at a few times a second by the runner, which ends what goes over. That holds for root as well, whom most of
the system's own limits pass by.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.25  # seconds between two looks
PROCESSES_MOST = 512  # compile workers are some tens
MEMORY_MOST = 0.95  # share of the machine's
WORK_MOST = 16 * 2**30  # bytes: weights, and what is written on the way
LOG_MOST = 64 * 2**20  # bytes that a run may print
FILE_MOST = WORK_MOST  # bytes of one file, which the system enforces


@dataclass(frozen=True)
class Usage:
    """What a process and all below it hold. `memory`: resident, in bytes, None where the system does not tell;
    `peak`: the most that one of them ever held."""

    processes: int
    memory: int | None
    peak: int = 0


def excess(usage: Usage, work: int, log: int, machine: int | None) -> str:
    """What is over its limit, in words; empty where nothing is. `work`, `log` and `machine`'s memory in bytes."""
    if usage.processes > PROCESSES_MOST:
        return f"it started {usage.processes} processes, more than {PROCESSES_MOST}"
    if usage.memory is not None and machine is not None and usage.memory > MEMORY_MOST * machine:
        return f"out of memory: it holds {usage.memory / 2**30:.1f} GB of the machine's {machine / 2**30:.1f}"
    if work > WORK_MOST:
        return f"it wrote {work / 2**30:.1f} GB into work/, more than {WORK_MOST / 2**30:.0f}"
    if log > LOG_MOST:
        return f"it printed more than {LOG_MOST / 2**20:.0f} MB"
    return ""


def usage(pid: int) -> Usage:
    """Of process `pid` and all below it."""
    held = [sizes for below in tree(pid) if (sizes := _memory(below)) is not None]
    if not held:
        return Usage(1, None)
    return Usage(len(held), sum(now for now, _ in held), max(peak for _, peak in held))


def tree(pid: int) -> Iterator[int]:
    """Process `pid` and the living below it, as Linux lists them; `pid` alone elsewhere. feeder.tree is the same
    with psutil, which no command has: tests/fixed/test_feeder.py holds them together."""
    waiting = [pid]
    while waiting:
        yield (now := waiting.pop())
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{now}/task").iterdir():
                with contextlib.suppress(OSError):
                    waiting += map(int, (task / "children").read_text().split())


def size_of(folder: Path) -> int:
    """Bytes on disk of all in `folder`, links not followed; more than any limit where it is nested too deep."""
    total = 0
    try:
        for path, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118  # quick
    except RecursionError:
        return 1 << 62
    return total


def machine_memory() -> int | None:
    """Bytes."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _memory(pid: int) -> tuple[int, int] | None:
    """Resident now, and at most so far, in bytes; zeros for a process that is ending."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)
             if name in ("VmRSS", "VmHWM")}  # fmt: skip
    return sizes.get("VmRSS", 0), sizes.get("VmHWM", 0)
