#!/usr/bin/env python3
"""Run an experiment: commit the edit of train.py, train and evaluate it on the bench, detached; wait a while."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import Refused, attend, campaign, novelty, record, state, steering, submit
from harness.command import DONE, FAILED, ROOT, RUNNING, Parser, main, show_json
from harness.record import Run
from harness.situation import Situation, look

NAME = "run_experiment"
STOP_PATIENCE = 60.0  # seconds
EXAMPLES = """\
  scripts/run_experiment.sh --baseline            the committed train.py, first of all
  scripts/run_experiment.sh -m "exp: lr 0.02"     the edit in train.py, against the incumbent
  scripts/run_experiment.sh --again -m "exp: …"   the same, though it was tried before
  scripts/run_experiment.sh --confirm             once more on another seed, when the verdict asks for it
  scripts/run_experiment.sh --retry 0012          a near miss once more, on today's incumbent
  scripts/run_experiment.sh --fix -m "fix: shape" the next attempt of an experiment that crashed
  scripts/run_experiment.sh --wait 600            come back to the run in progress, or start it again
  scripts/run_experiment.sh --stop                end the run in progress now

An edit that is near one tried on the same incumbent, and not kept, is refused with what came of it: the same
change in other words, or to a value within 10 %. --again runs it all the same. Tried on another incumbent it runs,
with a note. --retry, --confirm and --fix are never refused for that."""


def arguments() -> argparse.Namespace:
    parser = Parser("scripts/run_experiment.sh", __doc__ or "", EXAMPLES)
    parser.add_argument("-m", "--message", help="what is tried; the commit's message")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--baseline", action="store_true", help="run train.py as it is committed")
    form.add_argument("--confirm", action="store_true", help="run again what the verdict asked for")
    form.add_argument("--fix", action="store_true", help="next attempt of the experiment that crashed (with -m)")
    form.add_argument("--retry", type=int, metavar="N", help="try experiment N once more, as status offers it")
    form.add_argument("--stop", action="store_true", help="end the run in progress; it is logged as a discard")
    parser.add_argument("--again", action="store_true", help="run an edit (-m) that was tried before")
    parser.add_wait("for the run in progress")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    wants_message = not (given.baseline or given.confirm or given.stop or given.retry is not None)
    if given.message is not None and not wants_message:
        parser.error("-m goes with an edit of train.py or with --fix alone")
    if given.again and (given.message is None or given.fix):
        parser.error("--again goes with -m, and not with --fix")
    if given.message is not None and not given.message.strip():
        parser.error("-m is empty: say what is tried")
    if given.message is None and wants_message and (given.fix or given.wait is None):
        parser.error('say what is tried: -m "exp: …"')
    return given


def start(given: argparse.Namespace, now: Situation) -> Path:
    """The folder of the run that was asked for: a new one, or the one there is."""
    if given.baseline:
        return submit.baseline(now)
    if given.confirm:
        return submit.confirm(now)
    if given.fix:
        return submit.fix(now, given.message)
    if given.retry is not None:
        return submit.retry(now, given.retry)
    if given.stop:
        return submit.stop(now)
    if given.message is not None:
        return submit.candidate(now, given.message)
    return attach(now)


def attach(now: Situation) -> Path:
    if now.newest is None or now.state.name not in ("running", "interrupted", "finished"):
        raise Refused("nothing is running, so there is nothing to wait for", now.state.next)
    run = now.newest.last
    return submit.resume(now, run) if now.state.name == "interrupted" else run.path


def describe(run: Run, budget: str, now: Situation) -> str:
    request, number = run.request, f"{run.request.experiment:04d}"
    ours = {one.request.commit for one in now.runs if one.request.experiment == request.experiment}
    side = "once more" if request.commit in ours else "its incumbent once more"
    what = {
        "fix": f"fix (attempt {request.attempt} of experiment {number})",
        "confirm": f"confirm (experiment {number}, {side})",
    }
    kind = what.get(request.kind, request.kind)
    return f"run {run.name}: {kind} {request.commit[:7]}, seed {request.seed}, budget {budget}"


def body() -> int:
    given = arguments()
    seconds = attend.patience(given.wait)
    with campaign.lock(ROOT):
        now = look(ROOT)
        begins = given.message is not None and not given.fix
        diff = steering.changes(now) if begins else []  # what the model may have passed by
        tried = novelty.check(now, given.again) if begins else []
        path = start(given, now)

    def say(line: str) -> None:
        if not given.json:
            print(line, flush=True)

    for note in [*now.notes, *tried]:
        say(f"note: {note}")
    if diff:
        say(f"note: {steering.CHANGED}")
    run, pinned = record.read(path), campaign.load(ROOT, now.branch.tag)
    if run is not None and pinned is not None and run.record is None:
        say(describe(run, pinned.budget, now))
    # A stop is quick, and whoever asks for it wants to see it done.
    run = attend.wait(path, max(seconds, STOP_PATIENCE) if given.stop else seconds, say)
    with campaign.lock(ROOT):
        now = look(ROOT)
    if run is None:
        raise Refused(f"the folder {path} is gone", now.state.next)
    if now.branch.tag != path.parent.name:
        raise Refused(f"another branch was checked out meanwhile: git switch autoresearch/{path.parent.name}")
    if given.json:
        show_json({**as_json(run, now), **({"program_diff": diff, "tried_before": tried} if begins else {})})
    else:
        show(run, now)
    if run.record is None:
        return RUNNING
    return DONE if run.record.outcome == "finished" or run.record.raced or given.stop else FAILED


def show(run: Run, now: Situation) -> None:
    """Print what the run came to, or where it is."""
    if run.record is None:
        told = (
            f"running: {attend.progress(run.path)}"
            if run.alive
            else f"interrupted: {attend.interruption(run.path)}"
        )
        print(f"{told}\nnext: {state.WAIT}")
        return
    retest = now.newest is not None and now.newest.retest
    for line in attend.result(run, now.before if retest else now.incumbent):
        print(line)
    if why := attend.not_boxed(run.record):
        print(f"note: not boxed: {why}")
    if retest:
        print("This was the re-test of a provisional keep: by its log the keep stands or is undone.")
    if now.verdict is not None and now.verdict.status == "confirm":
        for reason in now.verdict.reasons:
            print(reason)
    print(f"next: {now.state.next}")


def as_json(run: Run, now: Situation) -> dict[str, Any]:
    found: dict[str, Any] = {"run": run.name, "commit": run.request.commit, "kind": run.request.kind}
    found |= {"experiment": f"{run.request.experiment:04d}", "seed": run.request.seed}
    if run.record is not None:
        found |= asdict(run.record)
    return found | {"state": now.state.name, "next": now.state.next if run.record else state.WAIT}


if __name__ == "__main__":
    main(NAME, body, sys.argv)
