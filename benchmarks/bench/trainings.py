"""Trainings of a train.py, each made once: its result lies in a folder under what it depends on.

A result is keyed by the sha256 of the text of train.py, the seed and the budget. So a collection can be stopped at
any moment and goes on where it was, and policies that try the same text with the same seed share the run.
The files beside train.py are those that lay in the checkout when the folder was begun: an edit of the bench in the
meantime does not mix two benches in one collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

from harness import curve as curves
from harness.curve import Point
from harness.text import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
TRAIN, SCORER = "train.py", "evaluate.py"
FIXED = tuple(sorted(path.name for path in ROOT.glob("*.py") if path.name not in (TRAIN, SCORER)))
PLAIN_SCORER = Path(__file__).with_name("plain_score.py")
CURVE = tuple(one.name for one in fields(Point))  # what is kept of each step, in this order
PATIENCE = 3600.0  # seconds for one training: what hangs must not hold up a night's collection


@dataclass(frozen=True)
class Job:
    """One training: a text of train.py, a seed, a budget such as 100cpu or 50000tok."""

    text: str
    seed: int
    budget: str

    @property
    def key(self) -> str:
        said = json.dumps([hashlib.sha256(self.text.encode()).hexdigest(), self.seed, self.budget])
        return hashlib.sha256(said.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Result:
    """What came of it. `outcome`: finished, crashed or refused; without a score `val_bpb` is not a number.

    `curve`: a point for each step; `seconds` and `cpu_seconds` are the training's, `wall` is all of it, start and
    scoring too.
    """

    outcome: str
    val_bpb: float
    curve: tuple[Point, ...]
    tokens: int
    seconds: float
    cpu_seconds: float
    share: float
    wall: float
    word: str = ""

    @property
    def scored(self) -> bool:
        return self.outcome == "finished" and math.isfinite(self.val_bpb)

    def loss_at(self, share: float, width: float) -> float:
        """Mean training loss over the `width` of the budget before `share`; not a number before the first step."""
        near = [point.loss for point in self.curve if share - width <= point.progress <= share]
        near = near or [point.loss for point in self.curve if point.progress <= share][-1:]
        return math.fsum(near) / len(near) if near else math.nan


class Trainer(Protocol):
    """Trains, however: the real one below, or a test's. `close` ends what is under way."""

    def __call__(self, job: Job) -> Result: ...

    def close(self) -> None: ...


class Interrupted(Exception):
    """A training was killed from outside: it says nothing about train.py, and nothing of it is kept."""


def seed_of(name: str, number: int) -> int:
    """The seed of this name and number: other names never share one but by chance of one in 2^31."""
    return int.from_bytes(hashlib.sha256(f"{name} {number}".encode()).digest()[:4], "big") >> 1


