"""A new run: is it the right moment, may it run, then commit, snapshot and start it.

Seeds. Each is drawn from the tag and the number of a run, so that anyone can draw it again and nobody can choose
it. A candidate runs on a seed that the incumbent ran on, where that tells more than a fresh one: what a seed
does to both, the comparison does not see (knowledge.next_run). No commit runs twice on one seed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import (
    Refused,
    box,
    curve,
    disk,
    guard,
    preparation,
    racing,
    record,
    runner,
    snapshot,
    source,
    steering,
    stint,
)
from . import branch as git_branch
from . import campaign as campaigns
from . import state as states
from .branch import STEERING
from .campaign import Campaign
from .experiment import Experiment
from .knowledge import Next, next_run, retest_seed
from .limits import EXPERIMENTS
from .record import Request, Run
from .situation import Situation
from .text import drawn, write_whole
from .verdict import RUNS_MOST

BASELINE_RUNS = 3
LONG, SHORT = 30, 12  # experiments that research is limited to: from the first on three runs, below the second one
NEARLY = 2.0  # sigmas above the incumbent's mean from which on a score could be kept, and is audited in full


@dataclass(frozen=True)
class Plan:
    """A run to be made: which commit, against which, as part of which experiment (None: one of its own)."""

    kind: str
    commit: str
    parent: str
    message: str
    experiment: int | None = None
    attempt: int = 1
    retries: int | None = None
    memory_limit_gb: float | None = None


def seed_of(tag: str, number: int) -> int:
    """The seed of run `number`: the first 31 bits of sha256("tag/NNNN")."""
    return drawn(f"{tag}/{number:04d}")


def baseline(now: Situation) -> Path:
    """Start the campaign, or its baseline once more after one that failed: train.py as it is committed."""
    if now.incumbent is not None:
        first = now.experiments[0].last.name
        raise Refused(
            f"campaign {now.branch.tag} has its baseline (run {first}): go on from there", now.state.next
        )
    _check_state(now, "new", "clean", "edited")
    if now.edited:
        raise Refused(
            "train.py has uncommitted changes, and the baseline is train.py as it is committed: commit them, or "
            "set them aside with tools/revert.py",
            now.state.next,
        )
    # Drawn up anew also after a baseline that failed: nothing was measured that this one must agree with.
    campaign = campaigns.draw_up(now.branch, _baseline_runs(now))
    _check_edit(now, campaign)
    _check_room(now)
    return _start(now, campaign, Plan("baseline", now.branch.tip, now.branch.tip, "baseline"))


def candidate(now: Situation, message: str, memory_limit_gb: float | None = None) -> Path:
    """Commit the edit of train.py and run it. Above the limit of memory it is no keep."""
    _check_stop(now)
    if now.campaign is None or (now.incumbent is None and not now.experiments):
        raise _no_baseline(now)
    _check_state(now, "edited")
    if now.incumbent is None:
        raise _no_baseline(now)
    _check_edit(now, now.campaign)
    _check_room(now)
    commit = snapshot.commit_candidate(now.branch, now.text or b"", message)
    plan = Plan("candidate", commit, now.branch.tip, message, memory_limit_gb=memory_limit_gb)
    return _start(now, now.campaign, plan, _first_seed(now))


def retry(now: Situation, number: int) -> Path:
    """Run an earlier idea once more: what its commit changed, applied to the incumbent."""
    _check_stop(now)
    _check_state(now, "clean")
    earlier = next((one for one in now.experiments if one.number == number), None)
    if now.campaign is None or now.incumbent is None or earlier is None or earlier.is_baseline:
        raise Refused(f"there is no experiment {number:04d} to try again: see tools/status.py", now.state.next)
    if earlier.decision is None or earlier.decision.status == "keep":
        raise Refused(f"experiment {number:04d} was kept, and is in the incumbent already", now.state.next)
    _check_room(now)
    text = git_branch.merged(now.branch.git, earlier.candidate.request.parent, earlier.commit, now.branch.tip)
    if text is None:
        raise Refused(
            f"what experiment {number:04d} changed does not fit the incumbent any more: make the edit by hand "
            f"(git show {earlier.commit[:7]})",
            now.state.next,
        )
    if text == git_branch.train_text(now.branch.git, now.branch.tip):
        raise Refused(f"the incumbent has all that experiment {number:04d} changed", now.state.next)
    check_bench(now.branch.git, now.campaign)
    source.check(text, git_branch.train_text(now.branch.git, now.branch.tip))
    write_whole(now.branch.train, text)
    message = f"again: {earlier.candidate.request.message}"
    commit = snapshot.commit_candidate(now.branch, text, message)
    plan = Plan("candidate", commit, now.branch.tip, message, retries=number)
    # On a seed that it ran on already the same change would repeat its digits, which are no evidence.
    seed, used = _first_seed(now), {run.request.seed for run in earlier.own}
    return _start(now, now.campaign, plan, None if seed in used else seed)


def fix(now: Situation, message: str) -> Path:
    """Commit the edit of train.py and run it as the next attempt of the experiment that crashed."""
    campaign, experiment = _undecided(now, "crash", "the experiment did not crash, so there is nothing to fix")
    if experiment.retest:
        raise Refused("what crashed is the re-test of a provisional keep, which is not mended: log it", states.LOG)
    _check_edit(now, campaign)
    crashed = now.branch.git.blobs(f"{experiment.commit}:{git_branch.TRAIN}")[0]
    if now.blob == crashed:
        raise Refused("train.py is still what crashed: fix it first, or log the crash", now.state.next)
    if not now.edited:
        raise Refused("train.py is the incumbent's again, which is no fix: log the crash", states.LOG)
    _check_room(now)
    commit = snapshot.commit_candidate(now.branch, now.text or b"", message)
    before = experiment.candidate.request
    limit = before.memory_limit_gb
    plan = Plan("fix", commit, now.branch.tip, message, experiment.number, before.attempt + 1, None, limit)
    return _start(now, campaign, plan, _first_seed(now))


def confirm(now: Situation) -> Path:
    """Run again, on another seed, the side that the verdict asked for, or a keep that is provisional."""
    _check_stop(now)
    if now.state.name == "provisional" and now.campaign and now.newest and now.learned and now.learned.known:
        campaign, experiment = now.campaign, now.newest
        following = Next("candidate", retest_seed(now.learned.known))
    else:
        campaign, experiment, following = _asked_for(now)
    check_bench(now.branch.git, campaign)
    _check_room(now)
    chosen = now.incumbent.experiment if following.side == "incumbent" and now.incumbent else experiment
    again = chosen.candidate.request
    plan = Plan("confirm", again.commit, again.parent, again.message, experiment.number, again.attempt)
    used = {run.request.seed for run in now.runs if run.request.commit == again.commit}  # disturbed ones as well
    return _start(now, campaign, plan, following.seed if following.seed not in used else None)


def _asked_for(now: Situation) -> tuple[Campaign, Experiment, Next]:
    """The experiment whose verdict asks for another run, and which. Raises Refused."""
    campaign, experiment = _undecided(now, "confirm", "the verdict asks for no confirmation")
    assert now.verdict is not None
    return campaign, experiment, now.verdict.confirm or Next("candidate", None)


def resume(now: Situation, run: Run) -> Path:
    """Give an interrupted run a new runner, which goes on from the last finished stage."""
    _check_room(now)
    if now.campaign is not None:
        check_bench(now.branch.git, now.campaign)
        _check_machine(now, now.campaign)
    return _launch(now.root, run.path)


def stop(now: Situation) -> Path:
    """Ask for the end of the run in progress; its record will say `stopped`."""
    if now.state.name not in ("running", "interrupted") or now.newest is None:
        raise Refused("nothing is running, so there is nothing to stop", now.state.next)
    run = now.newest.last
    (run.path / runner.STOP).touch()
    return run.path if run.alive else _launch(now.root, run.path)


# ---------------------------------------------------------------------------------------------------
# Checks


def _check_state(now: Situation, *allowed: str) -> None:
    """Refuse a state that is not among `allowed`, with the one command that is right in it."""
    if now.state.name in allowed:
        return
    _check_stop(now)
    if now.state.name == "new":
        raise _no_baseline(now)
    run = f"run {now.newest.last.name}" if now.newest else "the run"
    told = {
        "clean": "train.py is the incumbent's, so there is nothing to try: edit it first",
        "edited": "no run has ended: run this edit of train.py first",
        "running": f"{run} is in progress: wait for it",
        "interrupted": f"{run} was interrupted: wait for it, which starts it again",
        "finished": f"{run} has ended and its experiment is not logged yet",
        "provisional": f"{run} is kept provisionally, and is run once more before anything builds on it",
        "logged": f"{run} is logged, and its edit still stands in train.py: revert it first",
    }
    raise Refused(told[now.state.name], now.state.next)


def _check_stop(now: Situation) -> None:
    """Refuse a new experiment where research is to end; one that is in hand is finished first."""
    if now.stop and now.state.name in ("new", "clean", "edited", "provisional"):
        raise Refused(f"no further experiment begins: {now.stop}", now.state.next)


def _check_room(now: Situation) -> None:
    """Refuse before anything is written for a run that the disk has no room for."""
    if short := disk.shortage(now.root):
        raise Refused(short, f"{states.END}: there is no room on the disk")


def _no_baseline(now: Situation) -> Refused:
    return Refused(
        f"campaign {now.branch.tag} has no baseline yet, which runs train.py as it is committed: it comes first",
        now.state.next,
    )


def _undecided(now: Situation, status: str, otherwise: str) -> tuple[Campaign, Experiment]:
    """The experiment that ended with the verdict `status`. Raises Refused."""
    _check_state(now, "finished")
    if now.campaign is None or now.newest is None or now.verdict is None or now.verdict.status != status:
        raise Refused(otherwise, now.state.next)
    return now.campaign, now.newest


def _check_edit(now: Situation, campaign: Campaign) -> None:
    guard.check_files(git_branch.changed_files(now.branch.git))
    check_bench(now.branch.git, campaign)
    guard.check_source(now.text)
    # The baseline is train.py as it is committed: then the two texts are the same.
    source.check(now.text or b"", git_branch.train_text(now.branch.git, now.branch.tip))


def _check_machine(now: Situation, campaign: Campaign) -> None:
    """Refuse where the run could not start: another one is going, or what it needs is gone."""
    other = campaigns.running_elsewhere(now.root, now.branch.tag)
    if other is not None:
        tag = other.path.parent.name
        raise Refused(
            f"campaign {tag} has run {other.name} in progress in this checkout, and one runs at a time: "
            f"git switch {git_branch.PREFIX}{tag} and {states.WAIT}"
        )
    data = preparation.read(Path(campaign.preparation))
    if data.key != campaign.preparation_key:
        raise Refused(
            f"the data in {data.folder} are not those that campaign {campaign.tag} was started with: prepare them "
            f"again as they were, or begin another campaign ({git_branch.NEW_BRANCH})"
        )
    if data.device != campaign.device:
        raise Refused(
            f"campaign {campaign.tag} trains on {campaign.device}, and the data are prepared for {data.device}: a "
            f"campaign has one device, so begin another one ({git_branch.NEW_BRANCH})"
        )
    if shutil.which(campaign.python) is None:
        raise Refused(f"the campaign's Python {campaign.python} cannot be started: run scripts/setup.sh")
    if campaign.is_boxed:
        program, why_not = box.find(now.root, campaign.sandbox_program)
        if program is None:
            raise Refused(
                f"campaign {campaign.tag} boxes its runs, and cannot any more: {why_not}: mend that, or begin "
                f"another campaign ({git_branch.NEW_BRANCH})"
            )


def check_bench(git: git_branch.Git, campaign: Campaign) -> None:
    """Refuse where the bench is not the campaign's, or something lies among it."""
    guard.check_bench(git_branch.bench_changes(git, campaign.bench), campaign.bench, campaign.tag)
    guard.check_strangers(git_branch.bench_strangers(git.root))


