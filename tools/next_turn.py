#!/usr/bin/env python3
"""What follows a turn of the model, for the plugin in the client: one JSON object, {"action": …, "text": …}.

action is prompt (send text to the same session), fresh (send it to a new one), stop (research is over, text says
why) or none (not ours to continue). Waits while the model could do nothing: a run is in progress, the disk is
full, its endpoint is away; stderr says what for. Where research ends with an experiment that the model could not
finish, that is finished here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from harness import Refused, campaign, continuation, driver, plan, processes, stint, stopping, wrapup
from harness import branch as git_branch
from harness.command import DONE, ROOT, Parser, main
from harness.continuation import Action, TurnReport

NAME = "next_turn"
EXAMPLES = """\
  tools/next_turn.py --report '{"session": "ses_1", "calls": 3, "error": "", "retryable": true}'
  tools/next_turn.py --begin mar5    research begins, or goes on, in the client: its limits count from here"""


def body() -> int:
    parser = Parser("tools/next_turn.py", __doc__ or "", EXAMPLES)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--report", metavar="JSON", help="how the turn ended")
    form.add_argument("--begin", metavar="TAG", help="begin a stint; an empty TAG: of the campaign checked out")
    given = parser.parse_args()
    if given.begin is not None:
        print(begin(ROOT, given.begin.strip()))
        return DONE
    try:
        report = read(given.report)
    except (ValueError, TypeError) as error:
        parser.error(f"--report: {error}")
    action = decide(ROOT, report)
    print(json.dumps({"action": action.kind, "text": action.text}, ensure_ascii=False))
    return DONE


def read(text: str) -> TurnReport:
    """The report that the plugin gives. Raises ValueError or TypeError for anything else."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return TurnReport(
        session=str(value["session"]) if "session" in value else "",
        calls=int(value.get("calls") or 0),
        stuck=str(value.get("stuck") or ""),
        error=str(value.get("error") or ""),
        retryable=bool(value.get("retryable", True)),
    )


def decide(root: Path, report: TurnReport) -> Action:
    """What follows; none where there is no campaign, or where this client is not to go on with it."""
    if not_ours := taken(root):
        return Action("none", not_ours)
    tag = checked_out(root)
    if tag is None:
        return Action("none")
    parent = os.getppid()

    def orphaned() -> bool:
        if os.getppid() != parent:  # the client that would hear the answer is gone
            sys.exit(DONE)
        return False

    action = continuation.after_turn(root, tag, report, say, orphaned)
    if action.kind != "stop" or processes.STARTED_BY in os.environ:  # scripts/start.sh does the rest itself
        return action
    left = finish(root, orphaned)
    return Action("stop", f"{action.text}; {left}") if left else action


def finish(root: Path, orphaned: Callable[[], bool]) -> str:
    """Bring to rest what the model left in hand; returns what had to stay open, empty where nothing had."""
    said = []

    def tell(line: str) -> None:
        said.append(line)
        say(line)

    try:
        done = wrapup.finish(root, dict(os.environ), False, tell, lambda line: (orphaned(), None)[1])
    except (Refused, OSError) as refusal:
        return f"what is in hand stays open: {refusal}"
    return "" if done or not said else said[-1]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def begin(root: Path, tag: str) -> str:
    """Take STOP back and begin a stint; returns what the model, and the person, read about it."""
    tag = tag or checked_out(root) or ""
    if not tag:
        return "No campaign is checked out."
    if not plan.good_tag(tag):
        return f"{tag!r} is no tag, which is letters, digits, `.`, `_` and `-`, such as mar5."
    if not_ours := taken(root):
        return f"Leave it alone: {not_ours}."
    stopping.withdraw(root)
    if (campaign.folder(root, tag) / "campaign.json").exists():
        stint.begin(root, tag, started_by="client")
        continuation.forget(root, tag)
    return f"The campaign is {tag}."


def checked_out(root: Path) -> str | None:
    """The tag of the campaign whose branch is checked out."""
    try:
        return git_branch.current(root).tag
    except Refused:
        return None


def taken(root: Path) -> str:
    """Why the client that asks has no say in what goes on in this checkout; empty where it has."""
    at_work, launched_by = driver.at_work(root), os.environ.get(processes.STARTED_BY)
    if at_work is None:  # a client may outlive the start that launched it
        return "the scripts/start.sh that launched this client is gone" if launched_by else ""
    if launched_by == str(at_work.pid):
        return ""
    return f"scripts/start.sh is at work on the campaign {at_work.tag}, and this window leaves it alone"


if __name__ == "__main__":
    main(NAME, body, sys.argv)
