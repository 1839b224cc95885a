"""The night's own folder: a clone with the stand-in for training, an empty HOME, prepared text, logs.

repo/       the working tree as one commit, with the stand-in's train.py, prepare.py and evaluate.py
home/       HOME of everything
cache/      the preparation
requests/   what the model was asked
start.log   what scripts/start.sh printed
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import Refused, client, demo

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("bench")
TAG = "night"
MARK = "AUTORESEARCH_NIGHT"  # in the environment of every process of a night
BUDGET = "40000tok"  # of the stand-in: a second
NOISE = 0.015  # bits per byte: what the stand-in's seed moves its score by
HELD_OUT, TRAINED_ON = 12_000, 300_000  # bytes of text
OUTPUT = 4_096  # tokens that the client keeps free for an answer
NO_SETUP = '"""Nothing is to be set up in a night\'s clone."""\n\n\ndef body(argv=None):\n    return 0\n'
NOBODY = {f"GIT_{who}_{what}": "night" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True)
class Place:
    """The folder, and the two programs of a night."""

    folder: Path
    opencode: Path
    ripgrep: Path

    @property
    def repo(self) -> Path:
        return self.folder / "repo"

    @property
    def requests(self) -> Path:
        return self.folder / "requests"

    @property
    def log(self) -> Path:
        return self.folder / "start.log"

    @property
    def runs(self) -> Path:
        return self.repo / "runs" / TAG

    @property
    def mark(self) -> str:
        """By which its processes are known."""
        return f"{MARK}={self.folder}"


def find(folder: Path) -> Place:
    """A place in `folder`, with the programs as set-up installed them or as they are on PATH. Raises Refused."""
    if importlib.util.find_spec("pyarrow") is None or importlib.util.find_spec("numpy") is None:
        raise Refused(
            "this Python has no numpy or no pyarrow: scripts/setup.sh, then .venv/bin/python benchmarks/night.py"
        )
    opencode, ripgrep = (client.find_program(ROOT, name) for name in ("opencode", "rg"))
    if opencode is None or ripgrep is None:
        missing = "opencode" if opencode is None else "ripgrep (rg)"
        raise Refused(f"{missing} is not installed: run scripts/setup.sh")
    return Place(folder, opencode, ripgrep)


def build(place: Place) -> None:
    """Make all of it. Raises Refused where this checkout is no git repository."""
    _copy_checkout(place.repo)
    for name in ("corpus.py", "feeder.py"):
        (place.repo / name).unlink(missing_ok=True)
    for path in STAND_IN.glob("*.py"):
        shutil.copy(path, place.repo)
    (place.repo / "tools" / "setup.py").write_text(NO_SETUP)
    for command in (["init", "-q", "-b", "main"], ["add", "--all"], ["commit", "-q", "-m", "the working tree"]):
        git(place, *command)
    programs = place.repo / ".tools" / "bin"
    programs.mkdir(parents=True)
    (programs / "opencode").symlink_to(place.opencode.resolve())
    (programs / "rg").symlink_to(place.ripgrep.resolve())
    demo.fetch_nothing(place.folder / "home", place.repo)
    _prepare(place.folder / "cache")


def environment(place: Place, address: str, window: int) -> dict[str, str]:
    """Of everything in the night: nothing of a person's, and the model at `address` as opencode's only one.

    `window` is the model's, in tokens: the client compacts a conversation that comes near it.
    """
    model = {"name": "scripted", "tool_call": True, "limit": {"context": window, "output": OUTPUT}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "night",
        "options": {"baseURL": address, "apiKey": "none"},
        "models": {"scripted": model},
    }
    name = "night/scripted"
    config = {"model": name, "small_model": name, "enabled_providers": ["night"], "provider": {"night": provider}}
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "HOME": str(place.folder / "home"),
        "TERM": "dumb",
        MARK: str(place.folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "AUTORESEARCH_CACHE": str(place.folder / "cache"),
        "AUTORESEARCH_PYTHON": sys.executable,
        "AUTORESEARCH_BUDGET": BUDGET,
        "OPENCODE_CONFIG_CONTENT": json.dumps(config),
        **demo.QUIET,
        "OPENBLAS_NUM_THREADS": "1",  # more of them wait for each other at the stand-in's sizes
    }


def git(place: Place, *arguments: str) -> str:
    """What git printed in the clone."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(place.folder / "home"),
        "GIT_CONFIG_NOSYSTEM": "1",
        **NOBODY,
    }
    done = subprocess.run(["git", *arguments], cwd=place.repo, env=environ, capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(f"git {arguments[0]} failed in {place.repo}: {done.stderr.strip()}")
    return done.stdout.strip()


def _copy_checkout(to: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode != 0:
        raise Refused(f"{ROOT} is not a git repository: clone the project with git")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name, follow_symlinks=False)


def _prepare(cache: Path) -> None:
    """A preparation of the embedded corpus as ASCII, in the form that the stand-in reads."""
    import pyarrow.parquet as parquet

    data = cache / "preparations" / "one"
    data.mkdir(parents=True)
    texts = parquet.read_table(ROOT / "data" / "sample" / "shard_00000.parquet")["text"].to_pylist()
    text = "\n".join(texts[:200]).encode("ascii", "replace")
    (data / "val.bin").write_bytes(text[:HELD_OUT])
    (data / "train.bin").write_bytes(text[HELD_OUT : HELD_OUT + TRAINED_ON])
    meta = {"key": "one", "profile": "small", "device": "cpu", "budget": BUDGET, "noise_prior": NOISE}
    meta["splits"] = {"train": {"bytes": 360, "tokens": 100}}
    (data / "meta.json").write_text(json.dumps(meta))
    (cache / "current.json").write_text(json.dumps({"preparation": str(data)}))
