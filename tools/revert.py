#!/usr/bin/env python3
"""Put the incumbent's train.py back. No commit is lost, and an edit that was never run is saved first."""

from __future__ import annotations

import sys

from harness import campaign, conclude, steering
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.situation import look

NAME = "revert"
EXAMPLES = """\
  tools/revert.py            after a discard or a crash was logged, or to drop an edit
  tools/revert.py --json"""


def body() -> int:
    parser = Parser("tools/revert.py", __doc__ or "", EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    with campaign.lock(ROOT):
        now = look(ROOT)
        saved = conclude.undo(now)
        after = look(ROOT)
    tip = after.branch.tip[:7]
    where = str(saved.relative_to(ROOT)) if saved else None
    diff = steering.changes(after)
    if given.json:
        found = {"saved": where, "incumbent": tip, "program_diff": diff}
        show_json({**found, "state": after.state.name, "next": after.state.next})
        return DONE
    for note in now.notes:
        print(f"note: {note}")
    if where:
        print(f"saved: the edit that was dropped is {where}")
    print(
        f"train.py is the incumbent's ({tip})" if now.edited else f"train.py was the incumbent's already ({tip})"
    )
    for line in steering.told(diff):
        print(line)
    print(f"next: {after.state.next}")
    return DONE


if __name__ == "__main__":
    main(NAME, body, sys.argv)
