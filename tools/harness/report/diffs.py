"""What each experiment changed in train.py, for a page: one call of git for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..branch import TRAIN, Git
from ..text import printable

LINES_MOST, WIDTH_MOST = 400, 400  # of one diff: lines, and characters of a line
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


def read(git: Git, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The diff of train.py of each commit against its parent, by commit: hunks alone, fit to show. A commit that
    is gone has none."""
    wanted = dict(pairs)
    names = [commit for commit in wanted if commit != wanted[commit] and _COMMIT.fullmatch(commit)]
    there = git.blobs(*(f"{name}^{{commit}}" for commit in names for name in (commit, wanted[commit])))
    asked = [
        f"{commit} {wanted[commit]}\n"
        for commit, own, parent in zip(names, there[::2], there[1::2], strict=True)
        if own and parent
    ]
    if not asked:
        return {}
    shown = git.run(
        "diff-tree", "--stdin", "-p", "--unified=2", "--no-renames", "--no-ext-diff", "--no-color", "--", TRAIN,
        data="".join(asked).encode(),
    )  # fmt: skip
    return split(shown.decode("utf-8", "replace"))


def split(shown: str) -> dict[str, str]:
    """What git printed for many commits, by commit. No line of a diff is a bare hash: each begins with a mark."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    inside = False
    for line in shown.split("\n"):
        if _COMMIT.fullmatch(line):
            lines, inside = found.setdefault(line, []), False
        elif line.startswith("@@") or (inside and line):
            inside = True
            lines.append(line)
        else:
            inside = False
    return {commit: _shown(diff) for commit, diff in found.items()}


def _shown(lines: list[str]) -> str:
    cut = [_line(line) for line in lines[:LINES_MOST]]
    more = len(lines) - LINES_MOST
    return "\n".join([*cut, *([f"({more} more lines)"] if more > 0 else [])])


def _line(line: str) -> str:
    line = line[:1] + printable(line[1:].rstrip("\r").replace("\r", "␍"))
    return line if len(line) <= WIDTH_MOST else f"{line[: WIDTH_MOST - 1]}…"
