"""Stage 3: what a policy's last train.py is truly worth, and how many of its keeps were none."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .campaign import Campaign
from .trainings import Job, Trainings, seed_of
from .truth import Truth

FINAL = "replay, final"  # the name of these seeds: neither truth nor a campaign has them
FINAL_SEEDS = 8


@dataclass(frozen=True)
class Worth:
    """True gain over the baseline on the same fresh seeds, bpb, with its standard error; `scores` of its runs."""

    gain: float
    error: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class FalseKeeps:
    """Keeps whose truth is known, how many of them measure no gain, and how many are expected to have none, given
    how sure their truths are: the truth about an edit is itself measured."""

    known: int
    measured: int
    expected: float
    unknown: int


@dataclass(frozen=True)
class Raced:
    """`runs` that were stopped by their curves, and the device time that it `saved`, in runs. Of those whose truth
    is known: how many gain as measured, and how many are expected to, given how sure their truths are."""

    runs: int
    saved: float
    known: int
    measured: int
    expected: float


def jobs(text: str, budget: str, seeds: int = FINAL_SEEDS) -> list[Job]:
    return [Job(text, seed_of(FINAL, number), budget) for number in range(seeds)]


def worth(text: str, baseline: str, budget: str, trainings: Trainings, seeds: int = FINAL_SEEDS) -> Worth:
    """Trains both where they were not yet."""
    results = trainings.all([*jobs(text, budget, seeds), *jobs(baseline, budget, seeds)])
    own, base = results[:seeds], results[seeds:]
    pairs = [(a.val_bpb, b.val_bpb) for a, b in zip(own, base, strict=True) if a.scored and b.scored]
    gain, error = mean_and_error([b - a for a, b in pairs])
    return Worth(gain, error, tuple(a for a, _ in pairs))


def compare(one: Worth, other: Worth) -> tuple[float, float]:
    """By how much `one` ends lower (bpb), on the same seeds, with its standard error."""
    return mean_and_error([b - a for a, b in zip(one.scores, other.scores, strict=False)])


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return math.nan, math.nan
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return statistics.fmean(values), spread / math.sqrt(len(values))


def false_keeps(campaigns: Iterable[Campaign], truths: Sequence[Truth]) -> FalseKeeps:
    """The truth of an edit is what it does on the baseline; on another incumbent it may do something else."""
    known = {truth.idea.label: truth.best for truth in truths if truth.outcome == "finished"}
    kept = [step.label for campaign in campaigns for step in campaign.kept]
    sure = [known[label] for label in kept if label in known]
    measured, expected = sum(gain <= 0 for gain, _ in sure), math.fsum(no_gain(*one) for one in sure)
    return FalseKeeps(len(sure), measured, expected, len(kept) - len(sure))


def raced(campaigns: Iterable[Campaign], truths: Sequence[Truth], run: float) -> Raced:
    """`run`: what one costs that goes to its end. Truths are on the baseline, here as in `false_keeps`."""
    known = {truth.idea.label: truth.best for truth in truths if truth.outcome == "finished"}
    steps = [step for campaign in campaigns for step in campaign.steps if step.status == "stopped"]
    saved = math.fsum(step.runs - (step.after - step.before) / run for step in steps)
    sure = [known[step.label] for step in steps if step.label in known]
    gain, expected = sum(gain > 0 for gain, _ in sure), math.fsum(1 - no_gain(*one) for one in sure)
    return Raced(len(steps), saved, len(sure), gain, expected)


def no_gain(gain: float, error: float) -> float:
    """The probability that a gain measured with this error is none, before anything else is known of it."""
    if not error > 0:
        return float(gain <= 0)
    return 0.5 * math.erfc(gain / error / math.sqrt(2))
