"""The catalogue of ideas (ideas.json), and what one of them means for the train.py at hand.

An idea is `{"id", "idea", "reason"}`, a change, and optionally `"source"` (a paper, a repository) and `"fix"`.
A change is one of
  "set": {"CONSTANT": value or [values]}      Several values are tried in turn, one experiment each; several
      constants change together, first value with first value. `DEPTH` means SMALL_DEPTH or FULL_DEPTH where
      train.py has one for the profile. A number or boolean stands for itself, "*1.5" is that many times what
      stands there, any other string is Python source ("'SSSL'", "2**14").
  "edits": [{"find": "…", "replace": "…"}]    Each `find` stands exactly once in train.py.
A fix is `{"what": "…"}` with a change, applied once if the idea crashes.

An attempt at an idea is named by a label from which it can be made again: `id` for edits, `id=value` for
constants, several joined by ` + `, or `perturb:CONSTANT=value`. It stands in brackets at the head of the
description in results.tsv, so that what was tried is known from that file alone.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from researcher.trainfile import Edit, TrainFile, number, written

PERTURB = "perturb:"
JOIN = " + "
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class CatalogueError(Exception):
    """The catalogue file is missing or not as it must be; the message names the file and the idea."""


@dataclass(frozen=True)
class Change:
    """Constants to set (each with its values, as written in the file), or edits; never both."""

    settings: Mapping[str, tuple[str, ...]]
    edits: tuple[Edit, ...]

    def values(self, train: TrainFile) -> list[tuple[str, ...]]:
        """Each constant's values as Python source, factors worked out against what stands in `train`."""
        resolved = []
        for name, values in self.settings.items():
            now = number(train.value(train.full_name(name)))
            resolved.append(tuple(_times(value, now) for value in values))
        return resolved


@dataclass(frozen=True)
class Fix:
    """What to do about a crash that the idea is known to risk."""

    what: str
    change: Change


@dataclass(frozen=True)
class Idea:
    """One entry of the catalogue; `reason` ends with its source."""

    id: str
    idea: str
    reason: str
    change: Change
    fix: Fix | None

    def labels(self, train: TrainFile) -> list[str]:
        """One for each value of the first constant; the bare id for an idea made of edits."""
        values = self.change.values(train)
        return [f"{self.id}={value}" for value in values[0]] if values else [self.id]


@dataclass(frozen=True)
class Proposal:
    """An attempt, resolved: `summary` is one line, `[label] what (CONSTANT old -> new)`."""

    label: str
    summary: str
    reason: str
    edits: tuple[Edit, ...]


class Catalogue:
    """Ideas in the order of their file."""

    def __init__(self, ideas: Sequence[Idea]) -> None:
        self.ideas = {idea.id: idea for idea in ideas}

    def constants(self) -> list[str]:
        """The constants that some idea sets: those that may be turned without knowing what they mean."""
        return list(dict.fromkeys(name for idea in self.ideas.values() for name in idea.change.settings))

    def propose(self, label: str, train: TrainFile) -> Proposal | None:
        """What `label` means for `train`; None where it does not apply or would change nothing."""
        whats: list[str] = []
        reasons: list[str] = []
        edits: list[Edit] = []
        for part in label.split(JOIN):
            name, _, value = part.partition("=")
            if name.startswith(PERTURB):
                change: Change | None = Change({name.removeprefix(PERTURB): (value,)}, ())
                what, reason = "a step at random", "The catalogue is used up: a small step from what is best now."
            elif name in self.ideas:
                idea = self.ideas[name]
                change, what, reason = _chosen(idea.change, value, train), idea.idea, idea.reason
            else:
                return None
            made = _edits(change, train) if change else None
            if made is None:
                return None
            arrows, changed, train = made
            edits += changed
            whats.append(f"{what} ({arrows})" if arrows else what)
            reasons.append(reason)
        return Proposal(label, f"[{label}] {', and '.join(whats)}", " ".join(reasons), tuple(edits))

    def mend(self, label: str, train: TrainFile) -> Proposal | None:
        """The fix of a crashed attempt; None where its idea has none, or the fix is in place already."""
        idea = self.ideas.get(label.partition("=")[0])
        if idea is None or idea.fix is None or JOIN in label:
            return None
        made = _edits(idea.fix.change, train)
        return Proposal(label, f"[{label}] fix: {idea.fix.what}", "", tuple(made[1])) if made else None


