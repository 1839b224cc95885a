"""The runner: carries one run from its snapshot to its record, detached, in stages that are done once each.

    python -m harness.runner RUN_DIR [LOCK | --replica ROOT]

    stage      done when               doing it again
    snapshot   the files' hashes fit   what differs is written anew from git
    train      trained.json is there   work/ and the curve start from nothing
    evaluate   score.json is there     the same digits
    record     record.json is there    the runner's last act

A runner that is killed leaves a run that is `interrupted`; another one goes on from the last finished stage. It
holds run.lock while it lives, so there is never more than one. No process of the run outlives the stage it is for.

train.py runs in a `box`, alone to train and twice more to be scored; feeder and scorer run outside of it. What the
trainer left is looked at once it is dead: two plain files, and nothing else of it is kept or believed.

Who is to blame when a process is killed from outside (SIGKILL, SIGTERM, …)? The experiment is not, as far as one
can tell, so the run is interrupted and may be started again: once. Killed a second time, it has crashed, because
what kills it twice is most likely its own doing (memory, say). If the kernel says that it ran out of memory
meanwhile, that is a crash at once. Signals that are a program's own fault (SIGSEGV, …) are crashes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import platform
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from . import (
    box,
    compiled,
    curve,
    disk,
    disturbance,
    preparation,
    processes,
    quota,
    racing,
    record,
    snapshot,
    text,
)
from . import campaign as campaigns
from .box import Box
from .branch import Git
from .campaign import Campaign
from .preparation import BUDGET
from .record import Record, Run

POLL = 0.02  # seconds between two looks at the children
FEEDER_GRACE = 30.0  # seconds for the feeder to write its account once the trainer is gone
EVALUATION_LIMIT = 3600.0  # seconds
ACCIDENTS_MOST = 2  # kills from outside until they count as a crash
STARTS_MOST = 6  # runners on one run until it counts as a crash: something here kills runners
REPLICA = "--replica"
HELDOUT = "heldout.json"  # the score on the held-out text, of a replica that tools/verify.py asks for
VERIFY = "verify"  # the kind of its request
UNBENT = ("-E", "-s")  # for Python: no PYTHONPATH and the like, nobody's own packages
STOP = "stop"  # the file in the run's folder that asks for an end
# All that belongs into the run's folder beside the snapshot. The scorer looks for its imports there first.
OWN = {"run.json", "run.lock", "run.log", "runner.json", "runner.log", "curve.jsonl", "feed.json", "trained.json"}
HOST_LOGS = ("host.log", "audit.log")  # what the model's code prints while it is scored
RACE = "race.json"  # what the curve of a run is held against while it trains
OWN |= {"program.md", "work", *HOST_LOGS, compiled.KEPT, STOP, RACE}
RACE_LOOK = 1.0  # seconds between two looks at the curve
MODEL = ("weights.pt", "model.json")  # what the trainer hands on, in work/: feeder.MODEL_FILES, without its numpy
MODEL_JSON_MOST = 1 << 20  # bytes


class Interrupted(Exception):
    """The run cannot go on now and may be started again: says why."""


class Ended(Exception):
    """The run is over without a score: outcome and reason, which may hold words of the run's."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome, self.reason = outcome, text.said(reason)


@dataclass(frozen=True)
class Trained:
    """How training ended, in trained.json. `wall_seconds` of the whole stage, `peak_rss_mb` of the trainer."""

    outcome: str  # finished, or what the record will say
    reason: str
    started: float  # unix time
    wall_seconds: float
    peak_rss_mb: float


def read_trained(path: Path) -> Trained | None:
    """How training in the run folder `path` ended; None where it did not yet."""
    value = text.read_json(path / "trained.json")
    try:
        return Trained(**value) if value else None
    except TypeError:
        return None


def wall_limit(budget: str) -> float:
    """Seconds of wall time after which a trainer is stuck, generously: compiling and a busy machine take time too.

    Twice the budget in seconds and ten minutes; for CPU-seconds ten times, as other load stretches them; for
    tokens what 200 tokens a second would need, and an hour.
    """
    match = BUDGET.fullmatch(budget)
    amount, unit = (float(match[1]), match[2]) if match else (3600.0, "s")
    return {"s": 2 * amount + 600, "cpu": 10 * amount + 600, "tok": amount / 200 + 3600}[unit]


