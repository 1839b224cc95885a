"""The four phases of a campaign, and whether each is done or has failed: a pure function from facts.

assess, plan, execute, review, as the agent's manual has them. `done` and `fail` are two questions, not one: a
campaign can have logged every run and still try the same idea twice.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .branch import TRAIN
from .show import one_line
from .text import said

if TYPE_CHECKING:
    from .experiment import Experiment
    from .situation import Situation

RECENT = 5  # experiments by which a direction is judged
FINE = 0.10  # relative change of a constant below which it is its third decimal, rather than another value
NOTES = 10  # of so many logs one at least has a note
_CONSTANT = re.compile(r"([A-Za-z_]\w*)\s*(?::[^=]*)?=\s*(-?[0-9][0-9_]*(?:\.[0-9]*)?(?:e-?[0-9]+)?)\s*(?:#.*)?")
_PLACE = re.compile(r"(?:def|class)\s+(\w+)|([A-Za-z_]\w*)\s*(?::[^=]*)?=")


@dataclass(frozen=True)
class Change:
    """What an experiment changed: the names of the places, and the step, where it is one number alone (0.1: from
    1.0 to 1.1)."""

    places: frozenset[str]
    step: float | None = None


@dataclass(frozen=True)
class Facts:
    """`prepared`: data and environment are pinned; `tried`: decided experiments, the baseline is none; `state`: by
    name; `recent`: what the last RECENT changed; `notes`: of the last NOTES logs, whether each says what was
    learned; `twice`: pairs of experiments with one idea, by number."""

    prepared: bool = False
    baseline: bool = False
    tried: int = 0
    state: str = "new"
    recent: tuple[Change, ...] = ()
    notes: tuple[bool, ...] = ()
    twice: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Phase:
    """`told`: the fact that `done` follows from; `fail`: what went wrong, empty where nothing did."""

    name: str
    done: bool
    told: str
    fail: str = ""


def of(facts: Facts) -> list[Phase]:
    """All four, in their order."""
    return [_assess(facts), _plan(facts), _execute(facts), _review(facts)]


def lines(phases: Sequence[Phase]) -> list[str]:
    """A line each."""
    marks = {True: "done", False: "open"}
    return [
        f"phase {one.name + ':':<9} {'fail' if one.fail else marks[one.done]}  {one.fail or one.told}"
        for one in phases
    ]


def _assess(facts: Facts) -> Phase:
    if not facts.prepared:
        return Phase("assess", False, "no campaign yet: scripts/run_experiment.sh --baseline begins it")
    if not facts.baseline:
        fail = f"no baseline, and {facts.tried} experiments" if facts.tried else ""
        return Phase("assess", False, "data and environment are pinned; the baseline is not logged yet", fail)
    return Phase("assess", True, "data and environment are pinned, the baseline is logged")


def _plan(facts: Facts) -> Phase:
    recent, count = facts.recent, len(facts.recent)
    if not recent:
        return Phase("plan", False, "no idea has been tried yet")
    places = frozenset[str]().union(*(change.places for change in recent))
    told = f"the last {count} experiments touched {len(places)} place{'s' * (len(places) != 1)} of {TRAIN}"
    fine = [change for change in recent if change.step is not None and abs(change.step) < FINE]
    if count >= RECENT and len(places) == 1 and len(fine) == count:
        name = said(next(iter(places)), 60)
        return Phase("plan", False, told, f"the last {count} experiments are third decimals of {name} alone")
    return Phase("plan", len(places) > 1, told)


def _execute(facts: Facts) -> Phase:
    if facts.state == "logged":
        return Phase("execute", False, "", "a discard or a crash is not reverted")
    if facts.state in ("finished", "interrupted", "provisional"):
        return Phase("execute", False, "", f"an experiment is {facts.state}, and not logged to its end")
    if facts.state == "clean" and facts.baseline:
        return Phase("execute", True, f"every run is logged ({facts.tried}), the branch is at the incumbent")
    return Phase("execute", False, f"state {facts.state}")


def _review(facts: Facts) -> Phase:
    noted = sum(facts.notes)
    told = f"{noted} of the last {len(facts.notes)} logs say what was learned" if facts.notes else "nothing logged"
    if facts.twice:
        first, second = facts.twice[-1]
        more = f", and {len(facts.twice) - 1} more such" if len(facts.twice) > 1 else ""
        return Phase("review", False, told, f"the same idea twice: {first:04d} and {second:04d}{more}")
    if len(facts.notes) >= NOTES and not noted:
        return Phase("review", False, told, f"none of the last {len(facts.notes)} logs says what was learned")
    return Phase("review", noted > 0, told)


# ---------------------------------------------------------------------------------------------------
# From a campaign


def gather(now: Situation) -> Facts:
    """The facts of a campaign; asks git for the few programs that the last experiments changed."""
    own = [one for one in now.experiments if one.decision and not one.is_baseline]
    names = [f"{commit}:{TRAIN}" for one in own[-RECENT:] for commit in (one.candidate.request.parent, one.commit)]
    texts = now.branch.git.texts(*names)
    return Facts(
        prepared=now.campaign is not None,
        baseline=now.incumbent is not None,
        tried=len(own),
        state=now.state.name,
        recent=tuple(change(*pair) for pair in zip(texts[::2], texts[1::2], strict=True)),
        notes=tuple(bool(one.decision and one.decision.note.strip()) for one in own[-NOTES:]),
        twice=tuple(twice(own)),
    )


def change(before: str, after: str) -> Change:
    """What an edit is about."""
    old, new = before.splitlines(), after.splitlines()
    places: set[str] = set()
    steps: list[float | None] = []
    for tag, i, j, k, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        places.add(_place(new, k) if k < end else _place(old, i))
        steps.append(_step(old[i:j], new[k:end]))
    return Change(frozenset(places), steps[0] if len(steps) == 1 else None)


def _place(lines: Sequence[str], at: int) -> str:
    """The constant, function or class that line `at` belongs to."""
    for line in reversed(lines[: at + 1]):
        match = _PLACE.match(line)
        if match:
            return match[1] or match[2]
    return TRAIN


def _step(old: Sequence[str], new: Sequence[str]) -> float | None:
    """The relative change, where one constant got another number and nothing else changed."""
    if len(old) != 1 or len(new) != 1:
        return None
    before, after = _CONSTANT.fullmatch(old[0].rstrip()), _CONSTANT.fullmatch(new[0].rstrip())
    if before is None or after is None or before[1] != after[1]:
        return None
    first, second = float(before[2]), float(after[2])
    return (second - first) / abs(first) if first else None


def twice(own: Iterable[Experiment]) -> list[tuple[int, int]]:
    """Pairs of experiments that ran the same program on the same incumbent; an idea tried again on purpose, with
    --retry, is none."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for one in own:
        request = one.candidate.request
        program = request.sha256.get(TRAIN)
        if request.retries is not None or not program:
            continue
        key = request.parent, program
        if key in seen:
            found.append((seen[key], one.number))
        seen.setdefault(key, one.number)
    return found


def described(experiment: Experiment) -> str:
    """What an experiment tried, fit to show."""
    decision, message = experiment.decision, experiment.candidate.request.message
    return one_line(said(decision.description if decision else message.removeprefix("exp: ")))
