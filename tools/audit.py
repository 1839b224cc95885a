#!/usr/bin/env python3
"""Does the record hold? Compare its hashes; score a run's saved weights again; or train it again on its seed.

Nothing of the campaign is changed. Weights scored again must give the same digits. A run that is trained again
must come as near as the noise of two runs allows; where the budget is in tokens, to the same digits.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any, NamedTuple

from harness import Refused, experiment, integrity, replica
from harness import branch as git_branch
from harness import campaign as campaigns
from harness.branch import Git
from harness.campaign import Campaign
from harness.command import DONE, FAILED, ROOT, Parser, main, show_json
from harness.learned import Learner
from harness.record import Record, Run
from harness.replica import Replica, Say
from harness.text import read_json

NAME = "audit"
EXIT_CODES = "exit codes: 0 it holds, 1 it does not, 2 refused (a run is in progress, nothing to compare, …)"
EXAMPLES = """\
  tools/audit.py                 the hashes of all records: git, data, packages, seeds, scores, weights
  tools/audit.py --record 12     score the weights of run 0012 again
  tools/audit.py --rerun 12      train and score it again, which takes as long as the run did
  tools/audit.py --rerun 0 --tag mar5"""
SIGMAS = 3.0  # of the difference between two runs: an honest one is further off once in 370 times
WEIGHTS = "weights.pt"
DIGITS = ("val_bpb", "nats", "bytes", "tokens")  # of a score


class Finding(NamedTuple):
    """What came of a comparison: for a person, and for a program."""

    holds: bool
    lines: list[str]
    facts: dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = Parser("tools/audit.py", __doc__ or "", EXAMPLES, EXIT_CODES)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--record", metavar="RUN", type=int, help="score the saved weights of this run again")
    form.add_argument("--rerun", metavar="RUN", type=int, help="train it again on the same seed, and score it")
    parser.add_argument("--tag", help="of another campaign than the one that is checked out")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    return parser.parse_args()


def body() -> int:
    given = arguments()

    def say(line: str) -> None:
        if not given.json:
            print(line, flush=True)

    tag = given.tag or git_branch.current(ROOT).tag
    campaign = campaigns.load(ROOT, tag)
    if campaign is None:
        raise Refused(f"there is no campaign {tag} (runs/{tag}/campaign.json): see runs/ for those that there are")
    runs = integrity.under_pin(campaigns.runs(ROOT, tag))
    if given.record is None and given.rerun is None:
        found = compare_hashes(campaign, runs)
    else:
        with campaigns.lock(ROOT):  # which keeps other commands, and so other runs, out
            replica.check_quiet(ROOT, tag)
            if given.record is not None:
                found = score_again(campaign, scored_run(campaign, runs, given.record), say)
            else:
                found = train_again(campaign, scored_run(campaign, runs, given.rerun), runs, say)
    if given.json:
        show_json({"campaign": tag, "holds": found.holds, **found.facts})
    for line in [*found.lines, "it holds" if found.holds else "it does not hold"]:
        say(line)
    return DONE if found.holds else FAILED


def scored_run(campaign: Campaign, runs: list[Run], number: int) -> Run:
    """Run `number`. Raises Refused where it is none, or has no score."""
    run = next((run for run in runs if run.request.number == number), None)
    if run is None:
        raise Refused(f"campaign {campaign.tag} has no run {number:04d}: see runs/{campaign.tag}")
    if not run.scored:
        outcome = run.record.outcome if run.record else "not through"
        raise Refused(f"run {run.name} has no score to compare with ({outcome}): choose one that has")
    return run


def compare_hashes(campaign: Campaign, runs: list[Run]) -> Finding:
    """All records with all that they have to agree with."""
    wrong = integrity.disagreeing(Git(ROOT), campaign, runs)
    records = sum(run.record is not None for run in runs)
    told = f"{records - len(wrong)} of {records} records agree with git, the pin, their scores and their weights"
    return Finding(not wrong, [*described(wrong), told], {"records": records, "wrong": wrong})


def score_again(campaign: Campaign, run: Run, say: Say) -> Finding:
    """Every digit of the score has to be the same."""
    wrong = integrity.disagreeing(Git(ROOT), campaign, [run])
    say(f"run {run.name}: scoring its weights again")
    again = replica.score_again(ROOT, campaign, run, say)
    recorded = (read_json(run.path / "score.json") or {}) | {"val_bpb": recorded_in(run).val_bpb}
    digits = {name: [recorded.get(name), again.score.get(name)] for name in DIGITS}
    same = all(before == now for before, now in digits.values())
    lines = [f"{name}: {before} recorded, {now} now" for name, (before, now) in digits.items()]
    facts = {"run": run.name, "wrong": wrong, "digits": digits, **circumstances(run, again)}
    return Finding(same and not wrong, [*described(wrong), *lines, *remarks(run, again)], facts)


def train_again(campaign: Campaign, run: Run, runs: list[Run], say: Say) -> Finding:
    """The score has to be as near as the noise allows, or the same where the budget is in tokens."""
    wrong = integrity.disagreeing(Git(ROOT), campaign, [run])
    say(f"run {run.name}: training it again on its seed {run.request.seed}, budget {campaign.budget}")
    again = replica.train_again(ROOT, campaign, run, say)
    before, now = recorded_in(run), again.record
    sigma = Learner(experiment.group(runs), campaign).learn().noise.sigma
    allowed = 0.0 if campaign.budget.endswith("tok") else SIGMAS * math.sqrt(2) * sigma
    why = f"{SIGMAS:.0f} x sqrt(2) x sigma {sigma:.4f}" if allowed else "the budget is in tokens"
    same = before.model_sha256.get(WEIGHTS) == now.model_sha256.get(WEIGHTS)
    difference = (now.val_bpb or math.nan) - (before.val_bpb or math.nan)
    lines = [
        f"val_bpb: {before.val_bpb} recorded, {now.val_bpb} now",
        f"difference: {difference:+.6f}, {allowed:.6f} is allowed ({why})",
        f"steps: {before.steps} recorded, {now.steps} now",
        f"tokens: {before.tokens} recorded, {now.tokens} now",
        f"weights: {'the same' if same else 'others'}",
    ]
    facts = {
        "run": run.name,
        "wrong": wrong,
        "val_bpb": [before.val_bpb, now.val_bpb],
        "difference": difference if math.isfinite(difference) else None,
        "allowed": allowed,
        "steps": [before.steps, now.steps],
        "tokens": [before.tokens, now.tokens],
        "same_weights": same,
        **circumstances(run, again),
    }
    return Finding(
        abs(difference) <= allowed and not wrong, [*described(wrong), *lines, *remarks(run, again)], facts
    )


def recorded_in(run: Run) -> Record:
    assert run.record is not None  # scored_run sees to it
    return run.record


def described(wrong: dict[str, str]) -> list[str]:
    return [f"run {name}: {told}" for name, told in wrong.items()]


def circumstances(run: Run, again: Replica) -> dict[str, Any]:
    """How it ended this time, and where."""
    return {
        "outcome": again.record.outcome,
        "reason": again.record.reason,
        "probes": again.score.get("audit"),
        "same_machine": again.record.machine == recorded_in(run).machine,
    }


def remarks(run: Run, again: Replica) -> list[str]:
    found = circumstances(run, again)
    lines = [] if found["outcome"] == "finished" else [f"{found['outcome']} this time: {found['reason']}"]
    if isinstance(found["probes"], dict):
        lines.append(f"audited with {found['probes'].get('probes')} probes")
    if found["outcome"] == "finished" and not found["same_machine"]:
        lines.append("note: the run was made on another machine, and digits may differ between machines")
    return lines


if __name__ == "__main__":
    main(NAME, body, sys.argv)