def launch(root: Path, run: Path, lock: int) -> None:
    """Start a runner for `run`, which inherits the open `lock`, and let go of both: it is nobody's child.

    Two forks, so that who kills this process with all its children (a client whose tool call ran out of time)
    does not find the runner among them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            with (run / "runner.log").open("ab") as log:
                subprocess.Popen(
                    [sys.executable, *UNBENT, "-m", "harness.runner", str(run), str(lock)],
                    cwd=root / "tools",
                    env={key: value for key, value in os.environ.items() if key != processes.STARTED_BY},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[lock],
                    start_new_session=True,
                )
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(lock)


def tell_to_leave(run: Path) -> None:
    """Ask the runner of `run` to leave at once; the run is interrupted then, and can be started again."""
    pid = (text.read_json(run / "runner.json") or {}).get("pid")
    if pid and record.is_locked(run / "run.lock"):  # while it holds the lock, the number is its own
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)


class Runner:
    """One run on its way. Everything it learns is in files of the run's folder, so that another can go on.

    As a `replica`, for an audit: audited in full, and without a compile cache to begin with or to leave. That of a
    verification is scored on the held-out text too; no other run ever is.
    """

    def __init__(self, root: Path, run: Run, campaign: Campaign, replica: bool = False) -> None:
        self.root, self.run, self.campaign, self.replica = root, run, campaign, replica
        self.path = run.path
        self.history = text.read_json(self.path / "runner.json") or {}
        self.trained = read_trained(self.path)
        self.peak_rss_mb = self.evaluation_seconds = 0.0

    # -- the stages ---------------------------------------------------------------------------------

    def go(self) -> None:
        """All stages that are not done yet. Raises Interrupted."""
        self._remember(starts=self.starts + 1, pid=os.getpid(), interrupted=None)
        processes.kill_marked(self.path)  # of a runner that was killed before
        try:
            if self.starts > STARTS_MOST:
                raise Ended("crashed", f"the run was interrupted {STARTS_MOST} times; see {self.path}/runner.log")
            self._restore_snapshot()
            if self.trained is None:
                self._train()
            if self.trained and self.trained.outcome != "finished":
                raise Ended(self.trained.outcome, self.trained.reason)
            if not (self.path / "score.json").exists():
                self._restore_snapshot()  # the trainer ran in this folder
                self._evaluate()
            if self.replica and self.run.request.kind == VERIFY and not (self.path / HELDOUT).exists():
                self._restore_snapshot()
                self._evaluate(HELDOUT)
            self._write_record("finished", "")
        except Ended as end:
            self._mind_disk(end)
            self._write_record(end.outcome, end.reason)

    def _restore_snapshot(self) -> None:
        request = self.run.request
        snapshot.restore(self.path, Git(self.root), request.commit, self.campaign.bench, request.sha256)
        self._check_stop()

    def _remove_strangers(self) -> None:
        """Take away what the trainer left beside its own folder: a numpy.py or an old score must not be found."""
        known = OWN | self.run.request.sha256.keys()
        self._clear(*(path.name for path in self.path.iterdir() if path.name not in known))

    def _train(self) -> None:
        """Trainer and feeder until both are gone. Raises Interrupted."""
        self._clear("run.log", "curve.jsonl", "feed.json", "summary.json", "score.json", HELDOUT)
        self._clear("work", compiled.KEPT)
        (self.path / "work").mkdir()
        if self.replica:
            (self.path / compiled.TRAINING).mkdir()
        else:
            compiled.bring(self.root, self.campaign, self.run.request, self.path)
        started, began, outcome, reason = time.time(), time.monotonic(), "finished", ""
        try:
            self._run_trainer(started)
        except Ended as end:
            self._mind_disk(end)
            outcome, reason = end.outcome, end.reason
        left = self._seal_work()
        if outcome == "finished" and left:
            outcome, reason = "crashed", left
        if not self.replica:
            compiled.take_back(self.root, self.campaign, self.run.request, self.path)
        self._remove_strangers()
        self.trained = Trained(outcome, reason, started, time.monotonic() - began, self.peak_rss_mb)
        text.write_json(self.path / "trained.json", asdict(self.trained))

    def _run_trainer(self, started: float) -> None:
        """Returns where training went well. Raises Ended, Interrupted."""
        oom_kills = processes.oom_kills()
        ours, theirs = socket.socketpair()
        children: list[subprocess.Popen[bytes]] = []
        with self._nobody_left(children):
            with self._open("run.log") as log, ours, theirs:
                env = self._environment(started)
                compile_in = box.COMPILE if self.box else self.path / compiled.TRAINING
                fed = env | compiled.variables(compile_in) | {"AUTORESEARCH_FEED": str(theirs.fileno())}
                trainer = processes.spawn(
                    [*self._boxed(training=True), self.campaign.python, "train.py"], self.path, fed, log, log,
                    inherit=[theirs.fileno()], file_most=quota.FILE_MOST,
                )  # fmt: skip
                children.append(trainer)
                feed = ["--feed", str(self.path), "--fd", str(ours.fileno()), "--pid", str(trainer.pid)]
                errors = sys.stderr.buffer
                command = [self.campaign.python, "prepare.py", *feed]
                feeder = processes.spawn(command, self.path, env, errors, errors, inherit=[ours.fileno()])
                children.append(feeder)
            try:
                feeder_failed = self._watch(trainer, feeder)
            finally:
                processes.kill_group(trainer)
                if not self.box:  # who tells nothing of what was in it; the feeder is still to be waited for
                    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
                    self.peak_rss_mb = max(self.peak_rss_mb, most / (1024 if sys.platform == "linux" else 2**20))
            with contextlib.suppress(subprocess.TimeoutExpired):
                feeder.wait(FEEDER_GRACE)
        code = processes.code_of(trainer, boxed=self.box is not None)
        self._judge_training(code, feeder.returncode, feeder_failed, processes.oom_kills() > oom_kills)

    def _evaluate(self, into: str = "score.json") -> None:
        """The scorer, until it has written its number `into` a file. Raises Ended, Interrupted."""
        if preparation.digests(Path(self.campaign.preparation)) != self.campaign.data_sha256:
            raise Interrupted(f"the validation data in {self.campaign.preparation} are not those of the campaign")
        self._clear(*HOST_LOGS)  # a trainer without a box could have made links of them
        log_from, began = self._size("runner.log"), time.monotonic()
        env = self._environment(self.trained.started if self.trained else time.time())
        children: list[subprocess.Popen[bytes]] = []
        with self._nobody_left(children):
            with self._open("run.log") as log:
                boxed = ["--box", json.dumps(self._boxed(training=False))] if self.box else []
                beat = None if self.replica else self.run.request.beat
                audited = [] if beat is None else ["--beat", repr(beat)]
                if into == HELDOUT:  # what the model does with validation text was audited in full
                    audited = ["--split", "heldout", "--beat", "0"]
                command = [self.campaign.python, "evaluate.py", str(self.path), *audited, *boxed]
                env |= compiled.variables(Path("/tmp/compile") if self.box else self.path / compiled.TRAINING)
                scorer = processes.spawn(command, self.path, env, log, sys.stderr.buffer)
                children.append(scorer)
            look = 0.0
            while scorer.poll() is None:
                self._check_stop()
                if time.monotonic() > look:
                    look = time.monotonic() + quota.EVERY
                    self._check_quota(scorer, *HOST_LOGS)
                if time.monotonic() - began > EVALUATION_LIMIT:
                    raise Ended("crashed", f"the evaluation took longer than {EVALUATION_LIMIT:.0f} s")
                time.sleep(POLL)
        self.evaluation_seconds += time.monotonic() - began
        score = text.read_json(self.path / into) or {}
        if "refused" in score:
            raise Ended("refused", str(score["refused"]))
        bpb = score.get("heldout_bpb" if into == HELDOUT else "val_bpb")
        if scorer.returncode != 0 or not isinstance(bpb, (int, float)):
            self._clear(into)
            self._blame("evaluate.py", scorer.returncode, self._last_line("runner.log", log_from))

    def _write_record(self, outcome: str, reason: str) -> None:
        processes.kill_marked(self.path)
        feed = text.read_json(self.path / "feed.json") or {}
        score = text.read_json(self.path / "score.json") or {} if outcome == "finished" else {}
        summary = text.read_json(self.path / "summary.json") or {} if outcome == "finished" else {}
        model = text.read_json(self.path / "work" / MODEL[1]) or {}
        points = curve.read(self.path / "curve.jsonl")
        foretold, hopeless = racing.look(points, self.race) if self.race else ((), None)
        bpb = _number(score, "val_bpb")
        trained = self.trained
        total = trained.wall_seconds + (self.evaluation_seconds or _number(score, "seconds")) if trained else 0.0
        record.write(
            self.path,
            Record(
                outcome=outcome,
                reason=" ".join(reason.split()),
                val_bpb=_number(score, "val_bpb") or None,
                causal=score.get("causal", True) is True,
                seconds=_number(feed, "seconds") or (points[-1].seconds if points else 0.0),
                total_seconds=total,
                share=min(_number(feed, "share") or (points[-1].progress if points else 0.0), 1.0),
                budget_overrun=_number(feed, "overrun"),
                tokens=int(_number(feed, "tokens")) or (points[-1].tokens if points else 0),
                steps=int(_number(feed, "steps")) or (points[-1].step if points else 0),
                peak_memory_mb=self._peak_memory(summary, model, feed),
                mfu_percent=_number(summary, "mfu_percent"),
                num_params=int(_number(score, "parameters") or _number(model, "num_params")),
                depth=int(_number(model, "depth")) or None,
                seed=self.run.request.seed,
                restarts=self.starts - 1,
                sandbox=self.campaign.sandbox,
                machine={
                    "host": platform.node(),
                    "system": f"{platform.system()} {platform.machine()}",
                    "cpus": os.cpu_count(),
                    "device": self.campaign.device,
                    **(score["machine"] if isinstance(score.get("machine"), dict) else {}),
                },
                sha256=self.run.request.sha256,
                model_sha256=feed["model_sha256"] if isinstance(feed.get("model_sha256"), dict) else {},
                data_sha256=self.campaign.data_sha256,
                lock_sha256=self.campaign.lock_sha256,
                foretold=list(foretold),
                gain=self.race.expected - bpb if self.race and bpb else None,
                hopeless=hopeless.share if hopeless else None,
                dip=self._dip(points) if outcome == "finished" else "",
            ),
        )
        print(f"{outcome} {reason}".rstrip(), flush=True)

    def _dip(self, points: list[curve.Point]) -> str:
        """How the run's pace shows that something else slowed the machine; empty where it does not."""
        rival = self.path.parent / self.race.rival / "curve.jsonl" if self.race else None
        tokens = points[-1].tokens if points else 0
        return disturbance.judge(points, tokens, (), [curve.read(rival)] if rival else ())

    # -- watching the children ----------------------------------------------------------------------

    def _watch(self, trainer: subprocess.Popen[bytes], feeder: subprocess.Popen[bytes]) -> bool:
        """Wait until the trainer is gone; says whether the feeder failed before it. Raises Ended."""
        limit = wall_limit(self.campaign.budget)
        deadline = time.monotonic() + limit
        orphaned = look = 0.0
        race_look = time.monotonic() + RACE_LOOK
        while trainer.poll() is None:
            self._check_stop()
            if time.monotonic() > race_look:
                race_look = time.monotonic() + RACE_LOOK
                self._check_race()
            if time.monotonic() > look:
                look = time.monotonic() + quota.EVERY
                usage = self._check_quota(trainer, "run.log")
                self.peak_rss_mb = max(self.peak_rss_mb, usage.peak / 2**20)
            if time.monotonic() > deadline:
                raise Ended("crashed", f"training took longer than {limit:.0f} s of wall time and was stopped")
            if feeder.poll() not in (None, 0):
                orphaned = orphaned or time.monotonic()
                if time.monotonic() - orphaned > FEEDER_GRACE:  # it does not notice that its rows have ended
                    break
            time.sleep(POLL)
        return orphaned > 0

    @functools.cached_property
    def race(self) -> racing.Race | None:
        """What the run's curve is held against; None where there is nothing, and for a replica."""
        value = None if self.replica else text.read_json(self.path / RACE)
        return racing.read(value) if value else None

    def _check_race(self) -> None:
        """Raises Ended where the curve is hopeless, unless the run is a control."""
        if self.race is None or self.race.control or self.race.stranger:
            return
        _, hopeless = racing.look(curve.read(self.path / "curve.jsonl"), self.race)
        if hopeless is not None:
            raise Ended("stopped", hopeless.reason)

    def _check_quota(self, process: subprocess.Popen[bytes], *logs: str) -> quota.Usage:
        """Raises Ended where train.py, in or below `process`, takes more of the machine than it may."""
        usage = quota.usage(process.pid)
        work, log = quota.size_of(self.path / "work"), sum(map(self._size, logs))
        if over := quota.excess(usage, work, log, quota.machine_memory()):
            raise Ended("crashed", f"train.py was stopped: {over}")
        return usage

    def _judge_training(self, trainer: int, feeder: int | None, feeder_failed: bool, out_of_memory: bool) -> None:
        """Returns where training went well. Raises Ended, Interrupted."""
        if feeder is None:
            raise Ended("crashed", f"prepare.py --feed did not end within {FEEDER_GRACE:.0f} s of the trainer")
        # A trainer that fails by itself ends its feeder well, so where both failed it was the feeder; a trainer
        # that was killed may have left it in the middle of an answer.
        if feeder != 0 and (feeder_failed or trainer >= 0):
            self._blame("prepare.py --feed", feeder, self._last_line("runner.log"))
        if trainer != 0:
            if trainer == -signal.SIGKILL and out_of_memory:
                raise Ended("crashed", "out of memory: the system ran out and killed train.py")
            cause = text.last_frames(self._tail("run.log"))[0].removeprefix("cause: ")
            self._blame("train.py", trainer, cause)
        feed = text.read_json(self.path / "feed.json") or {}
        if feed.get("finished") is not True:
            raise Ended(
                "crashed", f"train.py ended at {_number(feed, 'share'):.0%} of its budget without run.finish"
            )

    def _blame(self, who: str, code: int, said: str) -> NoReturn:
        """Raise what a failed process means: see the module's docstring."""
        if code >= 0:
            raise Ended("crashed", said or f"{who} ended with exit code {code}")
        name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
        if -code not in processes.FROM_OUTSIDE:
            raise Ended("crashed", f"{who} died of {name}")
        accident = f"{who} was killed from outside ({name})"
        accidents = [*self.history.get("accidents", []), accident]
        self._remember(accidents=accidents)
        if len(accidents) >= ACCIDENTS_MOST:
            raise Ended(
                "crashed", f"killed from outside {len(accidents)} times, out of memory perhaps: {accident}"
            )
        raise Interrupted(accident)

    def _mind_disk(self, end: Ended) -> None:
        """Raise Interrupted where the run failed for want of room on the disk, which is not its fault."""
        if end.outcome == "crashed" and self.starts <= STARTS_MOST and disk.is_full(self.root, end.reason):
            raise Interrupted(f"the disk is full: {end.reason}")

    def _check_stop(self) -> None:
        if (self.path / STOP).exists():
            raise Ended("stopped", record.BY_HAND)

    @contextlib.contextmanager
    def _nobody_left(self, children: list[subprocess.Popen[bytes]]) -> Iterator[None]:
        """However the block ends, `children` and whatever they started are dead after it."""
        try:
            yield
        finally:
            for child in children:
                processes.kill_group(child)
            processes.kill_marked(self.path)

    # -- the box, and what comes out of it ----------------------------------------------------------

    @functools.cached_property
    def box(self) -> Box | None:
        """None where the campaign began without one. Raises Interrupted where it did not and there is none now."""
        if not self.campaign.is_boxed:
            return None
        program, why_not = box.find(self.root, self.campaign.sandbox_program)
        if program is None:
            raise Interrupted(why_not)
        data = preparation.read(Path(self.campaign.preparation))
        return box.make(self.root, program, self.campaign.python, data, self.campaign.environment)

    def _boxed(self, *, training: bool) -> list[str]:
        return self.box.around(self.path, self.run.request.sha256, training=training) if self.box else []

    def _seal_work(self) -> str:
        """Leave the model's two plain files in work/ and nothing else; says what is wrong with them, if it is."""
        work = self.path / "work"
        for path in list(work.iterdir()):
            is_plain = stat.S_ISREG(path.lstat().st_mode)
            if path.name not in MODEL or not is_plain or (path.name == MODEL[1] and _is_large(path)):
                remove(path)
        missing = next((name for name in MODEL if not (work / name).exists()), None)
        return f"run.finish left no work/{missing}, or what is no plain file of its kind" if missing else ""

    # -- small change -------------------------------------------------------------------------------

    @property
    def starts(self) -> int:
        return int(_number(self.history, "starts"))

    def interrupt(self, why: str) -> None:
        """Leave word for status."""
        self._remember(interrupted=why)

    def _remember(self, **what: Any) -> None:
        self.history |= what
        text.write_json(self.path / "runner.json", self.history)

    def _environment(self, started: float) -> dict[str, str]:
        env = self.campaign.environment | {
            "PYTHONDONTWRITEBYTECODE": "1",  # the run's folder is no place for a cache that is believed
            "AUTORESEARCH_RUN": str(self.path),
            "AUTORESEARCH_SEED": str(self.run.request.seed),
            "AUTORESEARCH_BUDGET": self.campaign.budget,
            "AUTORESEARCH_PREPARATION": self.campaign.preparation,
            "AUTORESEARCH_STARTED": repr(started),
        }
        if self.campaign.device == "cpu":
            # Passive waiting, so that CPU-seconds measure work; big buffers are kept rather than given back and
            # zeroed again at every step.
            env |= {
                "OMP_WAIT_POLICY": "passive",
                "GOMP_SPINCOUNT": "0",
                "MALLOC_MMAP_THRESHOLD_": str(2**30),
                "MALLOC_TRIM_THRESHOLD_": str(2**30),
            }
        return env

    def _peak_memory(self, summary: dict[str, Any], model: dict[str, Any], feed: dict[str, Any]) -> float:
        """MB: on a CPU as the system counted it, on a device as the trainer reported it."""
        if self.trained and self.campaign.device == "cpu":
            return max(self.trained.peak_rss_mb, _number(feed, "peak_memory_mb"))
        return _number(summary, "peak_vram_mb") or _number(model, "peak_memory_mb")

    def _open(self, name: str) -> IO[bytes]:
        return (self.path / name).open("ab")

    def _size(self, name: str) -> int:
        return (self.path / name).stat().st_size if (self.path / name).exists() else 0

    def _tail(self, name: str, start: int = 0) -> str:
        with (self.path / name).open("rb") as log:
            log.seek(max(start, self._size(name) - 200_000))
            return log.read().decode("utf-8", "replace")

    def _last_line(self, name: str, start: int = 0) -> str:
        lines = [text.printable(line).strip() for line in self._tail(name, start).splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def _clear(self, *names: str) -> None:
        for name in names:
            remove(self.path / name)


def _is_large(path: Path) -> bool:
    return path.stat().st_size > MODEL_JSON_MOST


def remove(path: Path) -> None:
    """Remove a file, a link, or a whole folder, however deep it is nested and whatever its permissions are."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["rm", "-rf", "--", str(path)], check=True)


def _number(source: dict[str, Any], key: str) -> float:
    """A finite number under `key`, also one written as text; 0 where there is none."""
    try:
        value = float(source.get(key, 0.0))
    except (TypeError, ValueError):
        return 0.0
    return value if math.isfinite(value) else 0.0


def _interrupt(number: int, frame: object) -> NoReturn:
    for again in (signal.SIGTERM, signal.SIGINT):  # once is enough: the cleaning up is not to be interrupted
        signal.signal(again, signal.SIG_IGN)
    raise Interrupted(f"the runner got {signal.Signals(number).name}")


def main(argv: list[str]) -> int:
    """Run the runner on argv[0]; argv[1], if given, is the number of the inherited open lock, or REPLICA, whose
    folder may lie deeper below argv[2]: the campaign is what lies beside it all the same."""
    path = Path(argv[0])
    replica = argv[1:2] == [REPLICA]
    root = Path(argv[2]) if replica else path.parents[2]
    tag = str(path.parent.relative_to(root / "runs"))
    if len(argv) > 1 and not replica:
        os.set_inheritable(int(argv[1]), False)
    elif record.take_lock(path / "run.lock") is None:
        print(f"runner: {path} has a runner already", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run, campaign = record.read(path), campaigns.load(root, tag)
    if run is None or campaign is None:
        print(f"runner: {path} is no run of a campaign", file=sys.stderr)
        return 2
    if run.record is not None:
        return 0
    runner = Runner(root, run, campaign, replica)
    try:
        runner.go()
    except Interrupted as why:
        runner.interrupt(str(why))
        print(f"interrupted: {why}", flush=True)
        return 1
    except Exception as error:  # a full disk, git gone, …: the run may go on once that is mended
        runner.interrupt(f"{type(error).__name__}: {error}")
        raise  # into runner.log
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
