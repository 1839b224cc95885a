#!/usr/bin/env python3
"""What went wrong in a run: likely causes in order, what speaks for each, how to tell them apart, what to edit."""

from __future__ import annotations

import sys

from harness import Refused, campaign
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.diagnosis import report, subject
from harness.situation import look

NAME = "diagnose"
EXAMPLES = """\
  tools/diagnose.py              the newest run of this campaign
  tools/diagnose.py 12           run 0012
  tools/diagnose.py 12 --json    with every number that was measured"""


def body() -> int:
    parser = Parser("tools/diagnose.py", __doc__ or "", EXAMPLES)
    parser.add_argument("run", nargs="?", metavar="RUN", help="its number (default: the newest)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    with campaign.lock(ROOT):
        now = look(ROOT)
    if now.campaign is None:
        raise Refused("no campaign has begun on this branch, so there is no run to diagnose", now.state.next)
    found = subject.diagnose(subject.choose(now.runs, given.run), now.runs, now.campaign)
    if given.json:
        show_json({**report.facts(found), "next": now.state.next})
        return DONE
    for line in report.page(found):
        print(line)
    print(f"next: {now.state.next}")
    return DONE


if __name__ == "__main__":
    main(NAME, body, sys.argv)
