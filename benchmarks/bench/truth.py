"""Stage 1: what each edit is truly worth, by several seeds of it beside as many and more of the baseline."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .edits import Idea, Ideas
from .trainings import Job, Result, Trainings, seed_of

TRUTH = "replay, truth"  # the name of these seeds; no campaign draws from it
BASELINE_SEEDS = 8


@dataclass(frozen=True)
class Truth:
    """bpb; positive is better.

    `gain` is mean(baseline) - mean(edit) over all seeds, `paired` the mean difference on the seeds that both have;
    each with its standard error. Without a score (a crash) none of them is a number.
    """

    idea: Idea
    outcome: str
    gain: float
    error: float
    paired: float
    paired_error: float
    runs: int

    @property
    def best(self) -> tuple[float, float]:
        """The surer of the two estimates, and its standard error; minus infinity where there is none."""
        if self.outcome != "finished":
            return -math.inf, math.nan
        if self.paired_error < self.error:
            return self.paired, self.paired_error
        return self.gain, self.error


@dataclass(frozen=True)
class Noise:
    """Standard deviations in bpb.

    `score`: of one run, by the baseline's seeds alone, since the edits' are a few of the same. `difference`: of an
    edit from the baseline on the same seed, pooled over the edits, since a spread from three runs is hardly known.
    """

    score: float
    difference: float


@dataclass(frozen=True)
class Plan:
    """Everything that stage 1 trains. `texts`: of each idea on the baseline."""

    baseline: str
    texts: dict[Idea, str]
    budget: str
    seeds: int
    baseline_seeds: int

    def job(self, text: str, number: int) -> Job:
        return Job(text, seed_of(TRUTH, number), self.budget)

    def baseline_jobs(self) -> list[Job]:
        return [self.job(self.baseline, number) for number in range(self.baseline_seeds)]

    def jobs(self) -> Iterator[Job]:
        """The baseline first, then one seed of every edit before the next: a half already says much."""
        yield from self.baseline_jobs()
        for number in range(self.seeds):
            for text in self.texts.values():
                yield self.job(text, number)


def plan(
    ideas: Ideas,
    listed: Sequence[Idea],
    baseline: str,
    budget: str,
    seeds: int,
    baseline_seeds: int = BASELINE_SEEDS,
) -> Plan:
    texts = {idea: ideas.apply(idea, baseline) for idea in listed}
    known = {idea: text for idea, text in texts.items() if text is not None}
    return Plan(baseline, known, budget, seeds, max(seeds, baseline_seeds))


def judge(plan: Plan, trainings: Trainings) -> tuple[list[Truth], Noise]:
    """The truth about each idea, and the noise; trains what is missing."""
    trainings.all(plan.jobs())
    baseline = trainings.all(plan.baseline_jobs())
    edits = {
        idea: trainings.all([plan.job(text, number) for number in range(plan.seeds)])
        for idea, text in plan.texts.items()
    }
    return truths(baseline, edits)


def truths(baseline: Sequence[Result], edits: dict[Idea, list[Result]]) -> tuple[list[Truth], Noise]:
    """From results whose place in each list is their seed's number."""
    whole = {idea: results for idea, results in edits.items() if results and all(r.scored for r in results)}
    scores = [one.val_bpb for one in baseline if one.scored]
    differences = {
        idea: [base.val_bpb - one.val_bpb for base, one in zip(baseline, results, strict=False) if base.scored]
        for idea, results in whole.items()
    }
    noise = Noise(pooled([scores]), pooled(list(differences.values())))
    found = []
    for idea, results in edits.items():
        if idea not in whole:
            outcome = next((one.outcome for one in results if not one.scored), "missing")
            none = math.nan
            found.append(Truth(idea, outcome, none, none, none, none, sum(one.scored for one in results)))
            continue
        gain = statistics.fmean(scores) - statistics.fmean(one.val_bpb for one in results)
        error = noise.score * math.sqrt(1 / len(scores) + 1 / len(results))
        paired, count = differences[idea], len(differences[idea])
        paired_error = noise.difference / math.sqrt(count) if count else math.nan
        if count and not any(paired):
            paired_error = 0.0  # digit for digit the baseline: what it gains is known, nothing
        mean = statistics.fmean(paired) if count else math.nan
        found.append(Truth(idea, "finished", gain, error, mean, paired_error, len(results)))
    return found, noise


def pooled(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation about each group's own mean; not a number where no group has two."""
    freedom = sum(len(group) - 1 for group in groups if group)
    if freedom < 1:
        return math.nan
    squares = (math.fsum((one - statistics.fmean(group)) ** 2 for one in group) for group in groups if group)
    return math.sqrt(math.fsum(squares) / freedom)
