"""The policies: what each does with a campaign's device time.

Time is counted in runs. Each returns what truly came of it, and what it would have reported.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import choice, history, knowledge, noise, racing, verdict
from harness.belief import Mixture
from harness.effects import Measured
from harness.history import Entry
from harness.knowledge import Knowledge
from harness.levels import Score
from harness.racing import Forecast

from benchmarks.policies.world import OVERHEAD, OVERHEAD_STOPPED, START, World

RUN = 1 + OVERHEAD
BASELINE_RUNS = 3
REFRESH = 10  # ideas between two computations of what is hopeless, and of what to try again; the tools: each time
NEAR_MISSES = 8  # that are remembered


@dataclass
class Outcome:
    """Of one campaign: true and reported gain (bpb), keeps and how many of them gain nothing, device time saved by
    racing as a share of what it would have been, runs that racing stopped though they would have been kept."""

    gain: float = 0.0
    reported: float = 0.0
    keeps: int = 0
    false_keeps: int = 0
    ideas: int = 0
    used: float = 0.0
    saved: float = 0.0
    lost_keeps: int = 0

    def keep(self, gain: float) -> None:
        self.gain += gain
        self.keeps += 1
        self.false_keeps += gain <= 0


Policy = Callable[[World, float], Outcome]


def keep_if_lower(world: World, time: float, margin: float = 0.0) -> Outcome:
    """karpathy/autoresearch: one run, kept when its score is the lowest so far, by `margin` sigmas."""
    done, used = Outcome(), RUN
    best = first = world.score(START, 0)
    while used + RUN <= time:
        number, gain = done.ideas, world.idea(done.ideas)
        done.ideas += 1
        used += RUN
        score = world.score(START - done.gain - gain, 0, number)
        if score < best - margin * world.noise:
            best = score
            done.keep(gain)
    done.reported, done.used = first - best, used
    return done


def by_a_threshold(world: World, time: float) -> Outcome:
    """Kept when lower by a sigma."""
    return keep_if_lower(world, time, 1.0)


def three_seeds(world: World, time: float, seeds: int = 3) -> Outcome:
    """Every idea on three seeds, kept when the mean is the lowest."""
    done, used = Outcome(), seeds * RUN

    def mean(level: float, number: int | None = None) -> float:
        return statistics.fmean(world.score(level, seed, None if seed else number) for seed in range(seeds))

    best = first = mean(START)
    while used + seeds * RUN <= time:
        number, gain = done.ideas, world.idea(done.ideas)
        done.ideas += 1
        used += seeds * RUN
        score = mean(START - done.gain - gain, number)
        if score < best:
            best = score
            done.keep(gain)
    done.reported, done.used = first - best, used
    return done


def paired_median(world: World, time: float) -> Outcome:
    """autoresearch-lab: candidate and incumbent on two seeds, kept when the median of the differences is a
    gain."""
    done, used = Outcome(), 2 * RUN
    incumbent = [world.score(START, seed) for seed in (0, 1)]
    first = statistics.fmean(incumbent)
    while used + 2 * RUN <= time:
        number, gain = done.ideas, world.idea(done.ideas)
        done.ideas += 1
        used += 2 * RUN
        level = START - done.gain - gain
        scores = [world.score(level, seed, None if seed else number) for seed in (0, 1)]
        if statistics.median(a - b for a, b in zip(incumbent, scores, strict=True)) > 0:
            incumbent = scores
            done.keep(gain)
    done.reported, done.used = first - statistics.fmean(incumbent), used
    return done


def best_over_mad(world: World, time: float) -> Outcome:
    """pi-autoresearch: kept when lower by twice the median absolute deviation of all scores so far (advisory
    there, obeyed here)."""
    done, used = Outcome(), RUN
    best = first = world.score(START, 0)
    scores = [first]
    while used + RUN <= time:
        number, gain = done.ideas, world.idea(done.ideas)
        done.ideas += 1
        used += RUN
        score = world.score(START - done.gain - gain, 0, number)
        scores.append(score)
        middle = statistics.median(scores)
        mad = statistics.median(abs(one - middle) for one in scores)
        if best - score > (2 * mad if len(scores) > 3 else 0):
            best = score
            done.keep(gain)
    done.reported, done.used = first - best, used
    return done


def ours(world: World, time: float, race: bool = True, retry: bool = True) -> Outcome:
    """The pack's own: the functions that its tools call."""
    return _Ours(world, time, race, retry).go()


