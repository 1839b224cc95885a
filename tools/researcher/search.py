"""Which idea to try next: a pure function of what was tried and of what stands in train.py now.

In this order: what the person names in program.md, the neighbours of what won, the catalogue, pairs of near
misses, and, so that it never runs dry, small steps at random (seeded by the number of rows, so that the same
campaign always takes the same step).
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from researcher.catalogue import JOIN, PERTURB, Catalogue, Proposal
from researcher.trainfile import TrainFile, number, written

NEAR_MISSES = 8  # how many of the best discards are combined with each other
_ROW = re.compile(r"^(\S+)\t([\d.]+)\t[\d.]+\t(keep|discard|crash)\t(.*)$", re.MULTILINE)
_LABEL = re.compile(r"\[([^\]]+)\]")
_ARROW = re.compile(r"\b([A-Z][A-Z0-9_]*) (\S+) -> ([^\s,)]+)")  # as a proposal's summary has it


@dataclass(frozen=True)
class Row:
    """A line of results.tsv; `label` is empty where it is none of ours (the baseline)."""

    commit: str
    val_bpb: float
    status: str
    description: str

    @property
    def label(self) -> str:
        found = _LABEL.match(self.description)
        return found[1] if found else ""


def rows(text: str) -> list[Row]:
    """The rows of results.tsv that stand anywhere in `text`."""
    found = _ROW.findall(text)
    return [Row(commit, float(bpb), status, description) for commit, bpb, status, description in found]


def choose(
    catalogue: Catalogue, train: TrainFile, tried: Sequence[Row], program: str, spoilt: Collection[str]
) -> Proposal | None:
    """The next proposal; None only where nothing in `train` can be changed.

    tried    the rows of results.tsv, oldest first
    program  program.md: ideas named in brackets, `[rope-base]`, come first; those under `Leave alone`, never
    spoilt   labels that turned out not to be possible
    """
    wanted, unwanted = _steering(program)
    done = {row.label for row in tried} | set(spoilt)
    ideas = [idea for idea in catalogue.ideas.values() if idea.id not in unwanted]
    listed = [idea.labels(train) for idea in ideas]

    def candidates() -> Iterator[str]:
        for idea, labels in zip(ideas, listed, strict=True):
            if idea.id in wanted:
                yield from labels
        for row in reversed(tried):
            if row.status == "keep":
                yield from _beyond(catalogue, row, train)
        for turn in range(max(map(len, listed), default=0)):  # every idea's first value before anyone's second
            for labels in listed:
                yield from labels[turn : turn + 1]
        yield from _pairs(tried)
        yield from _perturbations(catalogue.constants(), train, len(tried))

    for label in candidates():
        if label not in done and not unwanted & {part.partition("=")[0] for part in label.split(JOIN)}:
            proposal = catalogue.propose(label, train)
            if proposal is not None and not _has_been(proposal, tried):
                return proposal
    return None


def _has_been(proposal: Proposal, tried: Sequence[Row]) -> bool:
    """Whether it only gives constants values that they had before; two ideas together are new all the same."""
    seen = {place for row in tried for places in _places(row.description) for place in places}
    back = {after for _, after in _places(proposal.summary)}
    return bool(back) and back <= seen and JOIN not in proposal.label


def _places(summary: str) -> list[tuple[tuple[str, object], tuple[str, object]]]:
    """Each constant that changed, with its value before and after."""
    found = _ARROW.findall(summary)
    return [((name, number(old) or old), (name, number(new) or new)) for name, old, new in found]


def _steering(program: str) -> tuple[set[str], set[str]]:
    """The ids that program.md asks for, and those under its heading `Leave alone`; comments do not count."""
    program = re.sub(r"<!--.*?-->", "", program, flags=re.DOTALL)
    alone = re.search(r"^#+ leave alone.*?(?=^#|\Z)", program, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    unwanted = set(_LABEL.findall(alone[0])) if alone else set()
    return set(_LABEL.findall(program)) - unwanted, unwanted


def _beyond(catalogue: Catalogue, row: Row, train: TrainFile) -> Iterator[str]:
    """One step further than a number that won: the next listed value on that side, else as far again."""
    name = row.label.partition("=")[0]
    idea, arrow = catalogue.ideas.get(name), _ARROW.search(row.description)
    if idea is None or arrow is None or len(idea.change.settings) != 1:
        return
    (constant,), (values,) = idea.change.settings, idea.change.values(train)
    old, new = number(arrow[2]), number(arrow[3])
    if old is None or new is None or number(train.value(train.full_name(constant))) != new:
        return
    listed = [v for v in map(number, values) if v is not None and (v > new > old or v < new < old)]
    if listed:
        step: float | int = min(listed, key=lambda v: abs(v - new))
    elif old and new / old > 0:
        step = new * new / old
    else:
        step = new + new - old
    yield f"{name}={written(step, isinstance(new, int))}"


def _pairs(tried: Sequence[Row]) -> Iterator[str]:
    """Two discards at a time, those nearest to a keep first."""
    misses = [row for row in tried if row.status == "discard" and row.label and JOIN not in row.label]
    misses = [row for row in misses if row.val_bpb > 0]  # one that was stopped has no score
    misses = [row for row in misses if not row.label.startswith(PERTURB)]
    misses = sorted(misses, key=lambda row: row.val_bpb)[:NEAR_MISSES]
    for late in range(1, len(misses)):
        for early in range(late):
            pair = sorted((misses[early].label, misses[late].label))
            if pair[0].partition("=")[0] != pair[1].partition("=")[0]:
                yield JOIN.join(pair)


def _perturbations(constants: Sequence[str], train: TrainFile, seed: int) -> Iterator[str]:
    """Steps at random: a power of two is halved or doubled, every other number moves by up to a half."""
    dice = random.Random(seed)
    known = [(name, value) for name in constants if (value := number(train.value(train.full_name(name))))]
    for _ in range(1000 if known else 0):
        name, value = dice.choice(known)
        power_of_two = isinstance(value, int) and value >= 8 and value & (value - 1) == 0
        factor = dice.choice((0.5, 2.0)) if power_of_two else dice.uniform(0.5, 1.5)
        yield f"{PERTURB}{name}={written(value * factor, isinstance(value, int))}"