# ---------------------------------------------------------------------------------------------------
# Starting


def _start(now: Situation, campaign: Campaign, plan: Plan, seed: int | None = None) -> Path:
    """Make the run and its runner; returns the run's folder. `seed`: one that ran already; None: its own."""
    _check_machine(now, campaign)
    git, tag = now.branch.git, campaign.tag
    taken = [*(run.request.number for run in now.runs), *snapshot.numbers_taken(git, tag)]
    number = max(taken, default=-1) + 1
    if plan.kind != "confirm" and not snapshot.keep_reachable(git, tag, number, plan.commit):
        raise Refused(f"run number {number:04d} was taken by somebody else just now: try again", now.state.next)
    files = snapshot.files(git, plan.commit, campaign.bench)
    added, removed = git_branch.changed_lines(git, plan.parent, plan.commit)
    program = steering.read(now.root)
    request = Request(
        number=number,
        experiment=number if plan.experiment is None else plan.experiment,
        attempt=plan.attempt,
        kind=plan.kind,
        commit=plan.commit,
        parent=plan.parent,
        seed=seed_of(tag, number) if seed is None else seed,
        retries=plan.retries,
        memory_limit_gb=plan.memory_limit_gb,
        drawn=None if seed is None else _drawn(now, seed),
        message=plan.message,
        created=time.time(),
        lines_added=added,
        lines_removed=removed,
        program_sha256=steering.digest(program),
        sha256=snapshot.digests(files),
        pin_sha256=campaigns.digest(campaign),
        beat=now.incumbent.mean + NEARLY * now.noise.sigma if now.incumbent and now.noise else None,
    )
    campaigns.sweep(now.root, tag)
    campaigns.prune(now.kept, now.runs)
    if program is not None:
        files[STEERING] = program
    if plan.kind == "baseline":
        campaigns.pin(now.root, campaign)
    elif plan.kind != "confirm" and (race := _race(now, campaign, plan, request)):
        files[runner.RACE] = json.dumps(asdict(race)).encode()
    path, lock = campaigns.add_run(now.root, tag, request, files)
    runner.launch(now.root, path, lock)
    return path


