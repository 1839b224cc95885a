#!/usr/bin/env python3
"""Decide on the experiment that ended, from its records alone, and add its row to results.tsv."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from harness import Refused, campaign, conclude, lessons, steering
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.conclude import Conclusion
from harness.situation import Situation, look

NAME = "log_result"
EXAMPLES = """\
  tools/log_result.py -d "learning rate 0.02 instead of 0.04"
  tools/log_result.py -d "GeLU" --note "slower a step, and no better at the same step: give it up"
  tools/log_result.py --lesson "rates are near their best; what pays is fewer FLOPs a step"   when status asks

The score is read from the run's record. keep: the branch moves to the candidate. discard, crash: tools/revert.py
brings the incumbent back. confirm: no row yet, scripts/run_experiment.sh --confirm comes first. A keep may be
provisional: then --confirm is its re-test, which is logged as well and lets it stand or undoes it. What --note
says, tools/recall.py finds; what --lesson says stands at the top of tools/status.py."""


def arguments() -> argparse.Namespace:
    parser = Parser("tools/log_result.py", __doc__ or "", EXAMPLES)
    parser.add_argument("-d", "--description", help="what was tried, in one line")
    parser.add_argument("--note", default="", help="why you think it went as it did, for whoever comes later")
    parser.add_argument("--lesson", help="what the last experiments taught, in one line; with -d, or alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    if given.description is None and given.lesson is None:
        parser.error("say what was tried: -d, or what was learned: --lesson")
    if given.description is None and given.note:
        parser.error("--note goes with -d")
    if given.description is not None and not given.description.strip():
        parser.error("-d is empty: say what was tried")
    if given.lesson is not None and not given.lesson.strip():
        parser.error("--lesson is empty: say what the last experiments taught")
    return given


def as_json(concluded: Conclusion) -> dict[str, object]:
    verdict, decision, after = concluded.verdict, concluded.decision, concluded.after
    return {
        "verdict": verdict.status,
        "confirm": verdict.confirm.side if verdict.confirm else "",
        "provisional": verdict.provisional,
        "believed": asdict(verdict.belief) if verdict.belief else None,
        "error": verdict.error,
        "gain": verdict.gain,
        "val_bpb": decision.val_bpb if decision else None,
        "memory_gb": decision.memory_gb if decision else None,
        "reasons": list(verdict.reasons),
        "composite": verdict.framework.composite,
        "band": verdict.framework.band,
        "framework": list(verdict.framework.lines),
        "program_diff": diff(after),
        "state": after.state.name,
        "next": after.state.next,
    }


def diff(after: Situation) -> list[str]:
    """What changed in program.md, where the next experiment is due: a revert says it otherwise."""
    return steering.changes(after) if after.state.name == "clean" else []


def reflect(lesson: str, json: bool) -> int:
    """Take down what the experiments taught, without a result to log."""
    with campaign.lock(ROOT):
        now = look(ROOT)
        noted = remember(now, lesson)
    if json:
        show_json({"lesson": noted, "state": now.state.name, "next": now.state.next})
    else:
        print(f"noted: {noted}\nnext: {now.state.next}")
    return DONE


def remember(now: Situation, lesson: str) -> str:
    if now.campaign is None:
        raise Refused("there is no campaign yet, so there is nothing to learn from", now.state.next)
    return lessons.add(now.folder, now.tried, lesson).text


def body() -> int:
    given = arguments()
    if given.description is None:
        return reflect(given.lesson, given.json)
    with campaign.lock(ROOT):
        concluded = conclude.log(look(ROOT), given.description, given.note)
        if given.lesson is not None:
            remember(concluded.after, given.lesson)
    if given.json:
        show_json(as_json(concluded))
        return DONE
    verdict, decision, after = concluded.verdict, concluded.decision, concluded.after
    print(f"verdict: {verdict.status}")
    for line in [*verdict.reasons, *verdict.framework.lines]:
        print(line)
    if decision is not None and after.newest is not None:
        score = "no score" if decision.val_bpb is None else f"val_bpb {decision.val_bpb:.6f}"
        runs = ", ".join(f"{number:04d}" for number in decision.runs)
        print(f"logged: {after.newest.commit[:7]} {score}, {decision.memory_gb:.1f} GB, run {runs}")
        if decision.status == "keep" or decision.undone:
            back = "back " if decision.undone else ""
            print(f"the branch autoresearch/{after.branch.tag} is {back}at {after.branch.tip[:7]}")
    if decision is not None and not given.note.strip():
        print("note: no --note says why it went so; give the next one, and tools/recall.py will find it")
    for line in steering.told(diff(after)):
        print(line)
    print(f"next: {after.state.next}")
    return DONE


if __name__ == "__main__":
    main(NAME, body, sys.argv)
