"""Trials: a trainer, a setting and a seed, each in a process of its own, kept under what they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.text import read_json, write_json

from benchmarks.figures import jsonable
from feeder import TreeClock

ROOT = Path(__file__).resolve().parents[2]
# Of this package, what a score depends on.
MEASURE = ("watch.py", "text.py", "ours.py", "theirs.py", "general.py", "standins.py", "rewrite.py")
FILES = tuple(sorted(path.name for path in ROOT.glob("*.py")))  # that a trial of ours depends on
PATIENCE = 1800.0  # seconds that a trial may take beside four times its budget: compiling on a busy machine

LOOK = 0.2  # seconds between two looks at a trial's processes


class Failed(Exception):
    """A comparison cannot begin or go on. The message is one line."""


@dataclass(frozen=True)
class Job:
    """What a trial depends on. `trainer`: the name of a module of this package; `setting`: what it is told;
    `code`: hash of the trainer's files; `points`: of the curve, 1 for none."""

    trainer: str
    setting: Mapping[str, object]
    seed: int
    seconds: float
    points: int
    own_evaluation: bool
    code: str
    text: str  # folder
    scored_bytes: int
    sequence_length: int
    eval_tokens: int
    more: Mapping[str, str] = field(default_factory=dict)  # paths that the trainer needs

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Result:
    """What came of it. `bpb`: nan where there is none; `heads_bpb`: of the beginnings of documents alone; `curve`:
    seconds, tokens, bpb of a part of the scored text; `free_seconds`: training in the steps that the reference's
    own clock leaves out, after the first; `startup`: from the process's start to its clock's; `foreign`: share of
    the machine that others used meanwhile."""

    bpb: float
    heads_bpb: float = math.nan
    curve: tuple[tuple[float, int, float], ...] = ()
    seconds: float = 0.0
    tokens: int = 0
    steps: int = 0
    parameters: int = 0
    flops_per_token: float = 0.0
    startup: float = 0.0
    wall: float = 0.0
    foreign: float = 0.0
    scored_bytes: int = 0
    scored_tokens: int = 0
    free_tokens: int = 0
    free_seconds: float = 0.0
    own_bpb: float = math.nan
    own_evaluation_seconds: float = math.nan
    said: tuple[str, ...] = ()
    word: str = ""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def flops(self) -> float:
        """Floating-point operations a second."""
        return self.flops_per_token * self.tokens_per_second


Run = Callable[[Job], Result]


class Trials:
    """Runs what is not there yet. One at a time: they are to have the machine for themselves."""

    def __init__(self, folder: Path, run: Run, say: Callable[[str], None]) -> None:
        self.folder, self.run, self.say = folder / "trials", run, say
        self.made = 0
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, job: Job, label: str) -> Result:
        path = self.folder / f"{job.key}.json"
        if (there := load(path)) is not None:
            return there
        result = self.run(job)
        self.made += 1
        write_json(path, jsonable({"job": asdict(job), "result": asdict(result)}))
        score = f"{result.bpb:.4f} bpb" if math.isfinite(result.bpb) else f"no score: {result.word}"
        spent = f"{result.tokens / 1e3:.0f}k tokens, {result.wall:.0f} s in all"
        self.say(f"{label}, seed {job.seed}: {score}, {spent}")
        return result


def load(path: Path) -> Result | None:
    """A result that was kept; None where there is none, or a torn one, or another version's: it is made again."""
    said = read_json(path) or {}
    try:
        known: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in said["result"].items()
        }
        known["curve"] = tuple((float(s), int(t), float(bpb)) for s, t, bpb in known["curve"])
        return Result(**known | {"said": tuple(known["said"])})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def code_of(folder: Path, names: Sequence[str]) -> str:
    """Hash of a trainer's files and of what measures them."""
    digest = hashlib.sha256()
    for path in [*(folder / name for name in names), *(Path(__file__).with_name(name) for name in MEASURE)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(job: Job) -> Result:
    """A trial in a fresh process. What fails in it, diverges or takes too long is a result without a score."""
    with tempfile.TemporaryDirectory(prefix="duel-") as folder:
        out = Path(folder) / "out.json"
        began, busy = time.time(), machine_seconds()
        ended = child(job.trainer, job, Path(folder), patience=PATIENCE + 4 * job.seconds)
        wall = time.time() - began
        others = machine_seconds() - busy - ended.cpu_seconds
        foreign = max(0.0, others / (wall * (os.cpu_count() or 1)))
        if ended.code != 0 or not out.exists():
            word = last_line(ended.log) or f"exit code {ended.code}"
            return Result(math.nan, wall=wall, foreign=foreign, word=word)
        found = json.loads(out.read_text(encoding="utf-8"))
    startup = found.pop("began_training") - began
    found["curve"] = tuple((s, t, bpb) for s, t, bpb in found["curve"])
    return Result(**found | {"said": tuple(found["said"]), "startup": startup, "wall": wall, "foreign": foreign})


@dataclass(frozen=True)
class Ended:
    """A child that has come to its end. `cpu_seconds`: of it and all that it started."""

    code: int
    log: str
    cpu_seconds: float


def child(
    trainer: str,
    job: Job,
    folder: Path,
    options: Sequence[str] = (),
    patience: float = PATIENCE,
) -> Ended:
    """A trainer's module on a job, to its end, with all that it started. Raises Failed where it was killed."""
    path, log_path = folder / "job.json", folder / "log"
    told = {**asdict(job), **job.more, "folder": str(folder), "out": str(folder / "out.json")}
    path.write_text(json.dumps(told), encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(job.text).parent / "compiled")
    if "preparation" in job.more:
        environ["AUTORESEARCH_PREPARATION"] = job.more["preparation"]  # the same for all, whatever comes in force
    command = [job.more.get("python", sys.executable), "-m", f"benchmarks.duel.{trainer}"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*command, *options, str(path)], cwd=folder,
            env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        clock, deadline = TreeClock(process.pid), time.monotonic() + patience
        try:
            while (code := wait(process, LOOK)) is None and time.monotonic() < deadline:
                clock.read()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code is not None and code < 0:
        raise Failed(f"a trial of {trainer} was killed by signal {-code} (memory?): the same command goes on")
    log_text = log_path.read_text(errors="replace")
    return Ended(code, log_text, clock.total) if code is not None else Ended(124, "it took too long", clock.total)


def wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(seconds)
    return None


def last_line(log: str) -> str:
    lines = [line for line in log.replace("\r", "\n").splitlines() if line.strip()]
    return "".join(c for c in lines[-1] if c.isprintable())[:200] if lines else ""


def machine_seconds() -> float:
    """CPU-seconds that the machine has worked, for whomever."""
    import psutil

    times = psutil.cpu_times()
    others = ("idle", "iowait", "guest", "guest_nice")  # guests' time is in their hosts' already
    return float(sum(times) - sum(getattr(times, name, 0.0) for name in others))
