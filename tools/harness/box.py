"""The box: what a process that runs train.py can see and touch, as a bubblewrap command.

Everything is left out that is not named here: no network, no home, no git, no data, no other run, no process but
its own. What is named is there to be read: the system's programs and libraries, the Python of the campaign, the
snapshot, the preparation's constants, kernels that preparation fetched, the GPU. The trainer may write its work/
and its compile cache; the model host may write nothing. When the box's first process goes, all in it go.

Only Linux has it. Elsewhere, and where the system forbids it, runs are not boxed: record and report say so.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import quota
from .preparation import Preparation, cache
from .text import sha256_of

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
    """A working bubblewrap. `shown`: files and folders to be read inside, where they are outside too. `hidden`:
    folders that lie among what is shown, empty inside but for what is shown of them by itself."""

    program: Path
    shown: tuple[Path, ...]
    options: frozenset[str] = frozenset()  # of those that older versions lack: --size, --disable-userns
    hidden: tuple[Path, ...] = ()

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
        empty = [*(path for path in _HIDDEN if Path(path).is_dir()), *map(str, self.hidden)]
        command += [word for path in empty for word in ("--tmpfs", path)]
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
        for mount in (*empty, "/proc", "/dev", "/"):
            command += ["--remount-ro", mount]
        return [*command, "--chdir", str(run), "--"]


def _read(paths: Iterable[Path]) -> list[str]:
    return [word for path in paths for word in ("--ro-bind", str(path), str(path))]


def find(root: Path, pinned: str = "") -> tuple[Path | None, str]:
    """A bubblewrap that works here; else None and why, in a few words. A campaign goes on with the one that it
    began with (`pinned`, see `identity`), or not."""
    if sys.platform != "linux":
        return None, f"bubblewrap is for Linux, this is {sys.platform}"
    if os.environ.get(OFF, "").lower() in ("off", "0", "no", "none"):
        return None, f"switched off by {OFF}"
    program = installed(root)
    if pinned:
        program = Path(pinned.partition(" ")[0])
        if identity(program) != pinned:
            return None, f"{program} is not the bubblewrap that the campaign began with"
    if program is None:
        return None, "bubblewrap is not installed: scripts/setup.sh fetches it where it can"
    failure = failure_of(program)
    return (None, f"bubblewrap does not work here ({failure})") if failure else (program, "")


def installed(root: Path) -> Path | None:
    """The system's bwrap, for which an AppArmor profile may be there, else PATH's, else the one that set-up put
    into this checkout. Whether it works here, `failure_of` says."""
    places = (_SYSTEM_PATH, os.environ.get("PATH"), str(root / ".tools" / "bin"))
    found = next((found for place in places if (found := shutil.which("bwrap", path=place))), None)
    return Path(found) if found else None


def identity(program: Path) -> str:
    """Which program it is: its path and the sha256 of what is in it."""
    return f"{program} {sha256_of(program) or 'gone'}"


@functools.cache
def failure_of(program: Path) -> str:
    """What keeps this bubblewrap from working, one line; empty when it works."""
    bare = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "true"]
    command = [str(program), *_APART, *_ENDS, *bare]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "no answer within a minute"
    except OSError as error:
        return error.strerror or str(error)
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1][:200] if lines else f"exit code {done.returncode}")


def make(root: Path, program: Path, python: str, data: Preparation, environment: Mapping[str, str]) -> Box:
    """The box for runs with this Python and preparation."""
    home, secret = Path.home(), (root, data.folder)
    hidden = among_the_system([*secret, cache()])
    libraries = [*environment.get("LD_LIBRARY_PATH", "").split(":"), environment.get("CUDA_HOME", "")]
    wanted = [*pythons_of(python), *(Path(path) for path in libraries if path.startswith("/"))]
    wanted += [data.folder / "meta.json", data.folder / "tokenizer.json", *data.kernels]
    shown: list[Path] = []
    for path in wanted:
        inside = any(_shows(known, path, hidden) for known in (Path("/usr"), *shown))
        holds_more = any(other.is_relative_to(path) for other in (home, *secret))  # a home is no library's folder
        if path.exists() and not inside and not holds_more:
            shown.append(path)
    usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
    options = frozenset(name for name in ("--size", "--disable-userns") if name in usage)
    return Box(program, tuple(shown), options, hidden)


def among_the_system(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Those of `folders` that would be shown with the system: a checkout in /usr/local/app, say. Outer ones first,
    as they have to be covered."""
    real = {path.resolve() for path in folders}
    system = [Path(path) for path in (*_SYSTEM, *_MERGED)]
    return tuple(sorted(path for path in real if any(path.is_relative_to(shown) for shown in system)))


def _shows(known: Path, path: Path, hidden: Iterable[Path]) -> bool:
    """Whether `path` is to be seen in the folder `known`, and in none that is hidden there."""
    covers = (*hidden, *map(Path, _HIDDEN))
    covered = any(path.is_relative_to(cover) and cover.is_relative_to(known) for cover in covers)
    return path.is_relative_to(known) and not covered


def pythons_of(python: str) -> list[Path]:
    """All that this Python is made of: its environment, the Python below it, what is on its path."""
    code = "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix, sys.base_exec_prefix, *sys.path]))"
    done = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    named = [Path(path) for path in json.loads(done.stdout) if path.startswith("/")]
    return list(dict.fromkeys([*named, *(path.resolve() for path in named)]))
