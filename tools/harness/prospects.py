"""What past experiments are good for: a near miss to run again, two to combine, an old keep to try without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from . import choice
from .belief import Mixture
from .experiment import Experiment
from .knowledge import Knowledge
from .verdict import RUNS_MOST

NEAR = 0.25  # probability of a gain from which a discarded idea is a near miss
LOOKED_AT = 50  # near misses, those that certainty would be worth most of: what a run of each is worth takes time
KEEPS_FROM = 4  # keeps, the baseline not counted, from which one of them may have become ballast
BALLAST = 0.05  # probability that a keep was no gain, from which it is offered: below, it is as sure as it ought
NAME_MOST = 60  # characters of a description


@dataclass(frozen=True)
class Prospect:
    """`kind`: retry, combine or ablate; `experiments`: by number; `chance`: of a gain (ablate: that it was
    none)."""

    kind: str
    experiments: tuple[int, ...]
    chance: float
    worth: float  # bpb


def find(experiments: Sequence[Experiment], known: Knowledge, beliefs: dict[int, Mixture]) -> list[Prospect]:
    """The best of each kind, where there is one."""
    by_number = {one.number: one for one in experiments}
    retried = {one.candidate.request.retries for one in experiments}
    missed = {
        number: belief
        for number, belief in beliefs.items()
        if number not in retried and _status(by_number[number]) == "discard" and belief.above(0.0) >= NEAR
    }
    kept = [number for number in beliefs if _status(by_number[number]) == "keep"]
    found = [_retry(missed, known), _combine(missed), _ablate(kept, beliefs)]
    return [one for one in found if one is not None]


def _retry(missed: dict[int, Mixture], known: Knowledge) -> Prospect | None:
    """The near miss of which another run is worth most, if that is more than a new idea's."""
    noise = known.sigma**2 + known.level.sd**2
    nearest = sorted(missed, key=lambda number: -missed[number].surplus(0.0))[:LOOKED_AT]
    worth = {
        number: choice.value_of_runs(missed[number], 0.0, known.allowed, noise, known.run_value, RUNS_MOST)
        for number in sorted(nearest)
    }
    best = max(worth, key=lambda number: worth[number], default=None)
    if best is None or worth[best] <= 0:
        return None
    return Prospect("retry", (best,), missed[best].above(0.0), worth[best])


def _combine(missed: dict[int, Mixture]) -> Prospect | None:
    """The two near misses that together are most likely a gain that shows."""
    best = sorted(missed, key=lambda number: -missed[number].surplus(0.0))[:6]
    pairs = [
        Prospect("combine", pair, _either(missed, pair), sum(missed[one].mean for one in pair))
        for pair in combinations(sorted(best), 2)
    ]
    return max(pairs, key=lambda pair: pair.worth, default=None)


def _either(missed: dict[int, Mixture], pair: tuple[int, int]) -> float:
    """The chance that at least one of them gains."""
    return 1.0 - (1.0 - missed[pair[0]].above(0.0)) * (1.0 - missed[pair[1]].above(0.0))


def _ablate(kept: list[int], beliefs: dict[int, Mixture]) -> Prospect | None:
    """The keep, not the newest, that most likely gained nothing: without it the code would be simpler."""
    if len(kept) < KEEPS_FROM:
        return None
    least = min(kept[:-1], key=lambda number: beliefs[number].above(0.0))
    if 1.0 - beliefs[least].above(0.0) < BALLAST:
        return None
    return Prospect("ablate", (least,), 1.0 - beliefs[least].above(0.0), -beliefs[least].mean)


def told(prospect: Prospect, descriptions: dict[int, str]) -> str:
    """One line for the agent: what to do, and why."""
    names = [f"{number:04d} ({_cut(descriptions.get(number, ''))})" for number in prospect.experiments]
    if prospect.kind == "retry":
        again = f"scripts/run_experiment.sh --retry {prospect.experiments[0]:04d}"
        return f"run {names[0]} again, {prospect.chance:.0%} likely a gain: {again}"
    if prospect.kind == "combine":
        return f"combine {names[0]} and {names[1]}: {prospect.chance:.0%} likely that at least one of them gains"
    return f"try without {names[0]}, {prospect.chance:.0%} likely no gain: simpler, if it is not missed"


def _cut(text: str) -> str:
    """Its beginning, up to the end of a word."""
    if len(text) <= NAME_MOST:
        return text
    words = text[:NAME_MOST].rsplit(" ", 1)[0]
    return f"{words.rstrip()} …"


def _status(experiment: Experiment) -> str:
    return experiment.decision.status if experiment.decision else ""
