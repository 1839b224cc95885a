"""Child processes that never outlive their runner.

Three holds, because a runner may be killed at any instant: on Linux the kernel kills a child when its parent dies
(PR_SET_PDEATHSIG); each child leads a process group of its own, which is killed as a whole; and every process of a
run carries AUTORESEARCH_RUN in its environment, by which those that slipped away are found. Elsewhere than on
Linux a child notices the runner's death by the end of its socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from . import syscalls

MARK = "AUTORESEARCH_RUN"
STARTED_BY = "AUTORESEARCH_START"  # the pid of scripts/start.sh, in all that its client starts but the runs
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Signals that come from outside. The others (SIGSEGV, SIGABRT, …) are a program's own fault.
FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None  # before any fork


def spawn(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    inherit: Sequence[int] = (),
    file_most: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a process group and session of its own; it dies with this process. None of its files may
    become larger than `file_most` bytes."""
    parent = os.getpid()

    def die_with_parent() -> None:  # in the child, before exec; this process has one thread
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)
        # Whoever ignores it hands that on. The time of a child would be lost then, and the filter keeps it so.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        syscalls.restrict()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if file_most is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            most = file_most if hard == resource.RLIM_INFINITY else min(file_most, hard)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=inherit,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


def code_of(child: subprocess.Popen[bytes], *, boxed: bool) -> int:
    """The exit code of a child that has ended, negative for a signal; a box tells of its child's as 128 + N."""
    code = int(child.returncode)
    return 128 - code if boxed and code > 128 else code


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and its whole process group, and wait for the child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.returncode is None:
        child.kill()
        child.wait()


def kill_marked(run: Path, patience: float = 10.0) -> None:
    """Kill every process that carries the mark of `run`, until there is none left."""
    deadline = time.monotonic() + patience
    while pids := marked(run):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:  # uninterruptible in a driver, say: no more can be done from here
            return
        time.sleep(0.02)


def marked(run: Path) -> list[int]:
    """Living processes of this user that carry the mark of `run`."""
    return carrying(f"{MARK}={run}")


def carrying(entry: str) -> list[int]:
    """Living processes of this user, but for this one, with `entry` (NAME=value) in their environment."""
    if sys.platform == "linux":
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if pid != os.getpid() and entry.encode() in _environment(pid).split(b"\0")]
    # BSD's ps shows the environment after the command.
    listing = subprocess.run(["ps", "-axwwE", "-o", "pid=,command="], capture_output=True, text=True, check=False)
    lines = [line.split(None, 1) for line in listing.stdout.splitlines()]
    return [int(pid) for pid, *rest in lines if rest and entry in rest[0].split() and int(pid) != os.getpid()]


def works_in(pid: int, root: Path) -> bool:
    """Whether a process has its working directory in `root`; where the system does not tell, it is taken to."""
    try:
        return (Path(f"/proc/{pid}") / "cwd").readlink().is_relative_to(root)
    except OSError:
        return sys.platform != "linux"


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()  # empty for a zombie
    except OSError:
        return b""


def oom_kills() -> int:
    """How often this system's memory ran out and a process was killed for it, since it started; 0 if unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
