#!/usr/bin/env python3
"""The campaign on one page: the best against the baseline, what was kept, the last experiments, what it cost."""

from __future__ import annotations

import sys

from harness import campaign, summary
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.situation import look

NAME = "report"
EXAMPLES = """\
  tools/report.py
  tools/report.py --json"""


def body() -> int:
    parser = Parser("tools/report.py", __doc__ or "", EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    with campaign.lock(ROOT):
        now = look(ROOT)
    if given.json:
        show_json(summary.facts(now))
        return DONE
    for line in summary.page(now):
        print(line)
    return DONE


if __name__ == "__main__":
    main(NAME, body, sys.argv)
