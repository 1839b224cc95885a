"""A campaign as it lies on disk: nothing is mended, nothing is locked, and what cannot be read is named."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import Refused, record
from .. import campaign as campaigns
from .. import experiment as experiments
from ..campaign import Campaign
from ..experiment import Experiment, Incumbent
from ..learned import Learned, Learner
from ..record import Run
from ..situation import Situation

_NUMBERS = ("seconds", "total_seconds", "share", "budget_overrun", "tokens", "steps", "peak_memory_mb")


@dataclass(frozen=True)
class Book:
    """`damaged`: a line for each file that holds something else than it must; its run is passed by, or counts as
    one without that file. `disturbed`: why runs do not count, by number."""

    root: Path
    tag: str
    campaign: Campaign | None
    runs: tuple[Run, ...]
    experiments: tuple[Experiment, ...]
    incumbent: Incumbent | None
    learned: Learned | None
    disturbed: dict[int, str]
    damaged: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return campaigns.folder(self.root, self.tag)

    @property
    def running(self) -> Run | None:
        """The run in progress."""
        return self.runs[-1] if self.runs and self.runs[-1].alive else None


def of(now: Situation) -> Book:
    """The book of a campaign that was looked at already."""
    runs, damaged = _checked(now.folder, now.runs)
    learned = now.learned if len(runs) == len(now.runs) else None
    return _bound(now.root, now.branch.tag, now.campaign, runs, damaged, learned)


def read(root: Path, tag: str) -> Book:
    """The book of the campaign `tag`. Raises Refused where its pin cannot be read."""
    folder = campaigns.folder(root, tag)
    found, undecided = [], []
    for path in folder.glob("[0-9]*-*"):
        try:
            run = record.read(path)
        except Refused:  # its decision is damaged: the run is still worth showing
            undecided.append(f"{path.name}/decision.json")
            run = _without_decision(path)
        if run is not None:
            found.append(run)
    runs, damaged = _checked(folder, sorted(found, key=lambda run: run.request.number))
    return _bound(root, tag, campaigns.load(root, tag), runs, [*damaged, *undecided])


def _bound(
    root: Path,
    tag: str,
    campaign: Campaign | None,
    runs: list[Run],
    damaged: list[str],
    learned: Learned | None = None,
) -> Book:
    """The book of these runs; `learned`: from all of them, where that was done already."""
    grouped = experiments.group(runs)
    learner = Learner(grouped, campaign) if campaign else None
    return Book(
        root=root,
        tag=tag,
        campaign=campaign,
        runs=tuple(runs),
        experiments=tuple(grouped),
        incumbent=experiments.incumbent(grouped, runs),
        learned=learned or (learner.learn() if learner else None),
        disturbed=learner.disturbed if learner else {},
        damaged=tuple(sorted(damaged)),
    )


def _checked(folder: Path, runs: Iterable[Run]) -> tuple[list[Run], list[str]]:
    """The runs whose files are what they must be, and the names of those that are not."""
    sound, damaged, seen = [], [], set()
    for run in runs:
        seen.add(run.path.name)
        if run.record is None and (run.path / "record.json").exists():
            damaged.append(f"{run.path.name}/record.json")
        if wrong := _nonsense(run):
            damaged.append(f"{run.path.name}/{wrong}")
        else:
            sound.append(run)
    names = (path.name for path in folder.glob("[0-9]*-*"))
    return sound, [*damaged, *(f"{name}/run.json" for name in names if name not in seen)]


def _nonsense(run: Run) -> str:
    """The file of a run in which something has not its type; empty where all has."""
    request, measured, decision = run.request, run.record, run.decision
    if not all(isinstance(n, int) for n in (request.number, request.experiment, request.seed)):
        return "run.json"
    if not _number(request.created) or not isinstance(request.commit, str):
        return "run.json"
    if measured is not None:
        if not all(_number(getattr(measured, name)) for name in _NUMBERS):
            return "record.json"
        if not (measured.val_bpb is None or _number(measured.val_bpb)) or not isinstance(measured.machine, dict):
            return "record.json"
    if decision is not None:
        if not (decision.val_bpb is None or _number(decision.val_bpb)) or not _number(decision.logged_at):
            return "decision.json"
        if not isinstance(decision.reasons, list) or not isinstance(decision.framework, list):
            return "decision.json"
    return ""


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _without_decision(path: Path) -> Run | None:
    request, measured = record.request(path), record.measured(path)
    return Run(path, request, measured, None, False) if request else None
