"""Five whys, where runs crash twice in a row: the questions in their order, with what is known filled in.

A crash that is mended by guessing comes back. The first three whys are facts of the bench (what stopped it, at
which line, what the edit did there), the fourth is what the last change did about it, and the last is the reader's
to answer before another run is spent.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .branch import TRAIN
from .text import said

if TYPE_CHECKING:
    from .situation import Situation

LINE = 100  # characters of a line of train.py
_PLACE = re.compile(r"train\.py,? line (\d{1,6})")


@dataclass(frozen=True)
class Crash:
    """One run. `cause`: as the bench recorded it; `text`: its train.py, `before`: the incumbent's."""

    run: str
    cause: str
    text: str
    before: str

    @property
    def line(self) -> int | None:
        """Of train.py, where it stopped, counted from 1."""
        match = _PLACE.search(self.cause)
        number = int(match[1]) if match else 0
        return number if 0 < number <= len(self.text.splitlines()) else None


def lines(first: Crash, second: Crash) -> list[str]:
    """The five, a line each. `second` crashed right after `first`."""
    same = _kind(first.cause) == _kind(second.cause)
    before = "the same" if same else f"another cause: {said(first.cause, 100)}"
    return [
        f"five whys, as runs {first.run} and {second.run} both crashed: answer them before the next run",
        f"  1 why did it stop? {said(second.cause, 160) or 'nothing was printed'}",
        f"  2 why there? {_where(second)}",
        f"  3 why is that so? the edit: {_edit(second.before, second.text, second.line)}",
        f"  4 why again? run {first.run} stopped of {before}; since then: {_edit(first.text, second.text, None)}",
        "  5 why was it not seen before the run? yours to answer, in --note: shape, size, type, or a wrong belief",
    ]


def _kind(cause: str) -> str:
    """What a cause says, without its numbers and place."""
    return re.sub(r"\d+(\.\d+)?", "#", cause.partition(f" ({TRAIN}")[0])


def _where(crash: Crash) -> str:
    if crash.line is None:
        return f"no line of {TRAIN} is named; the log's last frames are in runs/*/{crash.run}-*/run.log"
    return f"{TRAIN}:{crash.line} is `{_quoted(crash.text.splitlines()[crash.line - 1])}`"


def _edit(before: str, after: str, line: int | None) -> str:
    """The changed line that is nearest `line` (else the first), with what it was, and how many more there are."""
    old, new = before.splitlines(), after.splitlines()
    blocks = [
        code
        for code in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if code[0] != "equal"
    ]
    if not blocks:
        return "nothing changed"
    at = 0 if line is None else min(range(len(blocks)), key=lambda b: _distance(blocks[b], line - 1))
    _, i, j, k, end = blocks[at]
    parts = [f"- {_quoted(text)}" for text in old[i:j][:1]] + [f"+ {_quoted(text)}" for text in new[k:end][:1]]
    more = sum(max(block[2] - block[1], block[4] - block[3]) for block in blocks) - 1
    rest = f" (and {more} more line{'s' * (more != 1)})" if more > 0 else ""
    away = _distance(blocks[at], line - 1) if line is not None else 0
    far = f", {away} line{'s' * (away != 1)} from there" if away else ""
    return f"{TRAIN}:{k + 1} `{' | '.join(parts)}`{rest}{far}"


def _distance(block: tuple[str, int, int, int, int], line: int) -> int:
    _, _, _, start, end = block
    return 0 if start <= line < end else min(abs(line - start), abs(line - end + 1))


def _quoted(line: str) -> str:
    return said(line.strip(), LINE)


def of(now: Situation) -> list[str]:
    """The five whys of a campaign whose last two runs crashed, until another run is through; else nothing."""
    last = [run for run in now.runs if run.record is not None][-2:]
    if len(last) < 2 or now.state.name in ("running", "interrupted"):
        return []
    if any(run.record is None or run.record.outcome != "crashed" for run in last):
        return []
    names = [f"{of}:{TRAIN}" for run in last for of in (run.request.commit, run.request.parent)]
    texts = now.branch.git.texts(*names)
    first, second = (
        Crash(run.name, run.record.reason if run.record else "", texts[2 * at], texts[2 * at + 1])
        for at, run in enumerate(last)
    )
    return lines(first, second)
