"""What a kill, or a hand, left undone, completed. Every step may be done again without harm.

A decision is the commit point of log_result: once it is written, the branch and the ledger follow from it,
whoever gets to it first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import branch as git_branch
from . import campaign as campaigns
from . import experiment as experiments
from . import ledger, record
from .branch import Branch
from .experiment import Experiment, Incumbent
from .record import Decision, Run


def is_pending(decision: Decision | None) -> bool:
    """Whether the branch does not follow from it yet."""
    return decision is not None and (decision.status == "keep" or decision.undone) and not decision.landed


def finish(branch: Branch, runs: Sequence[Run]) -> list[Run]:
    """Land every kept candidate, and take back every undone one, whose decision does not say that it was done;
    returns the runs as they are now."""
    for run in runs:
        decision = run.decision
        if decision is None or not is_pending(decision):
            continue
        if decision.undone:
            record.write(run.path, replace(decision, landed=_take_back(branch, run, runs)))
            branch = git_branch.current(branch.git.root)
            continue
        # The decision lies with the experiment's last run, which may have been one of the incumbent.
        attempts = [
            r for r in runs if r.request.experiment == run.request.experiment and r.request.kind != "confirm"
        ]
        request = attempts[-1].request
        landed = git_branch.land(branch, request.commit, request.parent, request.message, decision.logged_at)
        record.write(run.path, replace(decision, landed=landed))
    return [record.read(run.path) or run for run in runs]


def _take_back(branch: Branch, run: Run, runs: Sequence[Run]) -> str:
    """Move the branch back to the incumbent before the provisional keep that `run` was the test of."""
    before = [one for one in runs if one.request.number < run.request.experiment]
    held = experiments.incumbent(experiments.group(before), before)
    if held is None:
        raise git_branch.GitFailed(f"run {run.name} undoes a keep before which there is none")
    blob = branch.git.blobs(f"{held.commit}:{git_branch.TRAIN}")[0]
    if blob is None:
        raise git_branch.GitFailed(f"the commit {held.commit[:12]} is missing from the repository")
    if branch.git.blobs(f"{branch.tip}:{git_branch.TRAIN}")[0] == blob:
        return branch.tip
    back = git_branch.put_back(branch, blob, held.decision.landed or held.commit)
    if back is None:
        raise git_branch.GitFailed(f"{branch.ref} is being moved by somebody else: try again")
    return back.to


def take_off_hand_commits(branch: Branch, incumbent: Incumbent, blob: str) -> str:
    """Put the branch back on the incumbent, whose train.py is `blob`; returns a line that says so."""
    hand = git_branch.put_back(branch, blob, incumbent.decision.landed or incumbent.commit)
    if hand is None:
        raise git_branch.GitFailed(f"{branch.ref} is being moved by somebody else: try again")
    return (
        f"the branch's tip {hand.commit[:7]} was made by hand and changes train.py: it is your edit now, kept as "
        f"{hand.ref}; the branch is back at the incumbent ({hand.to[:7]})"
    )


def mark_undone(experiment: Experiment, edited: bool) -> bool:
    """Note that a discarded edit is gone from the working tree, by whatever means; says whether it was noted."""
    decision = experiment.decision
    if decision is None or decision.status == "keep" or decision.reverted_at is not None or edited:
        return False
    if not experiment.settled:
        return False
    record.write(experiment.last.path, replace(decision, reverted_at=time.time()))
    return True


def mend_ledger(root: Path, tag: str, grouped: Sequence[Experiment]) -> list[str]:
    """Make results.tsv agree with the decisions; returns lines on what was wrong with it."""
    campaigns.link_results(root, tag)
    rows = [row(one, one.decision) for one in grouped if one.decision is not None]
    # What a provisional keep was, before its re-test was decided on.
    former = [row(one, run.decision) for one in grouped for run in one.runs if run.decision]
    standing = set(rows)
    former = [one for one in former if one not in standing]
    report = ledger.sync(campaigns.folder(root, tag) / campaigns.LEDGER, rows, former)
    notes = []
    if report.moved_to is not None:
        old = report.moved_to.relative_to(root.resolve())
        notes.append(
            f"results.tsv could not be read ({report.why}): rebuilt from the records, the old one is {old}"
        )
    if report.mended:
        notes.append(f"results.tsv: {report.mended} measured row(s) had been changed and were put right")
    return notes


def row(experiment: Experiment, decision: Decision) -> ledger.Row:
    """The ledger's row of an experiment with this decision."""
    return ledger.Row(
        experiment.commit[:7], decision.val_bpb or 0.0, decision.memory_gb, decision.status, decision.description
    )
