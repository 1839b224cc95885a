#!/usr/bin/env python3
"""The campaign's runs, with their curves, for TensorBoard or trackio to show.

Both are extras; where one is missing, the command that installs it is said. What is written is a copy, made anew
by each export: event files in runs/<tag>/tensorboard, or a project in trackio's database on this machine.
"""

from __future__ import annotations

import shlex
import sys

from harness import Refused, branch, environment, export
from harness.command import DONE, ROOT, Parser, main
from harness.report import book

NAME = "export"
EXAMPLES = """\
  tools/export.py tensorboard
  tools/export.py trackio"""


def body() -> int:
    parser = Parser("tools/export.py", __doc__ or "", EXAMPLES)
    parser.add_argument("to", choices=sorted(export.TARGETS), help="whose page will show it")
    given = parser.parse_args()
    target = export.TARGETS[given.to]
    environment.enter(ROOT, target.extra)
    if not environment.has(target.extra):
        own = ROOT / ".tools/uv/bin/uv"  # where set-up found none
        uv = str(own.relative_to(ROOT)) if own.exists() else "uv"
        install = f"{uv} sync --frozen --inexact --no-group torch --extra {target.extra}"  # torch stays as it is
        raise Refused(f"the package {target.extra} is not installed: {install}", install)
    found = book.read(ROOT, branch.current(ROOT).tag)
    if not found.runs:
        raise Refused("no campaign has begun on this branch, so there is nothing to export")
    runs = list(export.exported(found))
    place = target.place.format(folder=found.folder, tag=found.tag)
    target.write(runs, place)
    for name in found.damaged:
        print(f"damaged, and left out: runs/{found.tag}/{name}")
    print(f"{len(runs)} runs of campaign {found.tag}")
    print(f"next: {target.look.format(place=shlex.quote(place.removeprefix(f'{ROOT}/')))}")
    return DONE


if __name__ == "__main__":
    main(NAME, body, sys.argv)
