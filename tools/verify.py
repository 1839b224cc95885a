#!/usr/bin/env python3
"""What did the campaign really gain? Train baseline and incumbent on fresh seeds, and score both on held-out text.

For the person, at a campaign's end. Seeds are paired, and no run of the campaign used them; the held-out text was
seen by no experiment. It stays honest as long as nothing is chosen by it, so each use is counted. Nothing of the
campaign is changed, and no other command goes on meanwhile. Ctrl-C at any time: the same command goes on.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import NamedTuple

from harness import Refused, campaign, headline, replica, runner, snapshot, submit
from harness.branch import Git
from harness.campaign import Campaign
from harness.command import DONE, FAILED, ROOT, Parser, main, show_json
from harness.headline import Pair, Scores, Use
from harness.record import Request
from harness.replica import Say
from harness.situation import Situation, look
from harness.text import read_json

NAME = "verify"
EXIT_CODES = "exit codes: 0 done, 1 pairs are missing, 2 refused (a run is in progress, nothing to compare, …)"
EXAMPLES = """\
  tools/verify.py              5 pairs: ten runs
  tools/verify.py --seeds 8    a narrower interval
  tools/verify.py --at 2x      with the double budget: does the gain last?"""
SEEDS = 5
SEEDS_MOST = 99
SIDES = ("baseline", "incumbent")


class Bench(NamedTuple):
    """What all runs of a use share. `pin`: the campaign's, with the use's folder as its tag, and its budget."""

    pin: Campaign
    files: dict[str, dict[str, bytes]]  # by commit: what its runs consist of


def arguments() -> argparse.Namespace:
    parser = Parser("tools/verify.py", __doc__ or "", EXAMPLES, EXIT_CODES)
    parser.add_argument("--seeds", metavar="N", type=int, default=SEEDS, help=f"pairs (default {SEEDS})")
    parser.add_argument("--at", choices=("1x", "2x"), default="1x", help="of the campaign's budget, for both")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    if not 1 <= given.seeds <= SEEDS_MOST:
        parser.error(f"--seeds {given.seeds} is out of range: 1 to {SEEDS_MOST}")
    return given


def body() -> int:
    given = arguments()

    def say(line: str) -> None:
        if not given.json:
            print(line, flush=True)

    with campaign.lock(ROOT):  # which keeps other commands, and so other runs, out
        now = look(ROOT)
        replica.check_quiet(ROOT, now.branch.tag)
        if now.campaign is None or now.incumbent is None:
            raise Refused(f"campaign {now.branch.tag} has no baseline yet: there is nothing to verify")
        submit.check_bench(now.branch.git, now.campaign)
        before, use = begin(now, now.campaign, given.seeds, int(given.at[0]))
        for line in opening(use, now.campaign):
            say(line)
        try:
            for done in carry_out(now, now.campaign, before, use, say):
                use = done
                headline.write(ROOT, now.branch.tag, [*before, use])
        except KeyboardInterrupt:
            say("interrupted: the same command goes on with it")
            for line in headline.lines(use):
                say(line)
            raise
    if given.json:
        found = headline.results(use)
        facts = {**asdict(use), "results": asdict(found) if found else None}
        show_json({"campaign": now.branch.tag, "look": use.number, **facts})
    for line in headline.lines(use):
        say(line)
    return DONE if len(use.whole) >= use.wanted else FAILED


def begin(now: Situation, pinned: Campaign, wanted: int, multiple: int) -> tuple[list[Use], Use]:
    """Earlier uses, and the one to carry out: a new one, or the last where it asked the same and was interrupted.
    It is written down here: from now on it counts as a look. Raises Refused where there is nothing to compare."""
    best = now.incumbent
    first = next(e for e in now.experiments if e.decision is not None and e.decision.status == "keep")
    if best is None or first.decision is None or first.decision.val_bpb is None or first.commit == best.commit:
        raise Refused(
            f"campaign {now.branch.tag} has kept nothing but its baseline, so there is no gain to verify: come "
            "back when it has"
        )
    tag = now.branch.tag
    every, budget = headline.uses(ROOT, tag), headline.times(pinned.budget, multiple)
    going = headline.unfinished(every, first.commit, best.commit, budget)
    if going is not None:  # what was begun belongs to it, also where fewer are asked for now
        wanted, every = max(wanted, len(going.pairs)), every[:-1]
    number = going.number if going else max((use.number for use in every), default=0) + 1
    use = Use(
        number=number,
        begun=going.begun if going else time.time(),
        ended=None,
        wanted=wanted,
        multiple=multiple,
        budget=budget,
        baseline=first.commit,
        incumbent=best.commit,
        claimed=first.decision.val_bpb - best.mean,
        claimed_from=first.decision.val_bpb,
        pairs=going.pairs if going else (),
    )
    headline.write(ROOT, tag, [*every, use])
    return every, use


def opening(use: Use, pinned: Campaign) -> list[str]:
    lines = [
        f"{headline.ordinal(use.number)} look at the held-out text of campaign {pinned.tag}: {use.wanted} pairs "
        f"of baseline {use.baseline[:7]} and incumbent {use.incumbent[:7]}, {use.budget} a run"
    ]
    if pinned.budget.endswith("tok"):
        lines.append("note: the budget is in tokens, in which compute is free: the gain holds for no other budget")
    if use.pairs:
        lines.append(f"it goes on where it was interrupted, in pair {len(use.pairs)}")
    return lines


def carry_out(now: Situation, pinned: Campaign, before: list[Use], use: Use, say: Say) -> Iterator[Use]:
    """The use after each of its runs, the last with its end."""
    bench = lay_out(now.branch.git, pinned, use)
    used = [*(run.request.seed for run in now.runs), *(pair.seed for other in before for pair in other.pairs)]
    drawn = headline.seeds(pinned.tag, use.number, use.wanted, used)
    for number, seed in enumerate(drawn, 1):
        pair = Pair(seed)
        # By turns, so that a machine that becomes slower harms neither of the two.
        for side in SIDES if number % 2 else SIDES[::-1]:
            commit = use.baseline if side == "baseline" else use.incumbent
            place = f"pair {number} of {use.wanted}, seed {seed}, {side}"
            say(f"{place} ({commit[:7]})")
            scores, failed = one(bench, use, number, side, seed, say)
            say(f"  val_bpb {scores.val_bpb:.6f}, held-out {scores.heldout_bpb:.6f}" if scores else f"  {failed}")
            pair = replace(pair, failed=(*pair.failed, failed)) if failed else pair
            pair = replace(pair, baseline=scores) if side == "baseline" else replace(pair, incumbent=scores)
            use = replace(use, pairs=(*use.pairs[: number - 1], pair, *use.pairs[number:]))
            yield use
    yield replace(use, ended=time.time())


def lay_out(git: Git, pinned: Campaign, use: Use) -> Bench:
    """Write the use's pin into its folder, where the runner looks for the campaign of a run."""
    pin = replace(pinned, tag=f"{pinned.tag}/verify/{use.number:02d}", budget=use.budget)
    campaign.pin(ROOT, pin)
    commits = (use.baseline, use.incumbent)
    return Bench(pin, {commit: snapshot.files(git, commit, pinned.bench) for commit in commits})


