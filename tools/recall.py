#!/usr/bin/env python3
"""What was tried before: search past experiments, find what is like an edit, see dead ends and near misses."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness import Refused, branch, campaign, memory, recollection, similar
from harness.branch import TRAIN, Branch, Git
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.memory import Memory
from harness.recollection import Answer
from harness.text import said

NAME = "recall"
NEXT = "tools/status.py"
MOST = 10  # experiments that are shown
EXAMPLES = """\
  tools/recall.py "value embedding decay"     where all of the words stand, else any: message, note, diff
  tools/recall.py --similar                   what was tried that is like the edit in train.py
  tools/recall.py --similar 0012              … like experiment 12 (or a commit, a diff, another train.py)
  tools/recall.py --dead-ends                 what lost for sure, by theme
  tools/recall.py --near-misses --all-tags    what may have gained, in all campaigns of this checkout
  tools/recall.py warmdown --also ~/other     in another checkout's campaigns as well"""


def arguments() -> argparse.Namespace:
    parser = Parser("tools/recall.py", __doc__ or "", EXAMPLES)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("words", nargs="*", default=[], help="words of the idea, of a note, of the diff; a constant")
    form.add_argument("--similar", nargs="?", const="", metavar="DIFF", help="like the edit in train.py, or DIFF")
    form.add_argument("--dead-ends", action="store_true", help="discarded or crashed, with little hope, by theme")
    form.add_argument("--near-misses", action="store_true", help="discarded, though it may have gained")
    parser.add_argument("--all-tags", action="store_true", help="in all campaigns of this checkout")
    parser.add_argument("--also", action="append", default=[], metavar="CHECKOUT", help="and those of another one")
    parser.add_argument("--most", type=int, default=MOST, metavar="N", help=f"show at most N (default {MOST})")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    if given.most < 1:
        parser.error("--most is less than one")
    return given


def body() -> int:
    given = arguments()
    folders = places(given)
    change = edit(given.similar) if given.similar is not None else None
    words = " ".join(given.words)

    def question(index: Memory) -> Answer:
        at = [index.follow(folder, git) for folder, git in folders]
        if change is not None:
            return recollection.alike(index, at, change, given.most)
        if words:
            return recollection.with_words(index, at, words, given.most)
        choose = recollection.near_misses if given.near_misses else recollection.dead_ends
        return choose(index, at, given.most)

    answer = memory.ask(ROOT, question)
    if given.json:
        show_json({**recollection.as_json(answer), "next": NEXT})
        return DONE
    for line in recollection.page(answer, named=len(folders) > 1):
        print(line)
    print(f"next: {NEXT}")
    return DONE


def places(given: argparse.Namespace) -> list[tuple[Path, Git | None]]:
    """The campaigns to look in, runs/<tag> each; git only of our own."""
    try:
        tag = branch.current(ROOT).tag
    except Refused:
        if not (given.all_tags or given.also):
            raise
        tag = ""
    git = Git(ROOT)
    tags = _tags(ROOT) if given.all_tags or given.also else [tag]
    found: list[tuple[Path, Git | None]] = [(campaign.folder(ROOT, name), git) for name in tags]
    for other in given.also:
        root = Path(other).expanduser().resolve()
        if not (root / "runs").is_dir():
            raise Refused(f"--also {said(other, 100)}: there are no runs: name the root of another checkout", NEXT)
        found += [(campaign.folder(root, name), None) for name in _tags(root)]
    return found


def _tags(root: Path) -> list[str]:
    return sorted(path.parent.name for path in (root / "runs").glob("*/campaign.json"))


def edit(named: str) -> similar.Change:
    """The change that --similar names: the edit in train.py, or of an experiment, a commit, a file. Raises
    Refused."""
    at = branch.current(ROOT)
    pin = campaign.load(ROOT, at.tag)
    parent, text = _texts(at, named)
    change = similar.describe(_decoded(parent), _decoded(text), pin.profile if pin else "")
    if change is None:
        raise Refused("what to compare is no Python: mend it first", NEXT)
    if not change:
        told = f"{said(named, 60) or TRAIN} changes nothing that runs: layout, comments and names do not count"
        raise Refused(told, NEXT)
    return change


def _texts(at: Branch, named: str) -> tuple[bytes, bytes]:
    """Before and after."""
    git, incumbent = at.git, branch.train_text(at.git, at.tip)
    if not named:
        if not at.train.is_file():
            raise Refused(f"{TRAIN} is missing: tools/revert.py brings it back", "tools/revert.py")
        return incumbent, at.train.read_bytes()
    path = Path(named).expanduser()
    if path.is_file():
        text = path.read_bytes()
        changed = branch.patched(incumbent, text) if _is_diff(text) else text
        if changed is None:
            raise Refused(f"the diff {said(named, 100)} does not fit the incumbent's {TRAIN}", NEXT)
        return incumbent, changed
    commit = branch.commit_named(git, at.tag, named)
    if commit is None:
        raise Refused(
            f"{said(named, 60)!r} is no experiment's number, commit or file: see {NEXT} for what there is", NEXT
        )
    return branch.train_text(git, f"{commit}^"), branch.train_text(git, commit)


def _is_diff(text: bytes) -> bool:
    return any(line.startswith(b"@@ ") for line in text.split(b"\n"))


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


if __name__ == "__main__":
    main(NAME, body, sys.argv)