class _Ours:
    """One campaign by the pack's rules. Line prices and memory play no part: ideas here have neither."""

    def __init__(self, world: World, time: float, race: bool, retry: bool) -> None:
        self.world, self.time, self.race, self.retry = world, time, race, retry
        self.done, self.fresh, self.runs = Outcome(), 0, 0
        self.misses: list[tuple[int, Mixture, float]] = []  # which entry, what is believed of it, its true gain
        self.forecasts: list[Forecast] = []
        self.false_kills = 0
        self.hopeless: tuple[int, float, tuple[float, ...]] | None = None  # since which idea, second look, limits
        aside = random.Random(f"aside/{world.seed}")  # what makes no difference to the campaign has its own luck
        # What the pack assumes of the noise before it measured it is off by a third, one way or the other.
        self.assumed = world.noise * math.exp(0.3 * aside.gauss(0, 1))
        self.fate = aside
        self.baseline = [self.run(START, self.new_seed()) for _ in range(BASELINE_RUNS)]
        self.entries: list[Entry] = []
        sigma = self.sigma()
        self.known = knowledge.begin(self.baseline, sigma, self.pairing(sigma), self.assumed)

    def sigma(self) -> float:
        return noise.estimate(history.repeats(self.baseline, self.entries), self.assumed).cautious

    def pairing(self, sigma: float) -> float:
        return noise.pairing(history.differences(self.baseline, self.entries), sigma)

    def new_seed(self) -> int:
        self.fresh += 1
        return self.fresh

    def run(self, level: float, seed: int, number: int | None = None) -> Score:
        self.done.used += RUN
        self.runs += 1
        return Score(seed, self.world.score(level, seed, number))

    def go(self) -> Outcome:
        while self.done.used + RUN <= self.time:
            due = self.retry and (self.hopeless is None or self.done.ideas % REFRESH == 0)
            if not (due and self.try_again()):
                number, gain = self.done.ideas, self.world.idea(self.done.ideas)
                self.done.ideas += 1
                self.experiment(gain, number)
        self.done.reported = self.known.gain.mean
        return self.done

    def try_again(self) -> bool:
        """Run the near miss that is most worth another look, if one is."""
        known, found = self.known, []
        variance = known.sigma**2 + known.level.sd**2
        for at, (_, belief, _) in enumerate(self.misses):
            worth = choice.value_of_runs(belief, 0.0, known.allowed, variance, known.run_value, verdict.RUNS_MOST)
            if worth > 0:
                found.append((worth, at))
        if not found:
            return False
        entry, belief, gain = self.misses.pop(max(found)[1])
        self.experiment(gain, None, belief, entry)
        return True

    def experiment(
        self, gain: float, number: int | None, before: Mixture | None = None, retried: int | None = None
    ) -> None:
        """One idea from its first run to its verdict."""
        level = START - self.done.gain
        first = knowledge.next_run(self.known, (), first=True).seed
        seed = self.new_seed() if first is None else first
        measured = self.run(level - gain, seed, number)
        told = self.world.forecasts(gain, self.known.measured([measured]).gain)
        behind = self.behind(seed, told) if self.race and before is None else None
        control = behind is not None and racing.is_control(str(self.world.seed), self.runs)
        if behind is not None and not control:
            return self.stop(gain, measured, told, behind)

        def run(candidate: bool, following: int | None) -> Score | None:
            if self.done.used + RUN > self.time:
                return None
            return self.run(level - gain if candidate else level, following or self.new_seed())

        started = self.known
        self.known, scores, again, found = settle(started, measured, before, run)
        self.forecasts.append(Forecast(told, self.known.measured(scores[:1]).gain))
        kept = found.status == "keep"
        self.false_kills += control and kept
        self.remember(Entry(tuple(scores), tuple(again), kept, retried=retried), started, before)
        if kept:
            self.done.keep(gain)
            self.misses = [(entry, belief, self.world.drifted(one)) for entry, belief, one in self.misses]
            self.hopeless = None
        elif found.belief is not None:
            shown = self.known.measured(scores)
            belief = (before or started.prior).given(shown.gain, shown.variance)
            self.misses.append((len(self.entries) - 1, belief, gain))
            self.misses.sort(key=lambda miss: -miss[1].surplus(0.0))
            del self.misses[NEAR_MISSES:]
        if len(scores) + len(again) > 1:
            self.learn_noise()

    def remember(self, entry: Entry, started: Knowledge, before: Mixture | None) -> None:
        """What is known after `entry`, which began when `started` was known."""
        self.entries.append(entry)
        self.known, _ = history.after(started, entry, before)

    def learn_noise(self) -> None:
        """Where the noise changes, what is known is made again with the new one. The tools do so every time."""
        sigma = self.sigma()
        pairing = self.pairing(sigma)
        before = self.known.incumbent.shared / self.known.sigma**2
        if abs(sigma / self.known.sigma - 1) > 0.03 or abs(pairing - before) > 0.03:
            again = history.fold(self.baseline, self.entries, sigma, pairing, self.assumed)
            self.known = again.known

    def spreads(self) -> tuple[float, ...]:
        return racing.spreads(self.known.sigma, self.known.effects.unit, self.forecasts, self.false_kills)

    def behind(self, seed: int, told: Sequence[float]) -> int | None:
        """At which of SHARES a run is hopeless first."""
        known = self.known
        if self.hopeless is None or self.done.ideas - self.hopeless[0] >= REFRESH:
            look = racing.second_look(known, seed, verdict.RUNS_MOST - 1)
            self.hopeless = (self.done.ideas, look, racing.limits(known, seed, look, self.spreads()))
        limits = self.hopeless[2]
        return next((at for at, (one, limit) in enumerate(zip(told, limits, strict=True)) if one < limit), None)

    def stop(self, gain: float, measured: Score, told: Sequence[float], at: int) -> None:
        """The run is stopped at a share; the rest of its time is given back."""
        left = RUN - racing.SHARES[at] - OVERHEAD_STOPPED
        self.done.used -= left
        self.done.saved += left
        level = START - self.done.gain

        def run(candidate: bool, following: int | None) -> Score:
            luck = self.world.noise * self.fate.gauss(0, 1)
            return Score(following or -1, (level - gain if candidate else level) + luck)

        # What would have become of it, had it gone on: of its luck alone it is known how it would have ended.
        if self.known.measured([measured]).gain > 0:
            self.done.lost_keeps += settle(self.known, measured, None, run)[3].status == "keep"
        width = self.spreads()[at]
        foretold = Measured(told[at], width**2 + self.known.sigma**2)
        self.remember(Entry(foretold=foretold, seed=measured.seed), self.known, None)


def settle(
    known: Knowledge, first: Score, before: Mixture | None, run: Callable[[bool, int | None], Score | None]
) -> tuple[Knowledge, list[Score], list[Score], verdict.Verdict]:
    """Run a candidate and the incumbent until there is a verdict on the one that scored `first`.

    `run`: of the candidate or else the incumbent, on a seed or else a fresh one; None when no time is left.
    """
    prior = before or known.prior
    scores, runs = [first], 1
    again: list[Score] = []
    while True:
        found = verdict.decide(verdict.Facts("finished", tuple(scores), known, runs=runs, prior=prior))
        if found.confirm is None:
            return known, scores, again, found
        candidate = found.confirm.side == "candidate"
        score = run(candidate, found.confirm.seed)
        if score is None:
            return known, scores, again, found
        runs += 1
        if candidate:
            scores.append(score)
        else:
            again.append(score)
            known = known.ran_again(score)


POLICIES: dict[str, Policy] = {
    "keep if lower": keep_if_lower,
    "lower by a sigma": by_a_threshold,
    "three seeds": three_seeds,
    "paired median": paired_median,
    "best over MAD": best_over_mad,
    "ours": ours,
}
