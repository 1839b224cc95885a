"""The winner of a sweep is no lucky one: simulated sweeps, decided by the functions that decide real ones.

Values share the noise of a machine (sigma 0.002 bpb, three runs of the baseline); their true gains are given. The
rule is the sweep's: each value against the incumbent of its turn, run again as the verdict asks.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

import pytest
from harness import history, knowledge, verdict
from harness.history import Entry
from harness.knowledge import next_run
from harness.levels import Score

SIGMA = 0.002


def sweep(gains: Sequence[float], luck: random.Random) -> tuple[float, float, float, int]:
    """One sweep over values with these true gains over the incumbent: the winner's true val_bpb, what is believed
    of it, the lowest first score of all, and how many runs that took."""
    level, fresh, runs = 2.0, 0, 0

    def score(true: float, seed: int | None) -> Score:
        nonlocal fresh, runs
        runs += 1
        fresh += seed is None
        return Score(1000 + fresh if seed is None else seed, true + luck.gauss(0, SIGMA))

    baseline = [Score(n, level + luck.gauss(0, SIGMA)) for n in range(3)]
    known = knowledge.begin(baseline, SIGMA, 0.0, SIGMA)
    lowest = known.level.mean
    for gain in gains:
        true, before = 2.0 - gain, known
        own, again = [score(true, next_run(known, (), first=True).seed)], list[Score]()
        lowest = min(lowest, own[0].val_bpb)
        while True:
            facts = verdict.Facts("finished", tuple(own), known, runs=len(own) + len(again), incumbent_runs=3)
            decided = verdict.decide(facts)
            if decided.confirm is None:
                break
            if decided.confirm.side == "candidate":
                own.append(score(true, decided.confirm.seed))
            else:
                again.append(score(level, decided.confirm.seed))
                known = known.ran_again(again[-1])
        kept = decided.status == "keep"
        known, _ = history.after(before, Entry(tuple(own), tuple(again), kept), None)
        level = true if kept else level
    return level, known.level.mean, lowest, runs


def sweeps(gains: Sequence[float], count: int) -> list[tuple[float, float, float, int]]:
    luck = random.Random(7)
    return [sweep(luck.sample(gains, len(gains)), luck) for _ in range(count)]


def test_values_that_do_nothing_rarely_win_and_luck_is_taken_off() -> None:
    """Five worthless values, a little bad each, so that a keep is seen."""
    done = sweeps([-1e-5] * 5, 150)
    won = sum(level > 2.0 for level, *_ in done)
    assert won <= 15, "in at most a tenth of the sweeps"
    naive = statistics.mean(lowest - 2.0 for *_, lowest, _ in done)
    ours = statistics.mean(believed - level for level, believed, *_ in done)
    assert naive < -1.0 * SIGMA, "the luckiest of five looks better than it is"
    assert abs(ours) < 0.35 * SIGMA


@pytest.mark.parametrize("gain", [4 * SIGMA, 8 * SIGMA])
def test_a_value_that_is_better_wins(gain: float) -> None:
    """And what is believed of it errs on the careful side."""
    done = sweeps([gain, gain / 2, 0.0, -gain / 2, -gain], 60)
    found = [2.0 - level for level, *_ in done]
    assert statistics.mean(found) > 0.8 * gain
    assert 0.0 < statistics.mean(believed - level for level, believed, *_ in done) < 0.75 * SIGMA
