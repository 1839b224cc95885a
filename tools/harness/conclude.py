"""The end of an experiment: its decision written down, and the working tree back at the incumbent."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from . import Refused, integrity, record, submit
from . import branch as git_branch
from . import campaign as campaigns
from .experiment import scores
from .ledger import clean
from .record import Decision
from .situation import Situation, look
from .text import read_json, write_whole
from .verdict import Verdict


@dataclass(frozen=True)
class Conclusion:
    """What log_result decided, and the situation after it. `decision` is None on `confirm`."""

    verdict: Verdict
    decision: Decision | None
    after: Situation


def log(now: Situation, description: str, note: str) -> Conclusion:
    """Decide on the experiment that ended; a keep moves the branch, `confirm` changes nothing. Raises Refused."""
    experiment, verdict, campaign = now.newest, now.verdict, now.campaign
    if experiment is None or verdict is None or campaign is None:
        raise _nothing_to_log(now)
    # Neither other rules nor other numbers than those that were pinned and measured may decide.
    git = now.branch.git
    submit.check_bench(git, campaign)
    integrity.check(git, campaign, [*experiment.own, *(now.incumbent.runs if now.incumbent else ())])
    if not experiment.is_baseline:
        integrity.check_device(experiment.own, now.incumbent.runs if now.incumbent else ())
    if verdict.status == "confirm":
        return Conclusion(verdict, None, now)
    records = [run.record for run in experiment.own if run.record]
    values = scores(experiment.own)
    newest = experiment.own[-1].record
    if experiment.outcome == "stopped" and newest is not None:
        description = f"{clean(description)[:270].rstrip()} [stopped at {100 * newest.share:.0f} %]"
    crashed = verdict.status == "crash"
    decision = Decision(
        status=verdict.status,
        val_bpb=sum(values) / len(values) if values and not crashed else None,
        memory_gb=0.0 if crashed else round(max(r.peak_memory_mb for r in records) / 1024, 3),
        description=clean(description),
        note=note,
        reasons=list(verdict.reasons),
        framework=list(verdict.framework.lines),
        composite=verdict.framework.composite,
        band=verdict.framework.band,
        runs=[run.request.number for run in experiment.own],
        logged_at=time.time(),
        # A keep that its re-test bears out is on the branch already.
        landed=experiment.decision.landed if experiment.decision and verdict.status == "keep" else None,
        provisional=verdict.provisional,
        undone=experiment.retest and verdict.status != "keep",
        gain=verdict.belief.mean if verdict.belief else None,
        gain_sd=verdict.belief.sd if verdict.belief else None,
        error=verdict.error,
    )
    record.write(experiment.last.path, decision)
    # From here on it is decided: the branch and the ledger follow, now or in whatever command comes next.
    after = look(now.root)
    campaigns.prune(after.kept, after.runs)
    return Conclusion(verdict, decision, after)


def undo(now: Situation) -> Path | None:
    """Put the incumbent's train.py back; returns where a text was saved that no commit holds. Raises Refused."""
    name, newest = now.state.name, now.newest
    if name in ("running", "interrupted") and newest is not None:
        raise Refused(f"run {newest.last.name} is not through ({name}): wait for it, or stop it", now.state.next)
    if name == "finished" and newest is not None:
        raise Refused(
            f"run {newest.last.name} has ended and is not logged yet: log it, then revert", now.state.next
        )
    incumbent = git_branch.train_text(now.branch.git, now.branch.tip)
    saved = None
    if now.edited and now.text is not None and not _is_committed(now):
        saved = now.folder / "reverted" / f"{time.strftime('%Y%m%d-%H%M%S')}-{(now.blob or '')[:7]}.py"
        saved.parent.mkdir(parents=True, exist_ok=True)
        write_whole(saved, now.text)
    if now.edited:
        mode = stat.S_IMODE(now.branch.train.stat().st_mode) if now.text is not None else 0o644
        write_whole(now.branch.train, incumbent)
        os.chmod(now.branch.train, mode)  # noqa: PTH101  # through a link, as the write went
        git_branch.refresh_index(now.branch.git, now.branch.tip)
    return saved


def _is_committed(now: Situation) -> bool:
    """Whether the edit in the working tree is the newest experiment's, which has its ref."""
    if now.newest is None:
        return False
    return now.blob == now.branch.git.blobs(f"{now.newest.commit}:{git_branch.TRAIN}")[0]


def _nothing_to_log(now: Situation) -> Refused:
    name, newest = now.state.name, now.newest
    if name in ("running", "interrupted") and newest is not None:
        return Refused(f"run {newest.last.name} is not through ({name}): wait for it", now.state.next)
    if _ran_alone(now):
        return Refused(
            "the last run was `uv run train.py`, outside the bench, and cannot be logged: run it on the bench",
            now.state.next,
        )
    if newest is not None and newest.settled and newest.decision is not None:
        told = f"experiment {newest.runs[0].name} is logged already ({newest.decision.status})"
        return Refused(f"{told}; there is nothing else to log", now.state.next)
    return Refused("there is nothing to log: no experiment has run", now.state.next)


def _ran_alone(now: Situation) -> bool:
    """Whether a standalone run is newer than anything the bench ran."""
    summary = now.root / "runs" / "standalone" / "summary.json"
    if read_json(summary) is None:
        return False
    last = now.newest.last.path / "record.json" if now.newest else None
    return last is None or not last.exists() or summary.stat().st_mtime > last.stat().st_mtime
