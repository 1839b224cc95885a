"""A sweep at work: at every moment the one step that is right, by the functions of the one-experiment commands.

Each step is taken under the lock, from the situation as it is found then, and lasts a moment; only the waiting for
a run is long, and holds no lock. So a kill between any two of them, or a second `--wait` beside the first, changes
nothing of what comes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import Refused, attend, campaign, conclude, constants, source, state, steering, submit, sweep, sweep_search
from . import branch as git_branch
from .experiment import Experiment
from .situation import Situation, look
from .sweep import Plan, Point
from .sweep_search import Trial
from .text import said, write_whole

Say = Callable[[str], None]
POINTS_MOST = 64  # values, or combinations of them: five hours on a GPU


def begin(now: Situation, plan: Plan) -> None:
    """Write a new sweep down. Raises Refused where it cannot begin."""
    if now.sweep is not None or sweep.in_progress(now.root, now.branch.tag) is not None:
        raise Refused("a sweep is in progress: go on with it, or end it with tools/sweep.py --stop", state.SWEEP)
    if now.campaign is None or now.incumbent is None or now.state.name != "clean" or now.stop:
        told = now.stop or f"a sweep begins where nothing is in hand, and the state is {now.state.name}"
        raise Refused(told, now.state.next)
    point = plan.points[0] if plan.points else tuple((axis.ends or axis.values)[0] for axis in plan.axes)
    # What is no experiment at all (a seed) is refused before the first run, not at it.
    source.check(_text(now, plan, point), git_branch.train_text(now.branch.git, now.branch.tip))
    sweep.save(now.root, now.branch.tag, plan)


def reopen(now: Situation, plan: Plan) -> None:
    """Go on with a sweep that was stopped. Raises Refused."""
    if plan.why == sweep.DONE:
        raise Refused(f"sweep {plan.name} is done: begin another one", now.state.next)
    sweep.save(now.root, now.branch.tag, replace(plan, ended=None, why=""))


def end(now: Situation, plan: Plan, why: str) -> None:
    """Write down that a sweep has ended."""
    sweep.save(now.root, now.branch.tag, replace(plan, ended=time.time(), why=why))


def advance(root: Path, seconds: float, say: Say) -> Situation:
    """Take step after step until the sweep is through, research is to end, or `seconds` are over and a run is in
    progress. Returns where it came to rest. Raises Refused where a step cannot be taken."""
    deadline = time.monotonic() + seconds
    resumed: Path | None = None
    while True:
        with campaign.lock(root):
            now = look(root)
            for note in now.notes:
                say(f"note: {note}")
            plan = now.sweep
            if plan is None or _rests(now):
                return now
            newest = now.newest.last.path if now.newest else None
            if now.state.name == "interrupted" and newest == resumed:
                return now  # its runner does not stay: whoever looks may see why
            run = _step(now, plan, say)
        if run is not None:
            resumed = run if now.state.name == "interrupted" else resumed
            ended = attend.wait(run, max(deadline - time.monotonic(), 0.0), say)
            if ended is not None and ended.alive:
                with campaign.lock(root):
                    return look(root)


def _rests(now: Situation) -> bool:
    """Whether no further value is to begin, and none is in hand."""
    return bool(now.stop) and now.state.name in ("clean", "provisional")


def _step(now: Situation, plan: Plan, say: Say) -> Path | None:
    """Take one step; returns the run that is to be waited for, if it made or found one."""
    name, newest = now.state.name, now.newest
    assert newest is not None  # a sweep begins after the baseline
    if name == "running":
        return newest.last.path
    if name == "interrupted":
        say(f"run {newest.last.name} was interrupted: it goes on")
        return submit.resume(now, newest.last)
    if name == "provisional" or (now.verdict is not None and now.verdict.status == "confirm"):
        path = submit.confirm(now)
        say(f"run {path.name[:4]}: once more, on another seed")
        return path
    if name == "finished":
        _log(now, plan, say)
    elif name == "logged" or (name == "edited" and _is_leftover(now, plan)):
        conclude.undo(now)
    elif name == "edited":
        told = "train.py has an edit that is none of the sweep's: run it, or drop it with tools/revert.py"
        raise Refused(told, now.state.next if now.stop else state.EXPERIMENT)
    elif (point := _next(now, plan)) is None:
        end(now, plan, sweep.DONE)
    else:
        return _try(now, plan, point, say)
    return None


def _try(now: Situation, plan: Plan, point: Point, say: Say) -> Path:
    """Set the values and run them."""
    before = now.text or b""
    if steering.changes(now):
        say(f"note: {steering.CHANGED}")
    write_whole(now.branch.train, _text(now, plan, point))
    try:
        path = submit.candidate(look(now.root), sweep.message(plan, point), plan.memory_limit_gb)
    except Refused:
        write_whole(now.branch.train, before)
        raise
    place = len(sweep.tried(plan, now.experiments)) + 1
    say(f"run {path.name[:4]}: {sweep.told(plan, point)} ({place} of {plan.size})")
    return path


def _log(now: Situation, plan: Plan, say: Say) -> None:
    tried = sweep.tried(plan, now.experiments)
    point, experiment = tried[-1]
    what = "trial" if plan.is_search else "value"
    place = f"sweep {plan.name}, {what} {len(tried)} of {plan.size}"
    concluded = conclude.log(now, f"{sweep.told(plan, point)} ({place})", "")
    decision, verdict = concluded.decision, concluded.verdict
    score = "" if decision is None or decision.val_bpb is None else f", val_bpb {decision.val_bpb:.6f}"
    say(f"{experiment.runs[0].name} {sweep.told(plan, point)}: {verdict.status}{score}")
    cause = [said(experiment.reason)] if verdict.status == "crash" and experiment.reason else []
    for reason in [*verdict.reasons, *cause]:
        say(f"  {reason}")


def _next(now: Situation, plan: Plan) -> Point | None:
    """The values to try next; None where there are none left. Those that the incumbent has are passed by."""
    tip = now.text or b""
    if plan.is_search:
        done = [trial(point, one) for point, one in sweep.tried(plan, now.experiments)]
        if len(done) >= plan.size:
            return None
        return sweep_search.suggest(plan, now.branch.tag, done, score_at_start(now, plan))
    due = sweep.untried(plan, now.experiments)
    return next((point for point in due if _text(now, plan, point) != tip), None)


def trial(point: Point, experiment: Experiment) -> Trial:
    """What the search learns from an experiment."""
    decision, last = experiment.decision, experiment.own[-1]
    if decision is None or last.record is None or decision.status == "crash":
        return Trial(point, None)
    if last.record.outcome == "stopped":
        told = [one for one in last.record.foretold if one is not None]
        return Trial(point, None, last.record.share, told[-1] if told else None)
    limit = experiment.candidate.request.memory_limit_gb
    is_over = limit is not None and decision.memory_gb > limit
    return Trial(point, None if is_over else decision.val_bpb)


def score_at_start(now: Situation, plan: Plan) -> float | None:
    """Mean val_bpb of the incumbent that the sweep began at."""
    found = [
        run.record.val_bpb
        for run in now.runs
        if run.scored and run.request.commit == plan.incumbent and run.record and run.record.val_bpb is not None
    ]
    return sum(found) / len(found) if found else None


def _is_leftover(now: Situation, plan: Plan) -> bool:
    """Whether the edit in train.py is one of the sweep's that a kill left: nothing but its constants differs."""
    tip = git_branch.train_text(now.branch.git, now.branch.tip)
    try:
        values = {axis.name: constants.read(tip, axis.name) for axis in plan.axes}
        return constants.replace(now.text or b"", values) == tip
    except Refused:
        return False


def _text(now: Situation, plan: Plan, point: Point) -> bytes:
    """train.py as it is, with these values."""
    values = {axis.name: value for axis, value in zip(plan.axes, point, strict=True)}
    return constants.replace(now.text or b"", values)