def load(path: Path) -> Catalogue:
    """Read and check a catalogue file."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(f"the catalogue {path} cannot be read: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise CatalogueError(f"the catalogue {path} is not a list of ideas")
    ideas: list[Idea] = []
    for position, entry in enumerate(entries, start=1):
        try:
            ideas.append(_idea(entry))
        except (AttributeError, KeyError, SyntaxError, TypeError, ValueError) as error:
            name = entry.get("id", position) if isinstance(entry, dict) else position
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise CatalogueError(f"the catalogue {path}, idea {name}: {why}") from None
    if len({idea.id for idea in ideas}) < len(ideas):
        raise CatalogueError(f"the catalogue {path} has an id twice")
    return Catalogue(ideas)


def _idea(entry: Mapping[str, Any]) -> Idea:
    if not _ID.fullmatch(entry["id"]):
        raise ValueError("an id is lower-case words and digits joined by hyphens")
    reason = f"{entry['reason']} ({entry['source']})" if "source" in entry else entry["reason"]
    fix = Fix(entry["fix"]["what"], _change(entry["fix"])) if "fix" in entry else None
    return Idea(entry["id"], entry["idea"], reason, _change(entry), fix)


def _change(entry: Mapping[str, Any]) -> Change:
    if ("set" in entry) == ("edits" in entry):
        raise ValueError('give either "set" or "edits"')
    if "edits" in entry:
        return Change({}, tuple(Edit(edit["find"], edit["replace"]) for edit in entry["edits"]))
    settings = {name: tuple(_values(value)) for name, value in entry["set"].items()}
    if len({len(values) for values in settings.values()}) != 1:
        raise ValueError("constants that change together need equally many values")
    return Change(settings, ())


def _values(value: object) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        source = one if isinstance(one, str) else repr(one)
        ast.parse(source.removeprefix("*"), mode="eval")
        if "]" in source or JOIN in source:
            raise ValueError(f"{source}: a value cannot hold `]` or `{JOIN}`, which mark labels")
        yield source


def _times(value: str, now: float | int | None) -> str:
    """A value as Python source; a factor of something that is no number stays as it is, and applies nowhere."""
    factor = number(value.removeprefix("*")) if value.startswith("*") else None
    return value if factor is None or now is None else written(now * factor, isinstance(now, int))


def _chosen(change: Change, value: str, train: TrainFile) -> Change | None:
    """The change with one value for each constant; a number that is not listed is a step of the search's own."""
    if not change.settings:
        return change if not value else None
    values = change.values(train)
    if value in values[0]:
        index = values[0].index(value)
        return Change({name: (those[index],) for name, those in zip(change.settings, values, strict=True)}, ())
    if len(change.settings) == 1 and number(value) is not None:
        return Change(dict.fromkeys(change.settings, (value,)), ())
    return None


def _edits(change: Change, train: TrainFile) -> tuple[str, list[Edit], TrainFile] | None:
    """The change in words (constants only), its edits, and the file after them; None where it does not apply."""
    arrows: list[str] = []
    edits: list[Edit] = []
    for edit in change.edits:
        changed = train.edited(edit)
        if changed is None:
            return None
        edits.append(edit)
        train = changed
    for short, values in zip(change.settings, change.values(train), strict=True):
        name = train.full_name(short)
        old, setting = train.value(name), train.setting(name, values[0])
        if old is None or setting is None or values[0].startswith("*"):
            return None
        if old == values[0] or (number(old) is not None and number(old) == number(values[0])):
            continue
        changed = train.edited(setting)
        if changed is None:
            return None
        arrows.append(f"{name} {old} -> {values[0]}")
        edits.append(setting)
        train = changed
    return (", ".join(arrows), edits, train) if edits else None
