"""What a run is asked to do, what it left, and what was decided: three small files in its folder.

    runs/<tag>/NNNN-<commit7>/
        run.json        the request, there from the first instant
        train.py prepare.py evaluate.py … program.md     the snapshot
        run.lock        held by flock while the runner lives: alive <=> held
        curve.jsonl feed.json run.log summary.json score.json work/      what the processes of the run leave
        trained.json    the trainer is through, and how it ended (the runner's)
        record.json     what was measured; written last, whole
        decision.json   in the folder of an experiment's last run: what log_result decided

These files are the source of truth; results.tsv can be made again from them.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from . import Refused
from .text import read_json, write_json

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One run to do. `kind`: baseline, candidate, fix (next attempt after a crash), confirm (the commit again)."""

    number: int
    experiment: int  # number of the experiment's first run
    attempt: int  # 1, and one more for each fix
    kind: str
    commit: str
    parent: str  # the incumbent it is held against; of the baseline: itself
    seed: int
    message: str
    created: float  # unix time
    lines_added: int = 0  # of train.py, against the parent
    lines_removed: int = 0
    program_sha256: str | None = None  # of program.md as it was
    sha256: dict[str, str] = field(default_factory=dict)  # of the snapshot's files
    pin_sha256: str = ""  # of campaign.json as it was
    beat: float | None = None  # val_bpb below which the score is audited in full; always, where there is none
    drawn: int | None = None  # number of the run that its seed was drawn for; None: its own
    retries: int | None = None  # number of the experiment whose idea it tries again
    memory_limit_gb: float | None = None  # above which it is no keep, whatever it scores


BY_HAND = "stopped by hand"  # a reason


@dataclass(frozen=True)
class Record:
    """What one run measured. `outcome`: finished, crashed, refused (by the scorer) or stopped (by hand, or for its
    curve)."""

    outcome: str
    reason: str  # one line; empty when it finished
    val_bpb: float | None  # bits per byte, from the scorer
    causal: bool
    seconds: float  # of training, by the feeder's clock
    total_seconds: float  # start of training to the end of the evaluation
    share: float  # of the budget spent, 0 to 1
    budget_overrun: float  # share of the budget that was spent beyond it
    tokens: int
    steps: int
    peak_memory_mb: float
    mfu_percent: float
    num_params: int
    depth: int | None
    seed: int
    restarts: int
    sandbox: str = ""  # what it was boxed with, or `none: ` and why
    machine: dict[str, Any] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)  # of the snapshot's files
    model_sha256: dict[str, str] = field(default_factory=dict)  # of weights and config, as the clock stopped
    data_sha256: dict[str, str] = field(default_factory=dict)  # of what it was scored with (preparation.digests)
    lock_sha256: str = ""  # of uv.lock
    foretold: list[float | None] = field(default_factory=list)  # gain in bpb, by its curve, at racing.SHARES
    gain: float | None = None  # bpb, against what the incumbent was expected to score on this seed
    hopeless: float | None = None  # share of the budget at which its curve was: `stopped` there, or a control
    dip: str = ""  # how its own pace shows that something else slowed the machine

    @property
    def raced(self) -> bool:
        """Whether it was stopped for its hopeless curve: a result, unlike a crash or a stop by hand."""
        return self.outcome == "stopped" and self.hopeless is not None and self.reason != BY_HAND


@dataclass(frozen=True)
class Decision:
    """What log_result decided on an experiment. `landed`: the branch's tip after a keep, null until it moved.

    `provisional`: a keep that is to be run once more; what comes of that is a decision of its own, with the later
    run. `undone`: a discard that takes such a keep back, whose `landed` is the tip after that."""

    status: str  # keep, discard or crash
    val_bpb: float | None  # mean over the candidate's runs
    memory_gb: float
    description: str
    note: str
    reasons: list[str]
    framework: list[str]
    composite: int
    band: str
    runs: list[int]
    logged_at: float  # unix time
    landed: str | None = None
    reverted_at: float | None = None
    provisional: bool = False
    undone: bool = False
    gain: float | None = None  # bpb, as believed
    gain_sd: float | None = None
    error: float | None = None  # probability that it gains nothing


# Of each of the three: the names of its fields, and of those without a default.
_FIELDS: dict[type[Any], tuple[frozenset[str], frozenset[str]]] = {
    kind: (
        frozenset(f.name for f in fields(kind)),
        frozenset(f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING),
    )
    for kind in (Request, Record, Decision)
}


@dataclass(frozen=True)
class Run:
    """One run's folder and what is in it now. `alive`: its runner lives."""

    path: Path
    request: Request
    record: Record | None
    decision: Decision | None
    alive: bool

    @property
    def name(self) -> str:
        return f"{self.request.number:04d}"

    @property
    def scored(self) -> bool:
        return self.record is not None and self.record.outcome == "finished" and self.record.val_bpb is not None


def read(path: Path) -> Run | None:
    """The run in `path`; None where there is no readable request. Raises Refused for an unreadable decision."""
    asked = request(path)
    if asked is None:
        return None
    record = measured(path)
    alive = record is None and is_locked(path / "run.lock")
    if record is None and not alive:  # it may have ended in between
        record = measured(path)
    decision = _load(Decision, path / "decision.json")
    if decision is None and (path / "decision.json").exists():
        raise Refused(
            f"{path}/decision.json cannot be read: put it back, or move it away to have the run logged again"
        )
    return Run(path, asked, record, decision, alive)


def request(path: Path) -> Request | None:
    """What the run in `path` was asked to do; None where that cannot be read."""
    return _load(Request, path / "run.json")


def measured(path: Path) -> Record | None:
    """What it measured; None where there is nothing to read."""
    return _load(Record, path / "record.json")


def write(path: Path, value: Request | Record | Decision) -> None:
    """Write one of the three into the run folder `path`, whole."""
    name = {Request: "run.json", Record: "record.json", Decision: "decision.json"}[type(value)]
    write_json(path / name, asdict(value))


def take_lock(path: Path) -> int | None:
    """An open file that holds the lock `path` (created if need be), None when somebody else holds it.

    The lock goes with the open file: a child that inherits it holds it too, and the kernel lets go of it when
    the last of them dies, however it dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _load(kind: type[T], path: Path) -> T | None:
    """The dataclass `kind` from a JSON file; None when it is missing or not such a one. Unknown keys pass by."""
    value = read_json(path)
    if value is None:
        return None
    known, required = _FIELDS[kind]
    if not required <= value.keys():
        return None
    return kind(**{key: item for key, item in value.items() if key in known})
