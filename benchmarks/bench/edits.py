"""The list of edits that every policy is offered: real ideas of the catalogue, and some that do nothing.

An edit is known by its label, and is worked out against the train.py at hand, as the researcher does: on another
incumbent it may no longer apply. Published campaigns hold many edits that do next to nothing, so a few are here on
purpose: a constant moved by 2 %, a line rewritten to the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from researcher import catalogue
from researcher.catalogue import Catalogue
from researcher.trainfile import Edit, TrainFile, number, written

SHUFFLE = "replay, order of the list"
REAL = 30
NUDGE = 1.02
NUDGED = ("HEAD_LR", "SCALAR_LR", "WARMDOWN", "ROPE_BASE")
REWRITTEN = {
    "same-square": Edit("F.relu(self.up(x)).square()", "F.relu(self.up(x)).pow(2)"),
    "same-batch": Edit("SMALL_TOTAL_BATCH = 2**12", "SMALL_TOTAL_BATCH = 4096"),
    "same-decay": Edit("    return 1 - progress\n", "    return 1.0 - progress\n"),
    "same-sum": Edit("        x = x + self.mlp(norm(x))\n", "        x = self.mlp(norm(x)) + x\n"),
}
NULLS = len(NUDGED) + len(REWRITTEN)


@dataclass(frozen=True)
class Idea:
    """One of the list. `null`: meant to do nothing."""

    label: str
    null: bool


@dataclass(frozen=True)
class Ideas:
    """All that can be tried on a train.py, and what each means for it."""

    catalogue: Catalogue
    profile: str = "small"

    def apply(self, idea: Idea, text: str) -> str | None:
        """The text after the edit; None where it no longer applies, or changes nothing."""
        train = TrainFile(text, self.profile)
        for edit in self._edits(idea, train) or ():
            changed = train.edited(edit)
            if changed is None:
                return None
            train = changed
        return train.text if train.text != text else None

    def _edits(self, idea: Idea, train: TrainFile) -> Sequence[Edit] | None:
        if idea.label in REWRITTEN:
            return [REWRITTEN[idea.label]]
        if idea.label.startswith("nudge-"):
            name = train.full_name(idea.label.removeprefix("nudge-"))
            now = number(train.value(name))
            setting = None if now is None else train.setting(name, written(now * NUDGE, isinstance(now, int)))
            return [setting] if setting else None
        proposal = self.catalogue.propose(idea.label, train)
        return proposal.edits if proposal else None

    def listed(self, text: str, real: int = REAL, order: int = 0, nulls: int = NULLS) -> list[Idea]:
        """`real` ideas of the catalogue and `nulls` that do nothing, in the order with this number."""
        train = TrainFile(text, self.profile)
        labels = [label for idea in self.catalogue.ideas.values() for label in idea.labels(train)]
        chosen = random.Random(SHUFFLE).sample(labels, len(labels))
        ideas = [Idea(label, False) for label in chosen]
        ideas = [idea for idea in ideas if self.apply(idea, text) is not None][:real]
        same = [Idea(f"nudge-{name}", True) for name in NUDGED] + [Idea(label, True) for label in REWRITTEN]
        ideas += [idea for idea in same if self.apply(idea, text) is not None][:nulls]
        random.Random(f"{SHUFFLE} {order}").shuffle(ideas)
        return ideas


def load(path: Path, profile: str = "small") -> Ideas:
    return Ideas(catalogue.load(path), profile)
