"""A whole project in a temporary git repository, with a fake bench, so that a run takes a fraction of a second."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("bench")
TOOLS = ("run_experiment.py", "log_result.py", "revert.py", "status.py")


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def next(self) -> str:
        """The command in the last line."""
        lines = self.out.splitlines()
        return lines[-1].removeprefix("next: ") if lines and lines[-1].startswith("next: ") else ""


class Lab:
    """A checkout of the project with the fake bench, on a campaign's branch, with prepared data."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.home = folder / "home"
        self.cache = folder / "cache"
        for place in (self.root / "tools", self.root / "scripts", self.home, self.cache):
            place.mkdir(parents=True)
        shutil.copytree(PROJECT / "tools/harness", self.root / "tools/harness", ignore=shutil.ignore_patterns("__*__"))
        shutil.copy(PROJECT / "tools/harness/__init__.py", self.root / "tools/harness")
        for name in TOOLS:
            shutil.copy(PROJECT / "tools" / name, self.root / "tools")
        for name in ("run_experiment.sh", "python.sh"):
            shutil.copy(PROJECT / "scripts" / name, self.root / "scripts")
        for name in ("train.py", "prepare.py", "evaluate.py"):
            shutil.copy(FAKE / name, self.root)
        (self.root / ".gitignore").write_text((PROJECT / ".gitignore").read_text())
        (self.root / "program.md").write_text("# Program\n\n## Goal\n\nThe lowest val_bpb.\n")
        (self.root / "notes.md").write_text("notes\n")
        self.prepare("one")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "AUTORESEARCH_CACHE": str(self.cache),
            "AUTORESEARCH_PYTHON": sys.executable,
            "AUTORESEARCH_WAIT": "30",
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.git("init", "-q", "-b", "main")
        self.git("add", ".")
        self.commit("start")
        self.git("switch", "-q", "-c", "autoresearch/t1")

    def prepare(self, key: str) -> None:
        data = self.cache / "preparations" / key
        data.mkdir(parents=True, exist_ok=True)
        meta = {"key": key, "profile": "small", "device": "cuda", "budget": "5s", "noise_prior": 0.002}
        (data / "meta.json").write_text(json.dumps(meta))
        (self.cache / "current.json").write_text(json.dumps({"preparation": str(data)}))

    # -- git, as a person at the keyboard

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.root, env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str, *files: str) -> str:
        """A commit made by hand of what is staged, or of `files`."""
        who = ["-c", "user.name=person", "-c", "user.email=p@example.org"]
        self.git(*who, "commit", "-q", "-m", message, *(["--", *files] if files else []))
        return self.git("rev-parse", "HEAD")

    def refs(self) -> dict[str, str]:
        lines = self.git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/autoresearch/").splitlines()
        return dict(line.split() for line in lines)

    # -- the commands

    def command(self, *args: str, **env: str) -> subprocess.Popen[str]:
        name = args[0]
        if name.endswith(".sh"):
            line = [str(self.root / "scripts" / name), *args[1:]]
        else:
            line = [sys.executable, str(self.root / "tools" / name), *args[1:]]
        return subprocess.Popen(
            line, cwd="/", env={**self.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, *args: str, **env: str) -> Answer:
        process = self.command(*args, **env)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in out + err, out + err
        return Answer(process.returncode, out, err)

    def run(self, *args: str, **env: str) -> Answer:
        return self.call("run_experiment.py", *args, **env)

    def log(self, description: str = "an idea") -> Answer:
        return self.call("log_result.py", "-d", description)

    def revert(self) -> Answer:
        return self.call("revert.py")

    def status(self) -> dict[str, Any]:
        answer = self.call("status.py", "--json")
        assert answer.code == 0, answer.err
        return dict(json.loads(answer.out))

    @property
    def state(self) -> str:
        return str(self.status()["state"])

    # -- the agent's edits, and what is on disk

    @property
    def train(self) -> str:
        return (self.root / "train.py").read_text()

    def edit(self, **constants: Any) -> str:
        """Set constants of train.py; returns the text."""
        text = self.train
        for name, value in constants.items():
            text, count = re.subn(rf"^{name} = \S+", f"{name} = {value!r}", text, flags=re.MULTILINE)
            assert count == 1, name
        (self.root / "train.py").write_text(text)
        return text

    def begin(self) -> None:
        """A campaign with its baseline."""
        assert self.run("--baseline").code == 0
        assert self.log("baseline").code == 0

    def run_dir(self, number: int, tag: str = "t1") -> Path:
        return next((self.root / "runs" / tag).glob(f"{number:04d}-*"))

    def record(self, number: int) -> dict[str, Any]:
        return dict(json.loads((self.run_dir(number) / "record.json").read_text()))

    def rows(self) -> list[list[str]]:
        """results.tsv without its header."""
        lines = (self.root / "results.tsv").read_text().splitlines()
        assert lines[0] == "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
        return [line.split("\t") for line in lines[1:]]

    # -- processes

    def processes(self) -> dict[str, int]:
        """Living processes of this checkout's runs, by what they are."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                inside = str(self.root) in str((entry / "cwd").readlink()) or str(self.root) in " ".join(words)
                if not inside or entry.name == str(os.getpid()):
                    continue
                line = " ".join(words)
                for what, sign in PROCESSES.items():
                    if sign in line:
                        found[what] = int(entry.name)
        return found

    def wait_for(self, what: str, seconds: float = 20.0) -> int:
        """The process id of a part of the run, as soon as it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.processes()
            if what in found:
                return found[what]
            time.sleep(0.01)
        raise AssertionError(f"no {what} after {seconds} s")

    def settle(self, seconds: float = 20.0) -> None:
        """Wait until nothing of this checkout runs."""
        deadline = time.monotonic() + seconds
        while self.processes():
            assert time.monotonic() < deadline, self.processes()
            time.sleep(0.02)


PROCESSES = {
    "command": "run_experiment.py",
    "runner": "harness.runner",
    "trainer": "train.py",
    "feeder": "prepare.py --feed",
    "scorer": "evaluate.py",
}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab made once and copied for each test."""
    folder = tmp_path_factory.mktemp("lab")
    Lab(folder)
    return folder


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    for pid in lab.processes().values():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