def _baseline_runs(now: Situation) -> int:
    """On how many seeds the baseline runs: fewer where research is short. What is not known well then counts
    so."""
    asked = os.environ.get("AUTORESEARCH_BASELINE_RUNS")
    if asked:
        if not asked.isdigit() or not 1 <= int(asked) <= RUNS_MOST:
            raise Refused(f"AUTORESEARCH_BASELINE_RUNS={asked!r} is no number from 1 to {RUNS_MOST}: mend it")
        return int(asked)
    most = stint.limits(now)[0].first(EXPERIMENTS)
    if most is None or most.value >= LONG:
        return BASELINE_RUNS
    return 1 if most.value < SHORT else 2


def _first_seed(now: Situation) -> int | None:
    """The seed on which a candidate's first run tells most; None: a fresh one."""
    known = now.learned.known if now.learned else None
    return next_run(known, (), first=True).seed if known else None


def _drawn(now: Situation, seed: int) -> int:
    """The number of the run that `seed` was drawn for."""
    return next(run.request.number for run in now.runs if run.request.seed == seed and run.request.drawn is None)


def _race(now: Situation, campaign: Campaign, plan: Plan, request: Request) -> racing.Race | None:
    """What the run's curve is held against; None where there is nothing."""
    learned, best = now.learned, now.incumbent
    if learned is None or learned.known is None or best is None:
        return None
    known = learned.known
    rival = next((run for run in best.runs if run.request.seed == request.seed), best.runs[-1])
    return racing.set_up(
        known,
        request.seed,
        racing.spreads(known.sigma, known.effects.unit, learned.forecasts, learned.false_kills),
        curve.read(rival.path / "curve.jsonl"),
        preparation.read(Path(campaign.preparation)).bytes_per_token,
        git_branch.changed_text(now.branch.git, plan.parent, plan.commit),
        request.lines_added < request.lines_removed,
        racing.is_control(campaign.tag, request.number),
        rival.path.name,
    )


def _launch(root: Path, path: Path) -> Path:
    """Start another runner on a run whose runner died."""
    deadline = time.monotonic() + 5.0
    while (lock := record.take_lock(path / "run.lock")) is None:
        if time.monotonic() > deadline:
            return path  # somebody else did
        time.sleep(0.02)
    runner.launch(root, path, lock)
    return path
