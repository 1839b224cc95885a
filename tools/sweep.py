#!/usr/bin/env python3
"""Try values of a constant of train.py, one experiment each: run, decided and logged like any other. The best is
kept where it is better beyond the noise."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from typing import Any

from harness import (
    Refused,
    attend,
    campaign,
    constants,
    environment,
    state,
    sweep,
    sweep_plot,
    sweep_result,
    sweep_step,
)
from harness.command import DONE, FAILED, ROOT, RUNNING, Parser, main, show_json
from harness.situation import Situation, look
from harness.sweep import Axis, Plan

NAME = "sweep"
TRIALS, TRIALS_MOST = 10, 200
EXAMPLES = """\
  tools/sweep.py MATRIX_LR 0.01 0.03 0.06                 a constant of the profile, or by its full name
  tools/sweep.py TOTAL_BATCH 2**17 2**19 --memory-limit 60
  tools/sweep.py MATRIX_LR 0.02 0.04 --param WARMDOWN 0.5 0.7      every combination
  tools/sweep.py --search MATRIX_LR 0.01..0.08 --param TOTAL_BATCH 2**16..2**19 --trials 12
  tools/sweep.py --wait                                   come back to it: exit code 75, or after a restart
  tools/sweep.py --stop                                   end it; the run in hand becomes an experiment like any
  tools/sweep.py --resume                                 go on with one that was stopped
  tools/sweep.py --show --plot                            the table of the newest one, and its picture

