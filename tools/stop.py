#!/usr/bin/env python3
"""End research in good order: the experiment in hand is finished (or discarded with --now) and logged; no other
begins. For the person; a file STOP at the root asks for the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from harness import Refused, attend, campaign, driver, stopping
from harness.command import DONE, FAILED, ROOT, Parser, main, show_json
from harness.driver import Driver
from harness.situation import Situation, look

NAME = "stop"
EXAMPLES = """\
  tools/stop.py               once the experiment in hand is finished and logged
  tools/stop.py --now         at once: the run in progress is discarded, and logged as that
  tools/stop.py --withdraw    go on after all"""


def body() -> int:
    parser = Parser("tools/stop.py", __doc__ or "", EXAMPLES)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--now", action="store_true", help="discard the run in progress instead of finishing it")
    form.add_argument("--withdraw", action="store_true", help="take the request back")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    if given.withdraw:
        there = stopping.withdraw(ROOT)
        tell(given.json, "STOP is taken back: research may go on" if there else "there is no STOP to take back")
        if given.json:
            show_json({"stop": None, "withdrawn": there})
        return DONE
    stopping.ask(ROOT, given.now)
    try:
        with campaign.lock(ROOT):
            now = look(ROOT)
    except (Refused, OSError) as refusal:  # STOP counts all the same
        tell(given.json, f"STOP is set; where the campaign stands cannot be told: {refusal}")
        if given.json:
            show_json({"stop": stopping.ASKED, "now": given.now, "error": str(refusal)})
        return DONE
    started = driver.at_work(ROOT)
    for line in forecast(now, started, given.now):
        tell(given.json, line)
    code = DONE
    if given.now and not started:
        code = DONE if finish(given.json) else FAILED
        with campaign.lock(ROOT):
            now = look(ROOT)
    if given.json:
        show_json(
            {"stop": stopping.ASKED, "now": given.now, "started": started is not None, "state": now.state.name}
        )
    return code


def tell(quiet: bool, line: str) -> None:
    if not quiet:
        print(line, flush=True)


def forecast(now: Situation, started: Driver | None, at_once: bool) -> list[str]:
    """What will happen, and when."""
    if now.newest is None or now.newest.settled:
        hand = "no experiment is in hand: nothing is lost"
        if now.state.name == "edited":
            hand += "; the edit of train.py stays as it is"
    elif now.state.name == "running":
        run = now.newest.last
        done = "is discarded, and logged as that" if at_once else "is finished and logged first"
        hand = f"run {run.name} is in progress ({attend.progress(run.path)}): it {done}"
    elif at_once:
        hand = f"run {now.newest.last.name} is not logged yet ({now.state.name}): that is done now"
    else:
        hand = f"run {now.newest.last.name} is not logged yet ({now.state.name}): that is done first"
    lines = ["STOP is set: no further experiment begins", hand]
    if not started and not at_once and now.newest is not None and not now.newest.settled:
        lines.append("where no agent is at work to do that: tools/stop.py --now, or scripts/start.sh to go on")
    if started:
        lines.append(
            f"scripts/start.sh is at work on the campaign {started.tag}, and ends once nothing is in hand"
        )
    elif not at_once:
        lines.append("an agent that is at work is told at its next step, and ends once nothing is in hand")
    lines.append("to go on after all: tools/stop.py --withdraw")
    if not started:
        lines.append("STOP stays until tools/stop.py --withdraw or the next scripts/start.sh takes it away")
    return lines


def finish(quiet: bool) -> bool:
    """Bring the campaign to rest by ourselves; whether nothing is left open."""
    from harness import wrapup  # not needed otherwise

    say: Callable[[str], None] = lambda line: tell(quiet, f"  {line}")  # noqa: E731
    return bool(wrapup.finish(ROOT, dict(os.environ), now=True, say=say))


if __name__ == "__main__":
    main(NAME, body, sys.argv)
