"""A campaign's experiments, folded into what is known after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import knowledge
from .belief import Mixture, Normal
from .effects import Measured
from .knowledge import Knowledge
from .levels import Score


@dataclass(frozen=True)
class Entry:
    """One decided experiment after the baseline. `scores`: the candidate's; `again`: of the incumbent's runs that
    it asked for. `simpler`: kept for being shorter, not for a gain. `foretold`: of a run that its curve stopped,
    the gain it foretold, and `seed`, on which it ran. `retried`: the place of the earlier entry that it tried
    again."""

    scores: tuple[Score, ...] = ()
    again: tuple[Score, ...] = ()
    kept: bool = False
    simpler: bool = False
    foretold: Measured | None = None
    seed: int | None = None
    retried: int | None = None


@dataclass(frozen=True)
class Remembered:
    """What is known after all entries, what was believed of the gain of each (None: it has no score), and of the
    incumbent's level (bpb) after each, the baseline's first."""

    known: Knowledge
    beliefs: tuple[Mixture | None, ...]
    levels: tuple[Normal, ...]


def fold(
    baseline: Sequence[Score], entries: Sequence[Entry], sigma: float, pairing: float, assumed: float
) -> Remembered:
    """What a campaign with these experiments knows. `sigma`, `pairing`: see noise; `assumed`: what the preparation
    says of the noise of one run (bpb)."""
    known = knowledge.begin(baseline, sigma, pairing, assumed)
    beliefs: list[Mixture | None] = []
    levels = [known.level]
    for entry in entries:
        before = beliefs[entry.retried] if entry.retried is not None else None
        known, belief = after(known, entry, before)
        beliefs.append(belief)
        levels.append(known.level)
    return Remembered(known, tuple(beliefs), tuple(levels))


def after(known: Knowledge, entry: Entry, before: Mixture | None) -> tuple[Knowledge, Mixture | None]:
    """What is known after one more experiment, and believed of its gain. `before`: what an earlier try of the same
    idea left to believe."""
    for score in entry.again:
        known = known.ran_again(score)
    prior = before or known.prior
    if entry.foretold is not None:
        belief = prior.given(entry.foretold.gain, entry.foretold.variance)
        return known.foretold(entry.foretold, entry.seed), belief
    if not entry.scores:
        return known, None
    shown = known.measured(entry.scores)
    changed = known.tried(entry.scores, prior, entry.kept, fresh=before is None, counts=not entry.simpler)
    return changed, prior.given(shown.gain, shown.variance)


def repeats(baseline: Sequence[Score], entries: Sequence[Entry]) -> list[list[float]]:
    """The scores of each commit, to learn the noise from, see noise.estimate.

    A second run follows where the first one was good, so that one was lucky more often than not, and sigma comes
    out 4 to 12 % too large (benchmarks/policy.py). Without first runs it would be right, but a preparation whose
    noise is wrong by a factor would be found out much later: few candidates run three times.
    """
    incumbent = [score.val_bpb for score in baseline]
    groups = [incumbent]
    for entry in entries:
        incumbent += [score.val_bpb for score in entry.again]
        groups.append([score.val_bpb for score in entry.scores])
        if entry.kept:
            incumbent = groups[-1]
    return groups


def differences(baseline: Sequence[Score], entries: Sequence[Entry]) -> list[list[float]]:
    """Of each candidate that ran on seeds of its incumbent: its scores less the incumbent's, see noise.pairing."""
    incumbent = {score.seed: score.val_bpb for score in baseline}
    found = []
    for entry in entries:
        incumbent |= {score.seed: score.val_bpb for score in entry.again}
        shared = [score.val_bpb - incumbent[score.seed] for score in entry.scores if score.seed in incumbent]
        if shared:
            found.append(shared)
        if entry.kept:
            incumbent = {score.seed: score.val_bpb for score in entry.scores}
    return found
