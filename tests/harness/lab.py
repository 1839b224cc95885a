"""A checkout of the project with a fake bench, so that a run takes a fraction of a second, and hands to use it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from harness import campaign, knowledge, noise, record, verdict
from harness.levels import Score

PROJECT = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("bench")
TOOLS = (
    "run_experiment.py", "log_result.py", "revert.py", "status.py", "stop.py", "report.py", "audit.py",
    "verify.py", "sweep.py", "diagnose.py", "recall.py", "export.py",
)  # fmt: skip

# How the processes of a run are recognised.
PROCESSES = {
    "command": "run_experiment.py",
    "runner": "harness.runner",
    "trainer": "train.py",
    "feeder": "prepare.py --feed",
    "scorer": "evaluate.py",
}


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


@functools.cache
def tool(name: str) -> Any:
    """A command of tools/ as a module."""
    specification = importlib.util.spec_from_file_location(f"tool_{Path(name).stem}", PROJECT / "tools" / name)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


NOISE_PRIOR = 0.002  # of the preparation
BASELINE = 1.5


@functools.cache
def score_for(wanted: Callable[[verdict.Verdict], bool]) -> float:
    """A SCORE that a first run on the baseline's seed gets such a verdict with, whatever the constants are."""
    sigma = noise.estimate([], NOISE_PRIOR).cautious
    known = knowledge.begin([Score(0, BASELINE)], sigma, noise.pairing([], sigma), NOISE_PRIOR)
    scores = [BASELINE - step / 4000 for step in range(200)]
    found = [s for s in scores if wanted(verdict.decide(verdict.Facts("finished", (Score(0, s),), known)))]
    return found[len(found) // 2]


def unsure(decided: verdict.Verdict) -> bool:
    """It is to be run once more."""
    return decided.status == "confirm"


class Lab:
    """One checkout, on the campaign branch autoresearch/t1, with prepared data."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.cache = folder / "cache"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),  # empty
            "AUTORESEARCH_CACHE": str(self.cache),
            "AUTORESEARCH_PYTHON": sys.executable,
            "AUTORESEARCH_WAIT": "30",
            "AUTORESEARCH_BASELINE_RUNS": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    @classmethod
    def build(cls, folder: Path) -> Lab:
        """A new one; nothing has run in it."""
        lab = cls(folder)
        for place in (lab.root / "tools", lab.root / "scripts", folder / "home", lab.cache):
            place.mkdir(parents=True)
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / "tools/harness", lab.root / "tools/harness", ignore=hidden)
        shutil.copytree(PROJECT / "tools/assets", lab.root / "tools/assets")
        for name in TOOLS:
            shutil.copy(PROJECT / "tools" / name, lab.root / "tools")
        for name in ("run_experiment.sh", "python.sh"):
            shutil.copy(PROJECT / "scripts" / name, lab.root / "scripts")
        for name in ("train.py", "prepare.py", "evaluate.py"):
            shutil.copy(FAKE / name, lab.root)
        shutil.copy(PROJECT / ".gitignore", lab.root)
        (lab.root / "program.md").write_text("# Program\n\n## Goal\n\nThe lowest val_bpb.\n")
        (lab.root / "notes.md").write_text("notes\n")
        lab.prepare("one")
        lab.git("init", "-q", "-b", "main")
        lab.git("add", ".")
        lab.commit("start")
        lab.git("switch", "-q", "-c", "autoresearch/t1")
        return lab

    def copy(self, folder: Path) -> Lab:
        """The same in another place."""
        shutil.copytree(self.root.parent, folder, symlinks=True)
        lab = Lab(folder)
        lab.prepare("one")
        for pin in lab.root.glob("runs/*/campaign.json"):
            was = campaign.load(lab.root, pin.parent.name)
            pin.write_text(pin.read_text().replace(str(self.cache), str(lab.cache)))
            now = campaign.load(lab.root, pin.parent.name)
            assert was is not None and now is not None
            for request in pin.parent.glob("*/run.json"):
                text = request.read_text().replace(campaign.digest(was), campaign.digest(now))
                request.write_text(text)
        return lab

    def prepare(self, key: str) -> Path:
        """A preparation, and the one in force."""
        data = self.cache / "preparations" / key
        data.mkdir(parents=True, exist_ok=True)
        meta = {"key": key, "profile": "small", "device": "cuda", "budget": "5s", "noise_prior": NOISE_PRIOR}
        meta["splits"] = {"train": {"bytes": 360, "tokens": 100}}
        (data / "meta.json").write_text(json.dumps(meta))
        (self.cache / "current.json").write_text(json.dumps({"preparation": str(data)}))
        return data

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

    @property
    def tip(self) -> str:
        return self.git("rev-parse", "HEAD")

    def refs(self) -> dict[str, str]:
        """refs/autoresearch/, by what comes after it."""
        form = "--format=%(refname:lstrip=2) %(objectname)"
        return dict(line.split() for line in self.git("for-each-ref", form, "refs/autoresearch/").splitlines())

    # -- the commands

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """A command, begun."""
        folder = "scripts" if args[0].endswith(".sh") else "tools"
        line = [str(self.root / folder / args[0]), *args[1:]]
        if folder == "tools":
            line.insert(0, sys.executable)
        return subprocess.Popen(
            line, cwd="/", env=self.env | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, *args: str, **env: str) -> Answer:
        """A command, to its end; a tool runs in this process, which saves most of its time."""
        if args[0].endswith(".sh"):
            process = self.start(*args, **env)
            out, err = process.communicate(timeout=60)
            return Answer(process.returncode, out, err)
        module, said, complained = tool(args[0]), io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.env | env, clear=True),
            mock.patch.object(sys, "argv", list(args)),
            mock.patch.object(module, "ROOT", self.root),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(complained),
        ):
            code = 0
            try:
                module.main(module.NAME, module.body, sys.argv)
            except SystemExit as end:
                code = int(end.code or 0)
        out, err = said.getvalue(), complained.getvalue()
        assert not re.search("^Traceback", out + err, re.MULTILINE), out + err
        return Answer(code, out, err)

    def run(self, *args: str, **env: str) -> Answer:
        return self.call("run_experiment.py", *args, **env)

    def log(self, description: str = "an idea", *more: str) -> Answer:
        return self.call("log_result.py", "-d", description, *more)

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

    def lengthen(self, lines: int) -> str:
        """Add so many lines to train.py that do nothing; returns the text."""
        text = self.train + "".join(f"SPARE_{number} = {number}\n" for number in range(lines))
        (self.root / "train.py").write_text(text)
        return text

    def try_idea(self, message: str = "exp: an idea", **constants: Any) -> Answer:
        """An edit, and its run, whatever was tried before: the scores that tests make up are near each other."""
        self.edit(**constants)
        return self.run("--again", "-m", message)

    def path(self, number: int, tag: str = "t1") -> Path:
        """The folder of a run."""
        return next((self.root / "runs" / tag).glob(f"{number:04d}-*"))

    def record(self, number: int) -> dict[str, Any]:
        return dict(json.loads((self.path(number) / "record.json").read_text()))

    def runs(self) -> list[str]:
        return sorted(path.name for path in (self.root / "runs" / "t1").glob("[0-9]*"))

    def rows(self) -> list[list[str]]:
        """results.tsv without its header."""
        lines = (self.root / "results.tsv").read_text().splitlines()
        assert lines[0] == "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
        return [line.split("\t") for line in lines[1:]]

    # -- processes

    def processes(self) -> dict[str, int]:
        """Living processes of this checkout, by what they are."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().decode().replace("\0", " ")
                line = line.rsplit(" -- ", 1)[-1]  # of a box: what is in it
                place = str((entry / "cwd").readlink())
                if not (place.startswith(f"{self.root}/") or str(self.root) in line):
                    continue
                found.update({what: int(entry.name) for what, sign in PROCESSES.items() if sign in line})
        return found

    def wait_for(self, what: str, seconds: float = 20.0) -> int:
        """The process id of a part of the run, as soon as it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if what in (found := self.processes()):
                return found[what]
            time.sleep(0.02)
        raise AssertionError(f"no {what} after {seconds} s")

    def settle(self, seconds: float = 20.0) -> None:
        """Wait until nothing of this checkout runs, nor holds a lock on its way out."""
        deadline = time.monotonic() + seconds
        while (found := self.processes()) or any(map(record.is_locked, self.root.glob("runs/*/*/run.lock"))):
            assert time.monotonic() < deadline, found
            time.sleep(0.01)

    def kill_all(self) -> None:
        """Until there is nothing left twice in a row: a box that is just being made may be hard to see."""
        quiet = 0
        while quiet < 2:
            found = self.processes()  # one on its way out still holds its locks
            quiet = 0 if found else quiet + 1
            for pid in found.values():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
