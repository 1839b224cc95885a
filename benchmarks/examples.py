#!/usr/bin/env python3
"""Plays the manual's worked examples and writes their pages, references/examples/*.md.

Each is a real session: a throw-away clone of HEAD in .demo/examples/, the real train.py on the small profile, the
real opencode client, and a scripted model (benchmarks/worked/stories.py) that reads what the tools print and
decides by it. Scores and times stand in the page as they came. What the runs left goes to
tests/examples/recorded/, with which the tests hold the pages against what the tools print.

A page that would not show what it is there for (a sweep without a winner, a run that does not diverge) is not
written; then a story or a budget has to change with train.py.

examples:
  .venv/bin/python benchmarks/examples.py                  all three
  .venv/bin/python benchmarks/examples.py --only sweep     one of them: one-experiment, sweep, diverged

exit code: 0 written, 1 a session does not show what it should, 2 it could not begin or broke off
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from harness import Refused, demo, preparation  # noqa: E402
from harness.text import write_whole  # noqa: E402

from benchmarks.worked.page import page  # noqa: E402
from benchmarks.worked.session import Played, play  # noqa: E402
from benchmarks.worked.stories import STORIES  # noqa: E402

PAGES = ROOT / "references" / "examples"
RECORDED = ROOT / "tests" / "examples" / "recorded"
BUDGET = "100000tok"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[story.name for story in STORIES], help="one of them")
    parser.add_argument("--budget", default=BUDGET, help=f"of each run (default: {BUDGET})")
    given = parser.parse_args()
    place = demo.Place(ROOT, ".demo/examples")
    failed = False
    try:
        preparation.check_budget(given.budget)
        with demo.only_one(place):
            for number, story in enumerate(STORIES, 1):
                if given.only in (None, story.name):
                    begun = time.monotonic()
                    played = play(place, story, given.budget, print)
                    lacking = story.lacking(played.steps)
                    if lacking:
                        print(f"{story.name}: not written: {'; '.join(lacking)}", file=sys.stderr)
                        failed = True
                        continue
                    write(number, played)
                    print(f"{story.name}: written, {time.monotonic() - begun:.0f} s")
    except Refused as refusal:
        print(f"examples: {refusal}", file=sys.stderr)
        return 2
    return int(failed)


def write(number: int, played: Played) -> None:
    """The page, and what its runs left: a line for each, so that a difference can be read."""
    name = played.story.name
    PAGES.mkdir(exist_ok=True)
    RECORDED.mkdir(exist_ok=True)
    write_whole(PAGES / f"{name}.md", page(number, played))
    head = {"tag": played.story.tag, "budget": played.budget, "constants": dict(played.constants)}
    lines = [json.dumps(head, ensure_ascii=False), *(json.dumps(run, ensure_ascii=False) for run in played.runs)]
    write_whole(RECORDED / f"{name}.jsonl", "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