The values are tried one after the other, each against the incumbent of its turn: a value that is kept is what the
next ones have to beat. The present value is the incumbent's and is not run again. A value that crashes is logged
and the sweep goes on, as it does after one that needs more memory than the limit, which is discarded. A search
asks Optuna for the values; runs with a hopeless curve are stopped early, as always."""


def arguments() -> argparse.Namespace:
    parser = Parser("tools/sweep.py", __doc__ or "", EXAMPLES)
    parser.add_argument("constant", nargs="*", metavar="NAME VALUE", help="a constant of train.py and its values")
    parser.add_argument(
        "--param", nargs="+", action="append", default=[], metavar="NAME VALUE", help="another one beside it"
    )
    parser.add_argument("--search", action="store_true", help="let Optuna choose: values, or a range LOW..HIGH")
    parser.add_argument("--trials", type=int, metavar="N", help=f"of a search; {TRIALS} unless told")
    parser.add_argument("--memory-limit", type=float, metavar="GB", help="peak memory above which nothing is kept")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--stop", action="store_true", help="end the sweep in progress")
    form.add_argument("--resume", action="store_true", help="go on with the newest one, which was stopped")
    form.add_argument("--show", action="store_true", help="the table of the newest one")
    parser.add_wait("go on with the sweep in progress")
    parser.add_argument("--plot", action="store_true", help="draw runs/<tag>/sweeps/NNNN.png as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    named = [one for one in (given.constant, *given.param) if one]
    other = given.stop or given.resume or given.show
    if named and other:
        parser.error("--stop, --resume and --show are about a sweep that there is: they take no constant")
    if given.param and not given.constant:
        parser.error("name the first constant without --param")
    if not named and not other and given.wait is None:
        parser.error("say what to try: a constant and its values")
    if not named and (given.search or given.trials is not None or given.memory_limit is not None):
        parser.error("--search, --trials and --memory-limit are about a new sweep: name a constant")
    if given.trials is not None and (not given.search or not 1 <= given.trials <= TRIALS_MOST):
        parser.error(f"--trials is a number from 1 to {TRIALS_MOST}, and goes with --search")
    if given.memory_limit is not None and not 0 < given.memory_limit < 1e6:
        parser.error("--memory-limit is a number of GB above 0")
    given.named = named
    return given


def draw_up(now: Situation, given: argparse.Namespace) -> Plan:
    """The sweep that was asked for. Raises Refused."""
    if now.campaign is None or now.incumbent is None:
        raise Refused("a sweep is held against the incumbent, and there is no baseline yet", now.state.next)
    axes: list[Axis] = []
    for name, *texts in given.named:
        constant = constants.resolve(now.text or b"", name, now.campaign.profile)
        if any(axis.name == constant.name for axis in axes):
            raise Refused(f"{constant.name} is named twice: give all of its values at once")
        axes.append(sweep.axis(constant, texts, given.search))
    plan = Plan(
        number=max((run.request.number for run in now.runs), default=-1) + 1,
        created=time.time(),
        incumbent=now.incumbent.commit,
        axes=tuple(axes),
        memory_limit_gb=given.memory_limit,
        trials=(given.trials or TRIALS) if given.search else None,
    )
    if plan.size == 0:
        raise Refused(f"{sweep.told(plan, plan.before)} is what the incumbent has: name other values")
    if plan.size > sweep_step.POINTS_MOST and not plan.is_search:
        raise Refused(f"{plan.size} experiments are too many: give fewer values, or --search among them")
    return plan


def begin(given: argparse.Namespace) -> list[str]:
    """Do what the flags ask for before anything runs; returns what there is to say."""
    with campaign.lock(ROOT):
        now = look(ROOT)
        plan = sweep.newest(ROOT, now.branch.tag)
        if given.named:
            plan = draw_up(now, given)
            if plan.is_search:
                environment.need(ROOT, "optuna")
            sweep_step.begin(now, plan)
            present = [axis for axis in plan.axes if axis.before in axis.values and not plan.is_search]
            passed = [f"{axis.name} = {axis.before} is the incumbent's, and is not run again" for axis in present]
            budget = f" of {now.campaign.budget} each" if now.campaign else ""
            many = "trials" if plan.is_search else f"experiment{'s' * (plan.size != 1)}"
            return [f"sweep {plan.name}: {plan.constants}, {plan.size} {many}{budget}", *passed]
        if plan is None or (plan.ended is not None and not (given.resume or given.show)):
            last = "" if plan is None else "; tools/sweep.py --show has the last one"
            raise Refused(f"no sweep is in progress{last}", now.state.next)
        if given.stop:
            sweep_step.end(now, plan, sweep.STOPPED)
        elif given.resume:
            sweep_step.reopen(now, plan)
        elif plan.is_search and not given.show:
            environment.need(ROOT, "optuna")
        return []


def body() -> int:
    given = arguments()
    seconds = attend.patience(given.wait)
    if given.plot:
        environment.need(ROOT, "matplotlib")

    def say(line: str) -> None:
        if not given.json:
            print(line, flush=True)

    for line in begin(given):
        say(line)
    if given.stop or given.show:
        with campaign.lock(ROOT):
            now = look(ROOT)
    else:
        now = sweep_step.advance(ROOT, seconds, say)
    plan = sweep.newest(ROOT, now.branch.tag)
    if plan is None:
        raise Refused("the sweep's plan is gone from runs/", now.state.next)
    found = sweep_result.result(now, plan)
    picture = sweep_plot.place(ROOT, now.branch.tag, plan) if given.plot and found.rows else None
    if picture is not None:
        sweep_plot.draw(found, picture)
    going = plan.ended is None and not given.show and now.state.name in ("running", "interrupted")
    if given.json:
        show_json(as_json(found, now, str(picture.relative_to(ROOT)) if picture else None))
    else:
        show(found, now, going)
        if picture is not None:
            print(f"picture: {picture.relative_to(ROOT)}")
        print(f"next: {now.state.next}")
    if going:
        return RUNNING
    return FAILED if plan.ended is not None and found.failed else DONE


def show(found: sweep_result.Result, now: Situation, going: bool) -> None:
    """Print where the sweep is, or what came of it."""
    if going and now.newest is not None:
        path, tried = now.newest.last.path, len(found.rows)
        told = attend.progress(path) if now.newest.last.alive else f"interrupted: {attend.interruption(path)}"
        print(f"running: {tried} of {found.plan.size}, run {now.newest.last.name}: {told}")
        return
    for line in sweep_result.lines(found):
        print(line)
    if found.plan.ended is None and now.state.next != state.SWEEP:
        print("the sweep is still open: tools/sweep.py --wait goes on with it, --stop ends it")


def as_json(found: sweep_result.Result, now: Situation, picture: str | None) -> dict[str, Any]:
    plan = found.plan
    names = [axis.name for axis in plan.axes]

    def row(one: sweep_result.Row | None) -> dict[str, Any] | None:
        if one is None:
            return None
        return {**asdict(one), "values": dict(zip(names, one.values, strict=True))}

    return {
        "sweep": plan.name,
        "status": plan.why or "in progress",
        "constants": [asdict(axis) for axis in plan.axes],
        "memory_limit_gb": plan.memory_limit_gb,
        "trials": plan.trials,
        "size": plan.size,
        "before": row(found.before),
        "rows": [row(one) for one in found.rows],
        "winner": row(found.winner),
        "believed": asdict(found.level) if found.level else None,
        "picture": picture,
        "state": now.state.name,
        "next": now.state.next,
    }


if __name__ == "__main__":
    main(NAME, body, sys.argv)
