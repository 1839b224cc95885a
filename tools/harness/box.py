"""The box: what a process that runs train.py can see and touch, as a bubblewrap command.

Everything is left out that is not named here: no network, no home, no git, no data, no other run, no process but
its own. What is named is there to be read: the system's programs and libraries, the Python of the campaign, the
snapshot, the preparation's constants, kernels that preparation fetched, the GPU. The trainer may write its work/
and its compile cache; the model host may write nothing. When the box's first process goes, all in it go.

Only Linux has it. Elsewhere, and where the system forbids it, runs are not boxed: record and report say so.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import quota
from .preparation import Preparation

NAME = "bubblewrap"
OFF = "AUTORESEARCH_SANDBOX"  # =off: a person's wish, at a campaign's start
COMPILE = Path("/compile")  # the cache's place in the box: always the same, since Triton writes it into its files

# Each with a namespace of its own; a user namespace also takes root's power from root.
_APART = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
_ENDS = ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
_SYSTEM = ["/usr", "/nix/store", "/run/opengl-driver", "/sys"]
_HIDDEN = ["/usr/share", "/usr/local/share", "/usr/src"]  # manuals: text to learn from before the clock runs
_MERGED = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]  # links into /usr on most systems
_ETC = ["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "localtime", "alternatives"]
_SYSTEM_PATH = "/usr/bin:/bin:/usr/local/bin"  # before PATH: a command's own PATH could lead anywhere
_DEVICES = ["nvidia*", "dri", "kfd", "dxg"]
_SCRATCH = 0.2  # of the machine's memory, for /dev/shm and /tmp each: what is written there is memory


@dataclass(frozen=True)
class Box:
    """A working bubblewrap. `shown`: files and folders to be read inside, where they are outside too."""

    program: Path
    shown: tuple[Path, ...]
    options: frozenset[str] = frozenset()  # of those that older versions lack: --size, --disable-userns

    def around(self, run: Path, files: Iterable[str], *, training: bool) -> list[str]:
        """What a command on the run folder `run` begins with: of it, `files` and work/ are there."""
        memory = quota.machine_memory()
        size = ["--size", str(int(_SCRATCH * memory))] if memory and "--size" in self.options else []
        command = [str(self.program), *_APART, *_ENDS, *(self.options & {"--disable-userns"})]
        command += _read(p for p in map(Path, _SYSTEM) if p.exists())
        for path in map(Path, _MERGED):
            if path.is_symlink():
                command += ["--symlink", os.readlink(path), str(path)]  # noqa: PTH115  # as it is written
            elif path.is_dir():
                command += _read([path])
        command += [word for path in _HIDDEN if Path(path).is_dir() for word in ("--tmpfs", path)]
        command += _read(p for p in (Path("/etc") / name for name in _ETC) if p.exists())
        command += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp"]
        for path in sorted(p for pattern in _DEVICES for p in Path("/dev").glob(pattern)):
            command += ["--dev-bind", str(path), str(path)]
        command += _read(self.shown)
        command += _read(run / name for name in files)
        work = run / "work"
        if training:
            command += ["--bind", str(work), str(work), "--bind", str(work / "compile"), str(COMPILE)]
        else:
            command += ["--dir", str(COMPILE), *_read([work])]
        # Root could write to /proc/sys (a program for core dumps, say), which no user namespace prevents.
        for mount in ("/proc", "/dev", "/"):
            command += ["--remount-ro", mount]
        return [*command, "--chdir", str(run), "--"]


def _read(paths: Iterable[Path]) -> list[str]:
    return [word for path in paths for word in ("--ro-bind", str(path), str(path))]


def find(root: Path, pinned: str = "") -> tuple[Path | None, str]:
    """A bubblewrap that works here; else None and why, in a few words. The system's own comes first, then PATH's
    and the checkout's. A campaign goes on with the one that it began with (`pinned`, see `identity`), or not."""
    if sys.platform != "linux":
        return None, f"bubblewrap is for Linux, this is {sys.platform}"
    if os.environ.get(OFF, "").lower() in ("off", "0", "no", "none"):
        return None, f"switched off by {OFF}"
    import shutil

    places = (_SYSTEM_PATH, os.environ.get("PATH"), str(root / ".tools" / "bin"))
    program = next((found for place in places if (found := shutil.which("bwrap", path=place))), None)
    if pinned:
        program = pinned.partition(" ")[0]
        if identity(Path(program)) != pinned:
            return None, f"{program} is not the bubblewrap that the campaign began with"
    if program is None:
        return None, "bubblewrap is not installed: scripts/setup.sh fetches it where it can"
    failure = failure_of(program)
    return (None, f"bubblewrap does not work here ({failure})") if failure else (Path(program), "")


def identity(program: Path) -> str:
    """Which program it is: its path and the sha256 of what is in it."""
    try:
        return f"{program} {hashlib.sha256(program.read_bytes()).hexdigest()}"
    except OSError:
        return f"{program} gone"


@functools.cache
def failure_of(program: str) -> str:
    """What keeps this bubblewrap from working, one line; empty when it works."""
    command = [program, *_APART, *_ENDS, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "true"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1][:200] if lines else f"exit code {done.returncode}")


def make(root: Path, program: Path, python: str, data: Preparation, environment: Mapping[str, str]) -> Box:
    """The box for runs with this Python and preparation."""
    home, secret = Path.home(), (root, data.folder)
    libraries = [*environment.get("LD_LIBRARY_PATH", "").split(":"), environment.get("CUDA_HOME", "")]
    wanted = [*pythons_of(python), *(Path(path) for path in libraries if path.startswith("/"))]
    wanted += [data.folder / "meta.json", data.folder / "tokenizer.json", *data.kernels]
    shown: list[Path] = []
    for path in wanted:
        inside = any(path.is_relative_to(known) for known in (Path("/usr"), *shown))
        holds_more = any(other.is_relative_to(path) for other in (home, *secret))  # a home is no library's folder
        if path.exists() and not inside and not holds_more:
            shown.append(path)
    usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
    return Box(program, tuple(shown), frozenset(name for name in ("--size", "--disable-userns") if name in usage))


def pythons_of(python: str) -> list[Path]:
    """All that this Python is made of: its environment, the Python below it, what is on its path."""
    code = "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix, sys.base_exec_prefix, *sys.path]))"
    done = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    named = [Path(path) for path in json.loads(done.stdout) if path.startswith("/")]
    return list(dict.fromkeys([*named, *(path.resolve() for path in named)]))
