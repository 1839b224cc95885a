"""The campaign on one page: what it found, what the stint cost, and what is open."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from . import attend, campaign, driver, headline, limits, show, steering, stint
from .experiment import Experiment
from .limits import HOUR, Limits, Spent
from .situation import Situation
from .stint import Usage

STEPS_MOST = 25  # of the staircase
PACE_FROM = 600.0  # seconds of a stint from which experiments an hour say something


@dataclass(frozen=True)
class Work:
    """What the stint that was begun last took: `wall` and `device` in seconds, `idle` the share of the wall time
    that no run used. `after` is what came after its end."""

    spent: Spent
    usage: Usage
    limits: Limits
    complaints: list[str]
    ended: float  # unix time, 0 where nothing says that it is over
    wall: float
    device: float
    going: bool  # it is not over
    after: Spent | None = None

    @property
    def idle(self) -> float:
        return min(max(1.0 - self.device / self.wall, 0.0), 1.0) if self.wall > 0 else 0.0

    @property
    def pace(self) -> float:
        """Experiments an hour."""
        return self.spent.experiments * HOUR / self.wall if self.wall > 0 else 0.0


def page(now: Situation) -> list[str]:
    """The page, a line each."""
    decided = [experiment for experiment in now.experiments if experiment.decision is not None]
    best = now.incumbent.commit if now.incumbent else None
    verified = headline.page(headline.read(now.root, now.branch.tag), best)
    lines = [*verified, *_header(now, decided), *_best(now, decided)]
    steps = staircase(decided)
    if len(steps) > 1:
        lines += ["", "what was kept:", *(_step(step) for step in steps[-STEPS_MOST:])]
    if decided:
        lines += ["", *show.table(decided)]
    if now.campaign is not None:
        lines += ["", *_work(now, work(now))]
    return [*lines, "", *_open(now)]


def facts(now: Situation) -> dict[str, Any]:
    """The same for programs."""
    decided = [experiment for experiment in now.experiments if experiment.decision is not None]
    own = [e.decision for e in decided if e.decision is not None and not e.is_baseline]
    took = work(now)
    steps = staircase(decided)
    return {
        "tag": now.branch.tag,
        "state": now.state.name,
        "experiments": len(own),
        **{name: sum(d.status == name for d in own) for name in ("keep", "discard", "crash")},
        "baseline": steps[0]["val_bpb"] if steps else None,
        "best": now.incumbent.mean if now.incumbent else None,
        "noise": now.noise.sigma if now.noise else None,
        "believed_gain": now.learned.known.gain.mean if now.learned and now.learned.known else None,
        "boxed": boxed_share(now),
        "sandbox": unboxed(now),
        "staircase": steps,
        "stint": {
            "started": took.spent.started,
            "ended": took.ended or None,
            "going": took.going,
            "experiments": took.spent.experiments,
            "wall_seconds": round(took.wall, 1),
            "device_seconds": round(took.device, 1),
            "idle_share": round(took.idle, 4),
            "experiments_an_hour": round(took.pace, 2),
            "client_tokens": took.usage.tokens,
            "client_dollars": round(took.usage.dollars, 4),
            "client_steps": took.usage.steps,
            "limits": limits.lines(took.limits, took.spent),
            "complaints": took.complaints,
        },
        "stop": now.stop,
        "next": now.state.next,
    }


def work(now: Situation) -> Work:
    """What the stint that was begun last took. Where nothing says that it is over, and nobody is at work,
    it ended when something last happened in it."""
    begun = stint.begun(now)
    start = begun.client_bytes if begun else 0
    set_limits, complaints = stint.limits(now)
    if begun is not None and begun.ended:
        spent = stint.spent_of(now, begun, until=begun.ended)
        used = stint.usage(now.folder / stint.CLIENT, start, until=begun.ended)
        wall, after = begun.ended - begun.started, stint.spent(now)
        device = spent.device_hours * HOUR
        return Work(spent, used, Limits(begun.held), complaints, begun.ended, wall, device, False, after)
    spent = stint.spent(now)
    used = stint.usage(now.folder / stint.CLIENT, start)
    started = driver.at_work(now.root)
    going = any(run.alive for run in now.runs) or (started is not None and started.tag == now.branch.tag)
    end = spent.now if going else stint.last_activity(now, start)
    wall = max(end - spent.started, 0.0)
    return Work(spent, used, set_limits, complaints, 0.0, wall, spent.device_hours * HOUR, going)


def boxed_share(now: Situation) -> float | None:
    """The share of runs that were boxed, 0 to 1; None before the first is through."""
    measured = [run.record for run in now.runs if run.record is not None]
    return 1 - sum(unboxed(now).values()) / len(measured) if measured else None


def unboxed(now: Situation) -> dict[str, int]:
    """Why runs were not boxed, and how many each."""
    why = [attend.not_boxed(run.record) for run in now.runs if run.record is not None]
    return dict(Counter(reason for reason in why if reason))


def staircase(decided: list[Experiment]) -> list[dict[str, Any]]:
    """Every keep, the baseline first, with its gain over the one before."""
    steps: list[dict[str, Any]] = []
    for experiment in decided:
        decision = experiment.decision
        if decision is None or decision.status != "keep" or decision.val_bpb is None:
            continue
        before = steps[-1]["val_bpb"] if steps else None
        steps.append(
            {
                "experiment": f"{experiment.number:04d}",
                "commit": experiment.commit[:7],
                "val_bpb": decision.val_bpb,
                "change": round(decision.val_bpb - before, 9) if before is not None else None,
                "description": show.one_line(decision.description),
            }
        )
    return steps


# ---------------------------------------------------------------------------------------------------
# Its parts


def _header(now: Situation, decided: list[Experiment]) -> list[str]:
    pinned = now.campaign
    lines = [f"campaign {now.branch.tag}: {show.summary(decided)}"]
    if pinned is not None:
        lines.append(
            f"begun {_moment(pinned.created)}, {pinned.budget} a run, profile {pinned.profile} on {pinned.device}"
        )
    runs = sum(run.record is not None for run in now.runs)
    lines += [show.shorten(f"not boxed: {n} of {runs} runs ({why})") for why, n in unboxed(now).items()]
    goal = steering.goal(steering.read(now.root))
    return [*lines, *([f"goal: {goal}"] if goal else [])]


def _best(now: Situation, decided: list[Experiment]) -> list[str]:
    best, steps = now.incumbent, staircase(decided)
    if best is None or not steps:
        return ["no baseline yet"]
    runs = len(best.scores)
    lines = [f"best: val_bpb {best.mean:.6f} ({best.commit[:7]}, mean of {runs} run{'s' * (runs > 1)})"]
    if len(steps) > 1:
        gain = steps[0]["val_bpb"] - best.mean
        lines[0] += f", {gain:.6f} below the baseline's {steps[0]['val_bpb']:.6f}"
        lines[0] += f" ({100 * gain / steps[0]['val_bpb']:.2f} %)" if steps[0]["val_bpb"] else ""
    else:
        lines[0] += ", the baseline's"
    if now.learned is not None and now.learned.known is not None:
        known = now.learned.known
        if len(steps) > 1:
            lines.append(f"believed gain, luck taken off: {known.gain.mean:.6f} ± {known.gain.sd:.6f}")
    if now.noise is not None:
        told = f"measured on {now.noise.runs} runs" if now.noise.runs else "a prior, not measured yet"
        between = f"{now.noise.low:.4f} to {now.noise.high:.4f} with 80 %"
        lines.append(f"noise: sigma {now.noise.sigma:.4f} bpb a run ({told}; {between})")
    if now.learned is not None and (now.learned.raced or now.learned.controls):
        learned = now.learned
        lines.append(
            f"racing: {learned.raced} runs stopped by their curve; false kills: {learned.false_kills} of "
            f"{learned.controls} controls"
        )
    return lines


def _step(step: dict[str, Any]) -> str:
    change = "" if step["change"] is None else f"{step['change']:+.6f}"
    return show.shorten(f"{step['experiment']} {step['val_bpb']:>10.6f} {change:>10}  {step['description']}")


def _work(now: Situation, took: Work) -> list[str]:
    spent, used = took.spent, took.usage
    began = _moment(spent.started)
    when = (
        f"from {began} to {_moment(took.ended)}" if took.ended else f"{'since' if took.going else 'from'} {began}"
    )
    pace = f" ({took.pace:.1f} an hour)" if took.wall >= PACE_FROM and spent.experiments else ""
    lines = [
        f"{'the last' if took.ended else 'this'} stint, {when}: {_hours(took.wall)}, "
        f"{spent.experiments} experiment{'s' * (spent.experiments != 1)}{pace}, "
        f"{_hours(took.device)} of runs, {100 * took.idle:.0f} % idle"
    ]
    if used.steps:
        cost = f", ${used.dollars:.2f}" if used.dollars else ""
        lines.append(f"the model: {used.tokens:,} tokens in {used.steps:,} steps{cost}")
    lines += limits.lines(took.limits, spent)
    after = took.after
    if after and (after.experiments or after.device_hours):
        count = f"{after.experiments} experiment{'s' * (after.experiments != 1)}"
        lines.append(f"since its end: {count}, {_hours(after.device_hours * HOUR)} of runs")
        lines += limits.lines(stint.limits(now)[0], after)
    return [*lines, *(f"note: {line}" for line in took.complaints)]


def _open(now: Situation) -> list[str]:
    newest = now.newest
    lines = []
    if newest is not None and not newest.settled:
        run = newest.last
        told = {
            "running": f"in progress: {attend.progress(run.path)}" if run.alive else "",
            "interrupted": f"interrupted: {attend.interruption(run.path)}",
            "finished": f"ended ({newest.outcome}), not logged",
        }.get(now.state.name, now.state.name)
        lines.append(show.shorten(f"open: run {run.name} {show.one_line(run.request.message)}: {told}"))
    elif now.state.name == "edited":
        lines.append("open: an edit of train.py that has not run")
    other = campaign.running_elsewhere(now.root, now.branch.tag)
    if other is not None:
        lines.append(f"in progress elsewhere: campaign {other.path.parent.name}, run {other.name}")
    if now.stop and now.state.next.startswith("end your turn"):
        return [*lines, f"next: nothing: {now.stop}"]
    return [*lines, f"next: {now.state.next}"]


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def _hours(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
