"""An experiment: one idea, from its first run through fixes and confirmations to a decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .record import Decision, Record, Run


@dataclass(frozen=True)
class Experiment:
    """Runs with the same experiment number, in order; never empty."""

    runs: tuple[Run, ...]

    @property
    def number(self) -> int:
        return self.runs[0].request.experiment

    @property
    def last(self) -> Run:
        return self.runs[-1]

    @property
    def candidate(self) -> Run:
        """The run whose commit is being decided: the last attempt."""
        return [run for run in self.runs if run.request.kind != "confirm"][-1]

    @property
    def commit(self) -> str:
        return self.candidate.request.commit

    @property
    def own(self) -> list[Run]:
        """The runs of the commit that is being decided, its confirmations among them."""
        return [run for run in self.runs if run.request.commit == self.commit]

    @property
    def again(self) -> list[Run]:
        """The runs of the incumbent that it asked for; an attempt before a fix is no such run."""
        attempts = {run.request.commit for run in self.runs if run.request.kind != "confirm"}
        return [run for run in self.runs if run.request.commit not in attempts]

    @property
    def decision(self) -> Decision | None:
        """What holds: of a provisional keep that is being run once more, still the keep."""
        return next((run.decision for run in reversed(self.runs) if run.decision), None)

    @property
    def settled(self) -> bool:
        """Whether nothing that ran is undecided."""
        return self.last.decision is not None

    @property
    def retest(self) -> bool:
        """Whether its last run tests a provisional keep."""
        return not self.settled and self.decision is not None

    @property
    def provisional(self) -> bool:
        """Whether it is kept provisionally, with its re-test still to come."""
        return self.last.decision is not None and self.last.decision.provisional

    @property
    def is_baseline(self) -> bool:
        return self.runs[0].request.kind == "baseline"

    @property
    def outcome(self) -> str:
        """Of the newest run of the candidate: one that crashes on its second seed has crashed."""
        newest = self.own[-1].record
        return newest.outcome if newest else "running"

    @property
    def reason(self) -> str:
        newest = self.own[-1].record
        return newest.reason if newest else ""


@dataclass(frozen=True)
class Incumbent:
    """The experiment that was kept last, with every score its commit ever got."""

    experiment: Experiment
    decision: Decision
    runs: tuple[Run, ...]  # scored ones of its commit, also those that later experiments asked for
    number: int  # how many experiments were kept, the baseline among them

    @property
    def commit(self) -> str:
        return self.experiment.commit

    @property
    def scores(self) -> tuple[float, ...]:
        return scores(self.runs)

    @property
    def mean(self) -> float:
        return math.fsum(self.scores) / len(self.scores)

    @property
    def record(self) -> Record:
        """The record of its newest scored run."""
        newest = self.runs[-1].record
        assert newest is not None  # only scored runs are in here
        return newest

    @property
    def peak_memory_mb(self) -> float:
        return max(run.record.peak_memory_mb for run in self.runs if run.record)


def group(runs: Sequence[Run]) -> list[Experiment]:
    """The experiments that `runs`, by number, belong to."""
    by_number: dict[int, list[Run]] = {}
    for run in runs:
        by_number.setdefault(run.request.experiment, []).append(run)
    whole = [own for own in by_number.values() if any(run.request.kind != "confirm" for run in own)]
    return [Experiment(tuple(own)) for own in whole]


def incumbent(experiments: Sequence[Experiment], runs: Sequence[Run]) -> Incumbent | None:
    """The experiment kept last; None before the baseline."""
    kept = [e for e in experiments if e.decision is not None and e.decision.status == "keep"]
    if not kept or kept[-1].decision is None:
        return None
    own = tuple(run for run in runs if run.scored and run.request.commit == kept[-1].commit)
    return Incumbent(kept[-1], kept[-1].decision, own, len(kept)) if own else None


def scores(runs: Sequence[Run]) -> tuple[float, ...]:
    """val_bpb of the scored runs among `runs`."""
    return tuple(
        run.record.val_bpb for run in runs if run.record and run.scored and run.record.val_bpb is not None
    )
