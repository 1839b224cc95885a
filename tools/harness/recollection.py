"""What is recalled of past experiments, and how it is shown.

All words in it are the agent's own, or a run's: cleaned, and in a place of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import similar, themes
from .memory import Memory, Past
from .similar import Change
from .text import said

LIKE_MOST = 0.75  # distance up to which an experiment is like an edit


@dataclass(frozen=True)
class Answer:
    """`found`: experiments, with their distance where they are like an edit; `note`: a word on all of them;
    `total`: how many there are, shown or not; `complaints`: records that cannot be read."""

    found: list[tuple[float | None, Past]]
    total: int
    note: str = ""
    by_theme: bool = False
    complaints: tuple[str, ...] = ()


def alike(index: Memory, campaigns: Sequence[str], change: Change, most: int) -> Answer:
    """Experiments that are like a change, the nearest first."""
    found: list[tuple[float | None, Past]] = [
        (gap, past) for gap, past in index.alike(change, campaigns) if gap <= LIKE_MOST
    ]
    told = f"like: {said(similar.one_line(change), 200)}"
    return Answer(found[:most], len(found), told, complaints=tuple(index.complaints))


def with_words(index: Memory, campaigns: Sequence[str], words: str, most: int) -> Answer:
    """Experiments in which the words stand."""
    found = index.search(words, campaigns, most)
    return Answer([(None, past) for past in found], len(found), complaints=tuple(index.complaints))


def near_misses(index: Memory, campaigns: Sequence[str], most: int) -> Answer:
    """What was discarded and may have gained, the likeliest first."""
    known = index.all(campaigns)
    found = sorted((past for past in known if past.is_near_miss), key=lambda past: past.error or 0.0)
    return Answer([(None, past) for past in found[:most]], len(found), complaints=tuple(index.complaints))


def dead_ends(index: Memory, campaigns: Sequence[str], most: int) -> Answer:
    """What was discarded or crashed with little hope, the newest first; shown by theme."""
    known = index.all(campaigns)
    found = [past for past in reversed(known) if past.is_dead_end]
    shown = [(None, past) for past in found[:most]]
    return Answer(list(shown), len(found), _totals(known), True, tuple(index.complaints))


def _totals(known: Sequence[Past]) -> str:
    """How often each theme was tried, and kept."""
    counts = []
    for theme in themes.NAMES:
        own = [past for past in known if theme in past.themes]
        kept = sum(past.status == "keep" for past in own)
        if own:
            counts.append(f"{theme} {kept} of {len(own)}")
    return f"kept by theme: {', '.join(counts)}" if counts else ""


def page(answer: Answer, named: bool) -> list[str]:
    """The answer, a line each. `named`: with the campaign's tag."""
    lines = [answer.note] if answer.note else []
    if not answer.found:
        return [*lines, "nothing of that kind was tried yet", *_complaints(answer)]
    groups = {theme: [p for p in answer.found if p[1].themes[0] == theme] for theme in themes.NAMES}
    for theme, own in groups.items() if answer.by_theme else [("", answer.found)]:
        lines += [f"{theme}:"] if theme and own else []
        for gap, past in own:
            lines += _entry(gap, past, named)
    if answer.total > len(answer.found):
        lines.append(f"({answer.total - len(answer.found)} more: --most {answer.total})")
    return [*lines, *_complaints(answer)]


def _entry(gap: float | None, past: Past, named: bool) -> list[str]:
    """An experiment in two or three lines."""
    name = f"{said(past.tag, 40)}/{past.number:04d}" if named else f"{past.number:04d}"
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
    told = similar.one_line(past.change)
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
    }
