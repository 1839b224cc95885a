#!/usr/bin/env python3
"""Where the campaign stands: all that is needed to go on with it, also by someone who remembers nothing.

At a terminal it is a page in colour; piped, or for an agent, plain text.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from harness import (
    Refused,
    attend,
    box,
    campaign,
    direction,
    disk,
    environment,
    lessons,
    limits,
    memory,
    steering,
    stint,
    sweep,
    whys,
)
from harness import prospects as prospect
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.experiment import Experiment
from harness.ledger import clean
from harness.situation import Situation, look
from harness.text import said

if TYPE_CHECKING:  # what a page alone needs is imported by it: the agent reads plain text, often
    from harness.board import More
    from harness.watch import Watcher
    from rich.console import RenderableType

NAME = "status"
SHOWN = 8  # results
EXAMPLES = """\
  tools/status.py
  tools/status.py --watch         live, in a second terminal; Ctrl-C ends it
  tools/status.py --pareto        the frontier of score, memory, speed and lines of train.py
  tools/status.py --layers        what has checked the incumbent's number
  tools/status.py --phases        assess, plan, execute, review: done, open or failed
  tools/status.py --json"""


def facts(now: Situation) -> dict[str, Any]:
    """What is printed, as JSON has it."""
    pinned, best, newest = now.campaign, now.incumbent, now.newest
    program = steering.read(now.root)
    set_limits, complaints = stint.limits(now)
    short = disk.shortage(now.root)
    learned = lessons.read(now.folder)
    offers = prospects(now)
    found: dict[str, Any] = {
        "state": now.state.name,
        "tag": now.branch.tag,
        "branch": f"autoresearch/{now.branch.tag}",
        "goal": steering.goal(program),
        "program_changed": steering.changed(now),
        "program_diff": steering.changes(now),
        "budget": pinned.budget if pinned else None,
        "profile": f"{pinned.profile} on {pinned.device}" if pinned else None,
        "sandbox": pinned.sandbox if pinned else None,
        "noise": noise_facts(now),
        "belief": belief(now),
        "racing": racing(now),
        "prospects": offers,
        "lessons": lessons.told(learned),
        "reflection_due": lessons.due(learned, now.tried),
        "direction": turn(now, offers),
        "whys": whys.of(now),
        "experiments": len(now.experiments),
        "kept": best.number if best else 0,
        "baseline": None,
        "incumbent": None,
        "results": [result(e) for e in now.experiments if e.decision][-SHOWN:],
        "current": current(now, newest) if newest and (newest.provisional or not newest.settled) else None,
        "sweep": sweeping(now),
        "elsewhere": None,
        "limits": limits.lines(set_limits, stint.spent(now)) if set_limits else [],
        "stop": now.stop,
        "notes": [*now.notes, *complaints, *([short] if short else [])],
        "next": now.state.next,
    }
    if best is not None:
        first = next(e for e in now.experiments if e.decision and e.decision.status == "keep")
        found["baseline"] = {
            "commit": first.commit[:7],
            "val_bpb": first.decision.val_bpb if first.decision else None,
        }
        found["incumbent"] = {
            "commit": best.commit[:7],
            "run": best.experiment.candidate.name,
            "description": best.decision.description,
            "val_bpb": best.mean,
            "runs": len(best.scores),
            "depth": best.record.depth,
            "num_params_M": round(best.record.num_params / 1e6, 1),
            "peak_memory_mb": round(best.peak_memory_mb, 1),
            "mfu_percent": best.record.mfu_percent,
        }
    other = campaign.running_elsewhere(now.root, now.branch.tag)
    if other is not None:
        found["elsewhere"] = f"campaign {other.path.parent.name}, run {other.name}"
    return found


def noise_facts(now: Situation) -> dict[str, Any] | None:
    """The noise of one run in bpb, how sure it is, and how much of it a shared seed takes away."""
    learned = now.learned
    if learned is None:
        return None
    noise = learned.noise
    told = {"sigma": noise.sigma, "low": noise.low, "high": noise.high, "runs": noise.runs}
    return {**told, "pairing": learned.pairing, "band": learned.band}


def belief(now: Situation) -> dict[str, float] | None:
    """The incumbent's true level and the campaign's gain, as believed: luck taken off. None also while a re-test
    is open: what is believed leaves out the provisional keep then."""
    known = now.learned.known if now.learned else None
    if known is None or (now.newest is not None and now.newest.retest):
        return None
    level = {"val_bpb": known.level.mean, "sd": known.level.sd}
    return {**level, "gain": known.gain.mean, "gain_sd": known.gain.sd, "allowed_error": known.allowed}


def racing(now: Situation) -> dict[str, int] | None:
    """Runs that were stopped by their curve, controls among the hopeless, and how many of these were kept."""
    learned = now.learned
    if learned is None or not (learned.raced or learned.controls):
        return None
    return {"stopped": learned.raced, "controls": learned.controls, "false_kills": learned.false_kills}


def prospects(now: Situation) -> list[str]:
    """What past experiments offer, where the next one is due."""
    known = now.learned.known if now.learned else None
    if known is None or now.learned is None or now.state.name != "clean":
        return []
    descriptions = {e.number: e.decision.description for e in now.experiments if e.decision}
    found = prospect.find(now.experiments, known, now.learned.beliefs)
    return [prospect.told(one, descriptions) for one in found]


def sweeping(now: Situation) -> dict[str, Any] | None:
    """The sweep in progress, and how far it is."""
    plan = sweep.in_progress(now.root, now.branch.tag)
    if plan is None:
        return None
    done = sum(one.settled for _, one in sweep.tried(plan, now.experiments))
    return {"name": plan.name, "constants": plan.constants, "done": done, "size": plan.size}


def turn(now: Situation, offers: list[str]) -> str | None:
    """Where to turn, where the next experiment is due and research stagnates."""
    if now.state.name != "clean" or now.campaign is None:
        return None
    decided = [(e, e.decision.status) for e in now.experiments if e.decision and not e.is_baseline]
    tried = [direction.Tried(status) for _, status in decided]
    if direction.without_keep(tried) < direction.ONE_THEME:
        return None  # then nothing needs to be looked up
    known = memory.themes_of(now.root, now.folder, now.branch.git)
    tried = [direction.Tried(status, known.get(e.number, ())) for e, status in decided]
    stuck = direction.stagnation(tried)
    if stuck is None:
        return None
    ideas = direction.read(now.root / direction.CATALOGUE)
    return direction.answer(stuck, tried, offers, ideas, now.campaign.profile)


def result(experiment: Experiment) -> dict[str, Any]:
    decision = experiment.decision
    assert decision is not None
    return {
        "experiment": experiment.runs[0].name,
        "commit": experiment.commit[:7],
        "status": decision.status,
        "val_bpb": decision.val_bpb,
        "runs": len(decision.runs),
        "description": decision.description,
    }


def current(now: Situation, experiment: Experiment) -> dict[str, Any]:
    """The experiment that is not through: running, interrupted, ended, or kept provisionally."""
    run = experiment.last
    told = {
        "running": f"running for {age(run.request.created)}: {attend.progress(run.path)}" if run.alive else "",
        "interrupted": f"interrupted: {attend.interruption(run.path)}",
        "finished": f"ended ({experiment.outcome}), not logged",
        "provisional": "kept provisionally: another run lets it stand or undoes it",
    }
    return {
        "experiment": experiment.runs[0].name,
        "run": run.name,
        "commit": run.request.commit[:7],
        "kind": run.request.kind,
        "message": clean(experiment.candidate.request.message),
        "progress": told.get(now.state.name, ""),
        "outcome": run.record.outcome if run.record else None,
        "reason": said(run.record.reason) if run.record else None,
        "val_bpb": run.record.val_bpb if run.record else None,
        "verdict": now.verdict.status if now.verdict else None,
        "reasons": list(now.verdict.reasons) if now.verdict else [],
    }


def age(created: float) -> str:
    seconds = max(datetime.now().timestamp() - created, 0.0)
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def show(found: dict[str, Any]) -> None:
    best, first, noise, now = (found[key] for key in ("incumbent", "baseline", "noise", "current"))
    print(f"state: {found['state']}")
    print(
        f"campaign: {found['tag']} (branch {found['branch']}), "
        f"{found['experiments']} experiments, {found['kept']} kept"
    )
    if found["goal"]:
        print(f"goal: {found['goal']}")
    for line in steering.told(found["program_diff"]):
        print(line)
    for lesson in found["lessons"]:
        print(f"lesson: (the agent's own words) {lesson}")
    if found["experiments"] and not found["program_changed"]:
        print("program.md: as it was at the last run")
    if found["budget"]:
        print(f"budget: {found['budget']} a run, profile {found['profile']}")
    if found["sandbox"] not in (None, box.NAME):
        print(f"sandbox: {found['sandbox']}")
    for line in found["limits"]:
        print(line)
    if best:
        depth = f"depth {best['depth']}, " if best["depth"] is not None else ""
        print(
            f"incumbent: {best['commit']} val_bpb {best['val_bpb']:.6f} (mean of {best['runs']}), "
            f"{depth}{best['num_params_M']} M parameters, {best['peak_memory_mb']:.0f} MB, "
            f"MFU {best['mfu_percent']:.1f} %"
        )
        print(f"           {best['description'][:100]}")
        print(f"baseline: {first['commit']} val_bpb {first['val_bpb']:.6f}")
    if noise:
        told = f"measured on {noise['runs']} runs" if noise["runs"] else "not measured yet, a prior"
        between = f"between {noise['low']:.4f} and {noise['high']:.4f} with 80 %"
        print(f"noise: sigma {noise['sigma']:.4f} bpb a run ({told}; {between})")
    if level := found["belief"]:
        gain = f", gain over the baseline {level['gain']:+.4f} ± {level['gain_sd']:.4f}"
        print(
            f"believed: the incumbent's true val_bpb {level['val_bpb']:.6f} ± {level['sd']:.4f}"
            f"{gain if found['kept'] > 1 else ''}"
        )
    if raced := found["racing"]:
        count, controls = raced["stopped"], raced["controls"]
        print(
            f"racing: {count} run{'s' * (count != 1)} stopped by a hopeless curve"
            + (f"; of {controls} more, finished to check, {raced['false_kills']} were kept" if controls else "")
        )
    if found["results"]:
        print("last results:")
    for row in found["results"]:
        score = "       -" if row["val_bpb"] is None else f"{row['val_bpb']:.6f}"
        print(f"  {row['experiment']} {row['commit']} {row['status']:<7} {score}  {row['description'][:90]}")
    if now:
        print(
            f"experiment {now['experiment']}, run {now['run']} ({now['kind']} {now['commit']}): "
            f"{now['message'][:100]}"
        )
        print(f"  {now['progress']}" + (f": {now['reason']}" if now["reason"] else ""))
        if now["val_bpb"] is not None:
            print(f"  val_bpb {now['val_bpb']:.6f}")
        for reason in now["reasons"]:
            print(f"  {reason}")
    if swept := found["sweep"]:
        told = f"{swept['constants']}, {swept['done']} of {swept['size']} values decided"
        print(f"sweep {swept['name']}: {told} (tools/sweep.py --stop ends it)")
    for line in found["whys"]:
        print(line)
    for line in found["prospects"]:
        print(f"prospect: {line}")
    if found["direction"]:
        print(f"direction: {found['direction']}")
    if found["reflection_due"]:
        print(
            f"reflect: {found['reflection_due']} experiments since the last lesson: what worked, what did not, "
            'what is next, in one line: tools/log_result.py --lesson "…"'
        )
    if found["elsewhere"]:
        print(f"in progress elsewhere: {found['elsewhere']}")
    for note in found["notes"]:
        print(f"note: {note}")
    print(f"next: {found['next']}")


def body() -> int:
    parser = Parser("tools/status.py", __doc__ or "", EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--watch", action="store_true", help="follow the campaign; for a person's terminal")
    for name in DETAILS:
        one.add_argument(f"--{name}", action="store_true", help=f"its {name} alone")
    given = parser.parse_args()
    is_terminal = sys.stdout.isatty() and not given.json
    if given.watch and not is_terminal:
        parser.error("--watch is for a person's terminal; without it, status says once how things stand")
    if is_terminal:
        environment.enter(ROOT, "rich")
    if given.watch:
        return watch()
    with campaign.lock(ROOT):
        now = look(ROOT)
    wanted = next((name for name in DETAILS if getattr(given, name)), None)
    if wanted is not None:
        lines = DETAILS[wanted](now)
        if given.json:
            show_json({wanted: lines})
        else:
            print("\n".join(lines))
        return DONE
    found = facts(now)
    if given.json:
        show_json(found)
    elif is_terminal and environment.has("rich"):
        from harness import board
        from rich.console import Console

        Console().print(board.page(found, more(now, True)))
    else:
        show(found)
    return DONE


def watch() -> int:
    """Until Ctrl-C."""
    if not environment.has("rich"):
        raise Refused("--watch needs the package rich: run scripts/setup.sh")
    from harness.watch import Watcher, every_second
    from rich.console import Console
    from rich.live import Live

    watcher = Watcher(ROOT)
    end_by_signal()
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        every_second(lambda: live.update(drawn(watcher), refresh=True))
    return DONE


def drawn(watcher: Watcher) -> RenderableType:
    """The page as it is now. A campaign that is not there yet may still come."""
    from harness import board

    now = watcher.look()
    if now is None:
        return board.message(f"{watcher.trouble}\n\nwaiting for that to change; Ctrl-C ends this")
    if watcher.is_new:
        watcher.kept = facts(now), more(now, False)
    found, beside = watcher.kept
    return board.page(found, replace(beside, running=watcher.running(now)))


def end_by_signal() -> None:
    """Let SIGTERM and a closed terminal end it as Ctrl-C does: with the screen put back."""
    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def more(now: Situation, is_long: bool) -> More:
    """What the page has beside the facts."""
    from harness import board, pareto, phases

    decided = [(e, e.decision) for e in now.experiments if e.decision]
    return board.More(
        stairs=board.stairs((decision.status, decision.val_bpb) for _, decision in decided),
        pace=board.pace([decision.logged_at for e, decision in decided if not e.is_baseline]),
        phases=tuple(phases.of(phases.gather(now))),
        lines=(*pareto.table(*pareto.of(now), most=5), *layer_lines(now)) if is_long and now.incumbent else (),
    )


def pareto_lines(now: Situation) -> list[str]:
    from harness import pareto

    return pareto.table(*pareto.of(now))


def layer_lines(now: Situation) -> list[str]:
    """What has checked the incumbent's number, from its records. What the person alone may see is not in it."""
    from harness import integrity
    from harness.report import layers

    best, pinned = now.incumbent, now.campaign
    if best is None or pinned is None:
        return ["layers: there is no incumbent yet, so no number to check"]
    try:
        apart = integrity.disagreeing(now.branch.git, pinned, best.runs)
    except Refused as refusal:
        apart = {best.runs[0].name: str(refusal)}
    marks = {True: "held", False: "FAILED", None: "not yet"}
    found = [one for one in layers.of(best, apart, None) if one.name != "held-out"]
    head = f"layers: what checked {best.commit[:7]}, val_bpb {best.mean:.6f}; each has holes"
    return [head, *(f"  {one.name:<8} {marks[one.held]:<7} {one.told}" for one in found)]


def phase_lines(now: Situation) -> list[str]:
    from harness import phases

    return phases.lines(phases.of(phases.gather(now)))


DETAILS: dict[str, Callable[[Situation], list[str]]] = {
    "pareto": pareto_lines,
    "layers": layer_lines,
    "phases": phase_lines,
}


if __name__ == "__main__":
    main(NAME, body, sys.argv)
