"""When research treads on the spot, and where to turn: no keep for long, or one theme over and over.

Pure: from what was tried, what past experiments offer (`prospects`), and the catalogue (references/ideas.md).
Broadening where it stagnates is what beat more elaborate searches in FML-bench (arXiv 2605.17373).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import themes

WITHOUT_KEEP = 8  # experiments in a row
ONE_THEME = 5  # experiments in a row on one theme, none of them kept
CATALOGUE = "references/ideas.md"

RADICAL = (
    "half the depth at twice the width, with the learning rates open again",
    "a quarter of the batch, and learning rates and decay to match",
    "another optimizer for the matrices, tuned in two experiments before it is judged",
    "all windows short but one, and the time saved put into width",
    "a value or bigram embedding for every layer, and a shallower stack to pay for it",
    "the MLP and the attention replaced by one mechanism of half the cost",
)


@dataclass(frozen=True)
class Tried:
    """A decided experiment. `status`: keep, discard or crash."""

    status: str
    themes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Idea:
    """A row of the catalogue. `scale`: full, small or both."""

    theme: str
    what: str
    gain: str
    scale: str


@dataclass(frozen=True)
class Stagnation:
    """`since`: experiments without a keep; `theme`: what the last ONE_THEME all were about, if one thing."""

    since: int
    theme: str | None


def stagnation(tried: Sequence[Tried]) -> Stagnation | None:
    """Whether research stagnates, after these experiments, oldest first."""
    since = without_keep(tried)
    last = [set(one.themes) - {themes.OTHER} for one in tried[-ONE_THEME:]]
    shared = set.intersection(*last) if len(last) == ONE_THEME and since >= ONE_THEME else set()
    theme = min(shared, key=themes.NAMES.index) if shared else None
    return Stagnation(since, theme) if since >= WITHOUT_KEEP or theme else None


def without_keep(tried: Sequence[Tried]) -> int:
    """Experiments since the last keep."""
    return next((at for at, one in enumerate(reversed(tried)) if one.status == "keep"), len(tried))


def answer(
    stuck: Stagnation, tried: Sequence[Tried], offers: Sequence[str], ideas: Sequence[Idea], profile: str
) -> str:
    """What to do about it, in a line. `offers`: lines of `prospects`, of which one to combine or to leave out may
    be the answer. Asked again after another experiment, it says something else."""
    facts = f"{stuck.since} experiments without a keep"
    if stuck.theme:
        facts += f", the last {ONE_THEME} all on {stuck.theme}: leave it"
    ways = [other_theme(stuck, tried, ideas, profile)]
    if not stuck.theme:  # that calls for another theme, whatever else there is
        ways += [one for one in offers if one.startswith("combine ")]
        ways.append(f"be radical once: {RADICAL[len(tried) % len(RADICAL)]}")
        ways += [one for one in offers if one.startswith("try without ")] or [
            "delete the part of train.py that you trust least: equal and shorter is a keep"
        ]
    way = ways[(stuck.since - WITHOUT_KEEP) % len(ways)]
    return f"{facts}. {way[0].upper()}{way[1:]}"


def other_theme(stuck: Stagnation, tried: Sequence[Tried], ideas: Sequence[Idea], profile: str) -> str:
    """The theme that was tried least, and an idea for it."""
    times = Counter(theme for one in tried for theme in one.themes)
    fitting = [idea for idea in ideas if idea.scale in ("both", profile)]
    open_ones = [name for name in themes.TABLE if name != stuck.theme]
    offered = [name for name in open_ones if any(idea.theme == name for idea in fitting)]
    theme = min(offered or open_ones, key=lambda name: times[name])
    listed = [idea for idea in fitting if idea.theme == theme]
    count = f"tried {times[theme]} times" if times[theme] else "not tried yet"
    told = f"change the kind of idea: {theme} ({count})"
    if not listed:
        return told
    idea = listed[times[theme] % len(listed)]
    return f"{told}, such as {idea.what} ({idea.gain}; {CATALOGUE})"


_SECTION = re.compile(r"^### +(.+?)\s*$")


def read(path: Path) -> list[Idea]:
    """The ideas of a catalogue, none where it is missing."""
    try:
        return catalogue(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return []


def catalogue(text: str) -> list[Idea]:
    """The ideas in its text: under `### theme` the rows `| idea | gain | cost | scale | source |`."""
    return list(_ideas(text))


def _ideas(text: str) -> Iterator[Idea]:
    theme = ""
    for line in text.split("\n"):
        if line.startswith("#"):
            section = _SECTION.match(line)
            theme = section[1].lower() if section and section[1].lower() in themes.TABLE else ""
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if theme and len(cells) == 5 and cells[3] in ("full", "small", "both"):
            yield Idea(theme, cells[0], cells[1], cells[3])
