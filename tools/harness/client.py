"""The opencode client: where it is, how it is launched, how it is ended.

Measured with opencode 1.18: `opencode run` exits when the model ends its turn, reads a stdin that is no terminal
to its end, and on SIGTERM leaves the shell command it was running behind; so a turn gets no stdin, and whoever
ends a client ends what it started too. A run of the bench is left alone: it is not the client's to lose.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import processes
from .processes import STARTED_BY

# The versions this was built and measured with. What a person has on PATH already is used as it is.
OPENCODE_VERSION = "1.18.33"
RIPGREP_VERSION = "1.18.0"

MACHINES = {"x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64"}
WAIT_SECONDS = 840  # a whole experiment in one command …
SHELL_MILLISECONDS = 900_000  # … which the client's shell has to allow; its own limit is two minutes
GRACE = 3.0  # seconds that a process has to end by itself
RUNNER = "harness.runner"  # in the command line of a run that is to go on
HEADLESS = "AUTORESEARCH_HEADLESS"  # tells our plugin in the client that we prompt the model, and not it


# ---------------------------------------------------------------------------------------------------
# Where it is


def tools_dir(root: Path) -> Path:
    """Where set-up installs; a dot-folder, so that opencode does not look for skills in it."""
    return root / ".tools"


def find_program(root: Path, name: str) -> Path | None:
    """`name` as set-up installed it, else the one on PATH."""
    found = shutil.which(name, path=search_path(root))
    return Path(found) if found else None


def search_path(root: Path) -> str:
    """PATH for the client: a Python new enough for the tools, and its own programs, come first."""
    first = [str(root / ".venv" / "bin"), str(tools_dir(root) / "bin")]
    return os.pathsep.join([*first, os.environ.get("PATH", os.defpath)])


def packages() -> dict[str, str]:
    """The npm packages that hold this platform's binaries: program name to `package@version`.

    opencode searches skills with ripgrep, and would fetch it from GitHub at its first launch. Raises LookupError
    where opencode ships no binary.
    """
    system = sys.platform
    machine = MACHINES.get(platform.machine().lower())
    if system not in ("linux", "darwin") or machine is None:
        raise LookupError(f"opencode ships no binary for {system} on {platform.machine()}")
    opencode = f"opencode-{system}-{machine}"
    # The regular x64 build needs AVX2; on an Intel Mac that is not worth finding out.
    if machine == "x64" and (system == "darwin" or "avx2" not in Path("/proc/cpuinfo").read_text().split()):
        opencode += "-baseline"
    if system == "linux" and any(Path("/lib").glob("ld-musl-*")):
        opencode += "-musl"
    return {
        "opencode": f"{opencode}@{OPENCODE_VERSION}",
        "rg": f"@vscode/ripgrep-{system}-{machine}@{RIPGREP_VERSION}",
    }


# ---------------------------------------------------------------------------------------------------
# How it is launched


@dataclass(frozen=True)
class Client:
    """opencode in the checkout `root`, with the environment and the arguments that every launch gets."""

    program: Path
    root: Path
    environ: Mapping[str, str]
    model: str | None = None  # provider/name; None: the one the person configured

    def turn(self, prompt: str, session: str | None, agent: str = "") -> subprocess.Popen[str]:
        """One turn without a terminal, a JSON event a line on stdout; ends when the model ends its turn."""
        arguments = ["run", "--format", "json", *self._model(), *(["--agent", agent] if agent else [])]
        if session:
            arguments += ["--session", session]
        return subprocess.Popen(
            [str(self.program), *arguments, prompt],
            cwd=self.root,
            env={**self.environ, HEADLESS: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us, who then end it in good order
        )

    def window(self, prompt: str) -> subprocess.Popen[bytes]:
        """The client in this terminal, with the prompt given."""
        return subprocess.Popen(
            [str(self.program), "--prompt", prompt, *self._model()], cwd=self.root, env=dict(self.environ)
        )

    def models(self) -> list[str]:
        """Models that can be used now, as provider/name: of configured providers, and opencode's own free ones.

        Takes some seconds. Raises OSError where the client cannot be run.
        """
        done = subprocess.run(
            [str(self.program), "models"],
            cwd=self.root,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode != 0:
            raise OSError((done.stderr.strip().splitlines() or ["it says nothing"])[-1])
        return [line.strip() for line in done.stdout.splitlines() if "/" in line]

    def _model(self) -> list[str]:
        return ["--model", self.model] if self.model else []


def environment(root: Path) -> dict[str, str]:
    """The environment for a client in this checkout: our programs first, and time for a whole experiment."""
    return {
        **os.environ,
        "PATH": search_path(root),
        "PWD": str(root),  # opencode works there, whatever directory it is started in
        STARTED_BY: str(os.getpid()),
        # At each launch opencode fetches a package for plugins (ours needs none): 80 s where there is no network,
        # 10 s without the retries.
        "npm_config_fetch_retries": "0",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_EXPERIMENTAL_BASH_DEFAULT_TIMEOUT_MS": str(SHELL_MILLISECONDS),
        "AUTORESEARCH_WAIT": str(WAIT_SECONDS),
    }


# ---------------------------------------------------------------------------------------------------
# How it is ended


def ending(code: int) -> str:
    """An exit code in words."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def end(process: subprocess.Popen[Any]) -> None:
    """End a client and whatever it started, but for a run of the bench, which goes on."""
    if process.poll() is not None:
        return
    started = list(descendants(process.pid))
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    kill(started)


def end_leftovers() -> None:
    """End what clients of this process left behind when they were killed: the shell commands of their models."""
    kill(processes.carrying(f"{STARTED_BY}={os.getpid()}"))


def kill(pids: Sequence[int]) -> None:
    """SIGTERM, and SIGKILL for those that do not end within the grace period."""
    signal_all(pids, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    signal_all([pid for pid in pids if alive(pid)], signal.SIGKILL)


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def descendants(pid: int, listing: str | None = None) -> Iterator[int]:
    """Processes that `pid` started, and theirs; a run of the bench and what it started are left out.

    `listing` is the output of ps, which is asked where it is not given.
    """
    if listing is None:
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True).stdout
    children: dict[int, list[int]] = {}
    for line in listing.splitlines():
        own, parent, *command = line.split(None, 2)
        if RUNNER not in "".join(command):
            children.setdefault(int(parent), []).append(int(own))
    waiting = children.get(pid, [])
    while waiting:
        child, *waiting = waiting
        yield child
        waiting += children.get(child, [])