def one(bench: Bench, use: Use, number: int, side: str, seed: int, say: Say) -> tuple[Scores | None, str]:
    """Its scores, else why it has none. Raises Refused where it can be had later."""
    commit = use.baseline if side == "baseline" else use.incumbent
    files = bench.files[commit]
    request = Request(
        number=number,
        experiment=number,
        attempt=1,
        kind=runner.VERIFY,
        commit=commit,
        parent=use.baseline,
        seed=seed,
        message=f"verify {use.number}: {side}",
        created=time.time(),
        sha256=snapshot.digests(files),
        pin_sha256=campaign.digest(bench.pin),
    )
    path = campaign.folder(ROOT, bench.pin.tag) / f"{number:02d}-{side}"
    done = replica.carry_on(ROOT, path, request, files, say).record
    shutil.rmtree(path / "work", ignore_errors=True)  # weights, which are scored by now, and large
    heldout = (read_json(path / runner.HELDOUT) or {}).get("heldout_bpb")
    if done.outcome != "finished" or done.val_bpb is None:
        return None, f"{side} {done.outcome}: {done.reason}"
    if not isinstance(heldout, (int, float)) or not math.isfinite(heldout):
        return None, f"{side} has no score on the held-out text"
    return Scores(done.val_bpb, float(heldout)), ""


if __name__ == "__main__":
    main(NAME, body, sys.argv)