class Store:
    """Results by key, one JSON each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, job: Job) -> Result | None:
        said = read_json(self.folder / f"{job.key}.json")
        try:
            return _result(said["result"]) if said else None
        except (KeyError, TypeError, ValueError):
            return None  # torn or of another version: it is made again

    def put(self, job: Job, result: Result) -> None:
        said = asdict(result) | {"val_bpb": result.val_bpb if math.isfinite(result.val_bpb) else None}
        said["curve"] = [[getattr(point, name) for name in CURVE] for point in result.curve]
        # The text as well: what a key stands for can be looked up years later.
        write_json(self.folder / f"{job.key}.json", {"job": asdict(job), "result": said})


def _result(said: dict[str, object]) -> Result:
    known = dict(said)
    known["val_bpb"] = math.nan if said["val_bpb"] is None else said["val_bpb"]
    curve = said["curve"]
    assert isinstance(curve, list)
    known["curve"] = tuple(_point(row, number) for number, row in enumerate(curve))
    return Result(**known)  # type: ignore[arg-type]


def _point(row: list[float], number: int) -> Point:
    if len(row) == 2:  # as the first collection had them: share and loss
        return Point(number, row[0], 0.0, 0, row[1])
    return Point(**dict(zip(CURVE, row, strict=True)))  # type: ignore[arg-type]


class Trainings:
    """Trains what is not in the store yet, several at once, whoever asks.

    Campaigns run side by side in threads, and wait for one training where they want the same. `say` is told of
    each training that was made.
    """

    def __init__(self, store: Store, trainer: Trainer, jobs: int, say: Callable[[str], None]) -> None:
        self.store, self.trainer, self.say = store, trainer, say
        self.made = 0
        self._lock = threading.Lock()
        self._running: dict[str, Future[Result]] = {}
        self._pool = ThreadPoolExecutor(jobs)

    def __enter__(self) -> Trainings:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends what is under way and lets nothing new begin: who waits for a training gets an exception."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.trainer.close()
        self._pool.shutdown(wait=True)

    def one(self, job: Job) -> Result:
        return self._begin(job).result()

    def all(self, wanted: Iterable[Job]) -> list[Result]:
        """The results of `wanted`, in that order; trainings begin in that order too."""
        futures = [self._begin(job) for job in wanted]
        if wait(futures, return_when=FIRST_EXCEPTION).not_done:
            for future in futures:
                future.cancel()
        for future in futures:  # what went wrong, before what was called off for it
            if future.done() and not future.cancelled():
                future.result()
        return [future.result() for future in futures]

    def _begin(self, job: Job) -> Future[Result]:
        with self._lock:
            if job.key not in self._running:
                known = self.store.get(job)
                if known is not None:
                    done: Future[Result] = Future()
                    done.set_result(known)
                    self._running[job.key] = done
                else:
                    self._running[job.key] = self._pool.submit(self._make, job)
            return self._running[job.key]

    def _make(self, job: Job) -> Result:
        result = self.trainer(job)
        self.store.put(job, result)
        with self._lock:
            self.made += 1
            number = self.made
        score = f"val_bpb {result.val_bpb:.6f}" if result.scored else f"{result.outcome}: {result.word[:60]}"
        self.say(
            f"training {number}: {score}, {result.cpu_seconds:.0f} CPU-seconds of training, {result.wall:.0f} s in"
            f" all (seed {job.seed}, {job.key[:8]})"
        )
        return result


class LocalTrainer:
    """`python train.py` in a folder that holds it with the fixed files, one thread, gone afterwards."""

    def __init__(self, files: Path, python: str = sys.executable) -> None:
        self.files, self.python = files, python
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def close(self) -> None:
        self._closed = True
        for child in list(self._children):
            _kill(child)

    def __call__(self, job: Job) -> Result:
        folder = Path(tempfile.mkdtemp(prefix="replay-"))
        try:
            for name in FIXED:
                shutil.copy(self.files / name, folder)
            shutil.copy(self.files / SCORER, folder / "whole_evaluate.py")
            shutil.copy(self.files / PLAIN_SCORER.name, folder / SCORER)
            (folder / "train.py").write_text(job.text, encoding="utf-8")
            return self._train(job, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _train(self, job: Job, folder: Path) -> Result:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTORESEARCH_")}
        environ |= {"AUTORESEARCH_SEED": str(job.seed), "AUTORESEARCH_BUDGET": job.budget, "OMP_NUM_THREADS": "1"}
        for name in ("AUTORESEARCH_CACHE", "AUTORESEARCH_PREPARATION"):
            if name in os.environ:
                environ[name] = os.environ[name]
        began = time.monotonic()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [self.python, "train.py"], cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            self._children.add(process)
            if self._closed:
                _kill(process)
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise Interrupted(f"a training took over {PATIENCE:.0f} s") from None
            finally:
                _kill(process)
                process.wait()
                self._children.discard(process)
        if code < 0 or code > 128:
            raise Interrupted(f"a training was ended by signal {-code if code < 0 else code - 128}")
        run = folder / "runs/standalone"
        return read_run(run, time.monotonic() - began, (folder / "log").read_text(errors="replace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started: they share its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def read_run(run: Path, wall: float, log: str) -> Result:
    """What a standalone run left, as a result; one that left no score has crashed or was refused."""
    fed, scored = read_json(run / "feed.json") or {}, read_json(run / "score.json") or {}
    if "refused" in scored:
        outcome, word = "refused", str(scored["refused"])
    elif "val_bpb" in scored:
        outcome, word = "finished", ""
    else:
        outcome, word = "crashed", (log.strip().splitlines() or ["no word"])[-1]
    return Result(
        outcome=outcome,
        val_bpb=float(scored.get("val_bpb", math.nan)),
        curve=tuple(curves.read(run / "curve.jsonl")),
        tokens=int(fed.get("tokens", 0)),
        seconds=float(fed.get("seconds", 0.0)),
        cpu_seconds=float(fed.get("cpu_seconds", 0.0)),
        share=float(fed.get("share", 0.0)),
        wall=wall,
        word=word,
    )


def snapshot(root: Path, files: Path) -> str:
    """Copies what trainings need into `files`, once; says in a line if the checkout has changed since."""
    names = (TRAIN, *FIXED, SCORER, "tools/researcher/ideas.json")
    if not files.exists():
        half = files.with_name(files.name + ".new")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        for name in names:
            shutil.copy(root / name, half / Path(name).name)
        shutil.copy(PLAIN_SCORER, half)
        half.rename(files)
    changed = [name for name in names if (root / name).read_bytes() != (files / Path(name).name).read_bytes()]
    return f"{', '.join(changed)} changed since {files} was begun: what lies there is used" if changed else ""
