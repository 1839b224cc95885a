"""Everything that a command needs to know, looked up once: git, the records, and what may come next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import Refused, reconcile, record, state, stopping, sweep, verdict
from . import branch as git_branch
from . import campaign as campaigns
from . import experiment as experiments
from .branch import TRAIN, Branch
from .campaign import Campaign
from .experiment import Experiment, Incumbent
from .learned import Learned, Learner
from .noise import Noise
from .record import Run
from .state import State
from .sweep import Plan


@dataclass(frozen=True)
class Situation:
    """A campaign as it stands. `text` is train.py in the working tree, None when it is missing."""

    branch: Branch
    campaign: Campaign | None
    runs: tuple[Run, ...]
    experiments: tuple[Experiment, ...]
    incumbent: Incumbent | None
    learned: Learned | None
    text: bytes | None
    blob: str | None  # what git would store of it
    edited: bool  # it is not the incumbent's
    verdict: verdict.Verdict | None  # of an experiment that ended and is not logged
    state: State
    notes: tuple[str, ...]  # what had to be mended, a line each
    stop: str | None = None  # why no further experiment is to begin
    sweep: Plan | None = None  # the one in progress, unless an experiment that is not its own is in hand

    @property
    def root(self) -> Path:
        return self.branch.git.root

    @property
    def folder(self) -> Path:
        return campaigns.folder(self.root, self.branch.tag)

    @property
    def kept(self) -> list[Run]:
        """Every run whose commit was kept, the baseline's among them."""
        commits = {e.commit for e in self.experiments if e.decision and e.decision.status == "keep"}
        return [run for run in self.runs if run.request.commit in commits]

    @property
    def before(self) -> Incumbent | None:
        """The incumbent that the newest experiment is held against."""
        return experiments.incumbent(self.experiments[:-1], self.runs)

    @property
    def tried(self) -> int:
        """How many experiments are decided, the baseline not counted."""
        return sum(e.decision is not None and not e.is_baseline for e in self.experiments)

    @property
    def noise(self) -> Noise | None:
        return self.learned.noise if self.learned else None

    @property
    def newest(self) -> Experiment | None:
        return self.experiments[-1] if self.experiments else None


def look(root: Path, mend: bool = True) -> Situation:
    """The situation at `root`, once what a kill left undone is mended. The caller holds the lock.

    Without `mend` nothing is changed, and no lock is needed: for who looks on while somebody else works.
    """
    branch = git_branch.current(root)
    campaign = campaigns.load(root, branch.tag)
    runs = campaigns.runs(root, branch.tag) if campaign else []
    if mend and any(reconcile.is_pending(run.decision) for run in runs):
        runs = reconcile.finish(branch, runs)
        branch = git_branch.current(root)
    grouped = experiments.group(runs)
    best = experiments.incumbent(grouped, runs)

    text = _read(branch.train)
    blob = git_branch.train_blob(branch.git, text) if text is not None else None
    names = [f"{branch.tip}:{TRAIN}", f"{best.commit if best else branch.tip}:{TRAIN}"]
    tip_blob, best_blob = branch.git.blobs(*names)
    if best_blob is None:
        raise Refused(f"{names[1][:7]} has no {TRAIN}: put it back on the branch {branch.ref}")
    notes = []
    if mend and best is not None and tip_blob != best_blob:
        notes.append(reconcile.take_off_hand_commits(branch, best, best_blob))
        branch = git_branch.current(root)
    edited = blob != best_blob

    if mend and campaign is not None:
        if grouped and reconcile.mark_undone(grouped[-1], edited):
            runs = [record.read(run.path) or run for run in runs]
            grouped = experiments.group(runs)
        notes += reconcile.mend_ledger(root, branch.tag, grouped)
    learned = decided = None
    if campaign is not None:
        learner = Learner(grouped, campaign)
        learned = learner.learn()
        decided = judge(learner, learned, runs)
    swept = _sweep(root, branch.tag, grouped)
    facts = replace(_facts(campaign, grouped, best, edited, decided), sweep=swept is not None)
    now = Situation(
        branch=branch,
        campaign=campaign,
        runs=tuple(runs),
        experiments=tuple(grouped),
        incumbent=best,
        learned=learned,
        text=text,
        blob=blob,
        edited=edited,
        verdict=decided,
        state=state.derive(facts),
        notes=tuple(notes),
        sweep=swept,
    )
    stop = stopping.reason(now)
    return replace(now, stop=stop, state=state.derive(replace(facts, stop=stop))) if stop else now


def judge(learner: Learner, learned: Learned, runs: Sequence[Run]) -> verdict.Verdict | None:
    """The verdict on the newest experiment, where it ended and is not logged yet."""
    newest = learner.experiments[-1] if learner.experiments else None
    if newest is None or newest.last.record is None or newest.settled:
        return None
    held = experiments.incumbent(learner.experiments[:-1], runs)
    return verdict.decide(learner.facts(newest, learned, held))


def _sweep(root: Path, tag: str, grouped: Sequence[Experiment]) -> Plan | None:
    """The sweep in progress, if it is its turn. An end without delay that is asked for comes first."""
    plan = sweep.in_progress(root, tag)
    if plan is None or not grouped or stopping.at_once(root):
        return None
    last = grouped[-1]
    decision = last.decision if last.settled and not last.provisional else None
    is_through = decision is not None and (decision.status == "keep" or decision.reverted_at is not None)
    return plan if is_through or sweep.point_of(plan, last) is not None else None


def _facts(
    campaign: Campaign | None,
    grouped: Sequence[Experiment],
    best: Incumbent | None,
    edited: bool,
    decided: verdict.Verdict | None,
) -> state.Facts:
    if not grouped:
        return state.Facts(campaign=campaign is not None, edited=edited)
    last, decision = grouped[-1].last, grouped[-1].decision
    return state.Facts(
        campaign=campaign is not None,
        incumbent=best is not None,
        edited=edited,
        run="alive" if last.alive else "ended" if last.record else "dead",
        verdict=decided.status if decided else "",
        decided=decision.status if decision and grouped[-1].settled else "",
        provisional=grouped[-1].provisional,
        retest=grouped[-1].retest,
        reverted=decision is not None and decision.reverted_at is not None,
    )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
