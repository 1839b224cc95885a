#!/usr/bin/env python3
"""Decide on the experiment that ended, from its records alone, and add its row to results.tsv."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from harness import campaign, conclude, steering
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.conclude import Conclusion
from harness.situation import Situation, look

NAME = "log_result"
EXAMPLES = """\
  tools/log_result.py -d "learning rate 0.02 instead of 0.04"
  tools/log_result.py -d "GeLU" --note "slower a step, and no better at the same step: give it up"

The score is read from the run's record. keep: the branch moves to the candidate. discard, crash: tools/revert.py
brings the incumbent back. confirm: no row yet, scripts/run_experiment.sh --confirm comes first. A keep may be
provisional: then --confirm is its re-test, which is logged as well and lets it stand or undoes it."""


def arguments() -> argparse.Namespace:
    parser = Parser("tools/log_result.py", __doc__ or "", EXAMPLES)
    parser.add_argument("-d", "--description", required=True, help="what was tried, in one line")
    parser.add_argument("--note", default="", help="why it went as it did, for whoever comes later")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    if not given.description.strip():
        parser.error("-d is empty: say what was tried")
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


def body() -> int:
    given = arguments()
    with campaign.lock(ROOT):
        concluded = conclude.log(look(ROOT), given.description, given.note)
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
    for line in steering.told(diff(after)):
        print(line)
    print(f"next: {after.state.next}")
    return DONE


if __name__ == "__main__":
    main(NAME, body, sys.argv)
