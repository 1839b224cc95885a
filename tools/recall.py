#!/usr/bin/env python3
"""What was tried before: search past experiments, find what is like an edit, see dead ends and near misses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Refused, branch, campaign, memory, similar, themes
from harness.branch import TRAIN, Branch, Git
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.memory import Memory, Past
from harness.text import said

NAME = "recall"
NEXT = "tools/status.py"
MOST = 10  # experiments that are shown
LIKE_MOST = 0.75  # distance up to which an experiment is like an edit
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


@dataclass(frozen=True)
class Answer:
    """`found`: experiments with their distance, where they are like something; `note`: a word on all of them."""

    found: list[tuple[float | None, Past]]
    note: str = ""
    total: int = 0
    complaints: tuple[str, ...] = ()


def body() -> int:
    given = arguments()
    folders = places(given)
    change = edit(given.similar) if given.similar is not None else None

    def question(index: Memory) -> Answer:
        campaigns = [index.follow(folder, git) for folder, git in folders]
        answer = look_up(index, given, campaigns, change)
        return Answer(answer.found, answer.note, answer.total, tuple(index.complaints))

    answer = memory.ask(ROOT, question)
    if given.json:
        show_json(as_json(answer))
        return DONE
    for line in page(answer, by_theme=given.dead_ends, tags=len(folders) > 1):
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


def look_up(
    index: Memory, given: argparse.Namespace, campaigns: Sequence[str], change: similar.Change | None
) -> Answer:  # fmt: skip
    if change is not None:
        alike = [pair for pair in index.alike(change, campaigns) if pair[0] <= LIKE_MOST]
        told = f"like: {said(similar.summary(change), 200)}"
        return Answer([(gap, past) for gap, past in alike[: given.most]], told, len(alike))
    if given.words:
        found = index.search(" ".join(given.words), campaigns, given.most)
        return Answer([(None, past) for past in found], total=len(found))
    known = index.all(campaigns)
    if given.near_misses:
        found = sorted((past for past in known if past.is_near_miss), key=lambda past: past.error or 0.0)
    else:
        found = [past for past in reversed(known) if past.is_dead_end]
    return Answer([(None, past) for past in found[: given.most]], totals(known), len(found))


def totals(known: Sequence[Past]) -> str:
    """How often each theme was tried, and kept."""
    counts = []
    for theme in themes.NAMES:
        own = [past for past in known if theme in past.themes]
        kept = sum(past.status == "keep" for past in own)
        if own:
            counts.append(f"{theme} {kept} of {len(own)}")
    return f"kept by theme: {', '.join(counts)}" if counts else ""


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


# ---------------------------------------------------------------------------------------------------
# What is shown. All words in it are the agent's own, or a run's: cleaned, and in a place of their own.


def page(answer: Answer, by_theme: bool, tags: bool) -> list[str]:
    lines = [answer.note] if answer.note else []
    if not answer.found:
        return [*lines, "nothing of that kind was tried yet", *_complaints(answer)]
    groups = {theme: [p for p in answer.found if p[1].themes[0] == theme] for theme in themes.NAMES}
    for theme, own in groups.items() if by_theme else [("", answer.found)]:
        lines += [f"{theme}:"] if theme and own else []
        for gap, past in own:
            lines += entry(gap, past, tags)
    if answer.total > len(answer.found):
        lines.append(f"({answer.total - len(answer.found)} more: --most {answer.total})")
    return [*lines, *_complaints(answer)]


def entry(gap: float | None, past: Past, tags: bool) -> list[str]:
    """An experiment in two or three lines."""
    name = f"{said(past.tag, 40)}/{past.number:04d}" if tags else f"{past.number:04d}"
    score = f" {past.val_bpb:.6f}" if past.val_bpb is not None else ""
    gain = ""
    if past.gain is not None and past.gain_sd is not None:
        gain = f" ({past.gain:+.4f} ± {past.gain_sd:.4f})"
    like = f" {1 - gap:.0%} alike" if gap is not None else ""
    head = f"{name} {past.hash[:7]} {past.status}{score}{gain}{like} [{', '.join(past.themes)}]"
    told = [f"{head} {said(past.description, 120)}", f"     edit: {said(_edit(past), 160)}"]
    if past.status == "crash" and past.reason:
        told.append(f"     crash: {said(past.reason, 120)}")
    return [*told, f"     note: {said(past.note, 200)}"] if past.note else told


def _edit(past: Past) -> str:
    """What it changed: constants by name, of code the first line that came."""
    if past.change is None:
        return "(its texts are gone)"
    told = similar.summary(past.change)
    if all(part.is_setting for part in past.change):
        return told
    came = (line[1:].strip() for line in past.diff.split("\n") if line.startswith("+"))
    return "; ".join([told, *[line for line in came if line][:1]])


def _complaints(answer: Answer) -> list[str]:
    return [f"note: {said(line)}" for line in answer.complaints]


def as_json(answer: Answer) -> dict[str, Any]:
    experiments = [
        {
            "campaign": past.tag,
            "experiment": f"{past.number:04d}",
            "commit": past.hash,
            "status": past.status,
            "val_bpb": past.val_bpb,
            "gain": past.gain,
            "gain_sd": past.gain_sd,
            "themes": list(past.themes),
            "description": said(past.description),
            "note": said(past.note),
            "reason": said(past.reason),
            "edit": said(_edit(past)),
            "diff": [said(line) for line in past.diff.split("\n")[:60]] if past.diff else [],
            **({"distance": round(gap, 4)} if gap is not None else {}),
        }
        for gap, past in answer.found
    ]
    return {
        "experiments": experiments,
        "total": answer.total,
        "note": answer.note,
        "complaints": [said(line) for line in answer.complaints],
        "next": NEXT,
    }


if __name__ == "__main__":
    main(NAME, body, sys.argv)
