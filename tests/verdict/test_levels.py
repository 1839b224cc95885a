"""The incumbent's level: against the whole Gaussian posterior, solved at once over commits, seeds and scores."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
from harness import knowledge, levels
from harness.belief import Mixture, Normal
from harness.levels import Levels, Score
from hypothesis import given
from hypothesis import strategies as st

SIGMA = 0.002
WIDE = 1e4 * SIGMA**2  # prior variance of the baseline's level, in begin()


@dataclass(frozen=True)
class Step:
    """Runs of one candidate: on which seeds, what gain it was believed to have, whether it was kept."""

    scores: tuple[Score, ...]
    gain: Normal
    kept: bool


def brute(baseline: list[Score], steps: list[Step], pairing: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean and covariance of the levels of all commits, and which one is the incumbent. One linear model: each
    score = level of its commit + luck of its seed + noise; each level = its incumbent's - a gain with a prior."""
    runs = [(0, score) for score in baseline]
    parents, gains, incumbent = [0], [Normal(0, 0)], 0
    for step in steps:
        parents.append(incumbent)
        gains.append(step.gain)
        runs += [(len(parents) - 1, score) for score in step.scores]
        incumbent = len(parents) - 1 if step.kept else incumbent
    count, start = len(parents), sum(score.val_bpb for score in baseline) / len(baseline)
    mean, cov = np.zeros(count), np.zeros((count, count))
    mean[0], cov[0, 0] = start, WIDE
    for at in range(1, count):
        mean[at] = mean[parents[at]] - gains[at].mean
        cov[at, :at] = cov[:at, at] = cov[parents[at], :at]
        cov[at, at] = cov[parents[at], parents[at]] + gains[at].sd ** 2
    pick = np.zeros((len(runs), count))
    pick[range(len(runs)), [commit for commit, _ in runs]] = 1
    same = np.array([[one.seed == other.seed for _, other in runs] for _, one in runs])
    noise = SIGMA**2 * (pairing * same + (1 - pairing) * np.eye(len(runs)))
    shown = np.array([score.val_bpb for _, score in runs])
    reach = cov @ pick.T @ np.linalg.inv(pick @ cov @ pick.T + noise)
    return mean + reach @ (shown - pick @ mean), cov - reach @ pick @ cov, incumbent


def fold(baseline: list[Score], steps: list[Step], pairing: float) -> Levels:
    known = levels.begin(baseline, SIGMA, pairing)
    for step in steps:
        known = known.after(step.scores, step.gain, step.kept)
    return known


def story(seed: int) -> tuple[list[Score], list[Step]]:
    """A made-up campaign: candidates on seeds of their incumbent's and on fresh ones, kept or not."""
    dice = random.Random(seed)

    def draw(seeds: Iterable[int], level: float) -> list[Score]:
        return [Score(one, dice.gauss(level, SIGMA)) for one in seeds]

    baseline = draw(range(dice.randint(1, 3)), 1.1)
    steps = []
    for number in range(dice.randint(0, 5)):
        seeds = dice.sample([0, 1, 2, 10 + number, 20 + number], dice.randint(1, 3))
        gain = Normal(dice.gauss(0, SIGMA), dice.uniform(0.3, 4) * SIGMA)
        steps.append(Step(tuple(draw(seeds, 1.1)), gain, dice.random() < 0.4))
    return baseline, steps


@pytest.mark.parametrize("pairing", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_whole_posterior(seed: int, pairing: float) -> None:
    baseline, steps = story(seed)
    found, (mean, cov, best) = fold(baseline, steps, pairing), brute(baseline, steps, pairing)
    assert found.level.mean == pytest.approx(mean[best], abs=1e-7)
    assert found.level.sd == pytest.approx(cov[best, best] ** 0.5, rel=1e-4)
    assert found.gain.mean == pytest.approx(mean[0] - mean[best], abs=1e-7)
    variance = cov[0, 0] - 2 * cov[0, best] + cov[best, best]
    assert found.gain.sd == pytest.approx(max(variance, 0) ** 0.5, abs=1e-6)


@pytest.mark.parametrize("pairing", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(6))
def test_what_scores_of_another_commit_show(seed: int, pairing: float) -> None:
    """`gain_of` is the posterior of a gain of which nothing was believed before."""
    baseline, steps = story(seed)
    scores = tuple(Score(at, random.Random(seed + at).gauss(1.099, SIGMA)) for at in (0, 1, 99))
    shown, variance = fold(baseline, steps, pairing).gain_of(scores)
    vague = 200 * SIGMA
    held, _, best = brute(baseline, steps, pairing)
    mean, cov, _ = brute(baseline, [*steps, Step(scores, Normal(0, vague), False)], pairing)
    new = len(held)
    assert shown == pytest.approx(mean[best] - mean[new], abs=2e-6)
    assert variance == pytest.approx(cov[best, best] - 2 * cov[best, new] + cov[new, new], rel=1e-3)


def test_without_shared_luck_it_is_plain_means() -> None:
    known = levels.begin([Score(0, 1.0), Score(1, 1.2)], 0.1, 0.0)
    assert [known.level.mean, known.level.sd] == pytest.approx([1.1, 0.1 / 2**0.5], rel=1e-3)
    shown, variance = known.gain_of([Score(0, 1.0), Score(5, 1.1)])
    assert [shown, variance] == pytest.approx([0.05, 0.01], rel=1e-3)


def test_on_the_same_seed_the_luck_cancels() -> None:
    known = levels.begin([Score(0, 1.1)], SIGMA, 0.9)
    same, fresh = known.gain_of([Score(0, 1.1)])[1], known.gain_of([Score(1, 1.1)])[1]
    assert same == pytest.approx(2 * 0.1 * SIGMA**2, rel=1e-2)
    assert fresh == pytest.approx(2 * SIGMA**2, rel=1e-2)


@given(st.permutations(range(5)), st.sampled_from([0.0, 0.5, 0.9]))
def test_the_order_of_the_scores_is_nothing(order: list[int], pairing: float) -> None:
    scores = [Score(at % 4 if at < 4 else 9, 1.1 + 0.001 * (at * at % 7)) for at in range(5)]
    plain, other = levels.begin(scores[:2], SIGMA, pairing), levels.begin(scores[1::-1], SIGMA, pairing)
    assert plain.level.mean == pytest.approx(other.level.mean)
    shuffled = [scores[at] for at in order]
    assert plain.gain_of(scores) == pytest.approx(plain.gain_of(shuffled))
    one, two = (plain.after(some, Normal(0, SIGMA), True).level for some in (scores, shuffled))
    assert [one.mean, one.sd] == pytest.approx([two.mean, two.sd])


def test_a_baseline_is_never_forgotten() -> None:
    """What a discarded candidate tells of a seed's luck, it tells of the incumbent: nothing is lost."""
    known = levels.begin([Score(0, 1.1)], SIGMA, 0.5)
    again = known.after([Score(1, 1.1), Score(0, 1.1)], Normal(0, 10 * SIGMA), False)
    assert again.level.sd < known.level.sd
    assert again.seen(Score(1, 1.1)).level.sd < known.seen(Score(1, 1.1)).level.sd


# ---------------------------------------------------------------------------------------------------
# Which run tells most


def known(seeds: list[int], pairing: float) -> knowledge.Knowledge:
    return knowledge.begin([Score(seed, 1.1) for seed in seeds], SIGMA, pairing, SIGMA)


def test_a_first_run_is_on_a_seed_of_the_incumbents_where_that_tells_more() -> None:
    assert knowledge.next_run(known([7, 3], 0.5), (), first=True) == knowledge.Next("candidate", 7)
    assert knowledge.next_run(known([7, 3], 0.0), (), first=True) == knowledge.Next("candidate", None)


def test_no_commit_runs_twice_on_one_seed_and_it_goes_on_for_ever() -> None:
    for seeds, pairing in itertools.product(([0], [0, 1, 2]), (0.0, 0.5, 0.95)):
        now, scores = known(seeds, pairing), [Score(0, 1.1)]
        for fresh in range(100, 112):
            asked = knowledge.next_run(now, scores)
            seed = fresh if asked.seed is None else asked.seed
            if asked.side == "candidate":
                assert seed not in {score.seed for score in scores}
                scores.append(Score(seed, 1.1))
            else:
                assert seed not in now.ran
                now = now.ran_again(Score(seed, 1.1))


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.5, 0.9]))
def test_it_is_the_one_after_which_the_gain_is_known_best(seed: int, pairing: float) -> None:
    dice = random.Random(seed)
    now = known(dice.sample(range(6), dice.randint(1, 3)), pairing)
    scores = [Score(one, 1.1) for one in dice.sample(range(8), dice.randint(1, 3))]
    asked = knowledge.next_run(now, scores)

    def variance(side: str, one: int) -> float:
        if side == "candidate":
            return now.incumbent.gain_of([*scores, Score(one, 1.1)])[1]
        return now.incumbent.seen(Score(one, 1.1)).gain_of(scores)[1]

    used = {score.seed for score in scores}
    others = [variance("candidate", one) for one in range(9) if one not in used]
    others += [variance("incumbent", one) for one in range(9) if one not in now.ran]
    chosen = variance(asked.side, 99 if asked.seed is None else asked.seed)
    assert chosen <= min(others) * (1 + 1e-5)


# ---------------------------------------------------------------------------------------------------
# What is known after a candidate


def test_a_keep_is_believed_less_than_it_scored() -> None:
    """The winner's curse is taken off, and what is left is the belief that the verdict had."""
    now = known([0, 1, 2], 0.5)
    scores = (Score(0, 1.094), Score(1, 1.094))
    shown = now.measured(scores)
    believed = now.prior.given(shown.gain, shown.variance)
    after = now.tried(scores, now.prior, kept=True, fresh=True, counts=True)
    assert 0 < after.gain.mean < shown.gain
    assert after.gain.mean == pytest.approx(believed.mean, abs=0.1 * SIGMA)
    assert after.ran == {0, 1}
    assert list(after.errors) == pytest.approx([1 - believed.above(0)])
    assert now.tried(scores, now.prior, kept=True, fresh=True, counts=False).errors == ()
    assert now.tried(scores, now.prior, kept=False, fresh=True, counts=True).ran == now.ran
    assert now.tried(scores, now.prior, kept=False, fresh=False, counts=True).effects == now.effects


def test_more_than_the_prior_could_be_is_finite() -> None:
    now = known([0], 0.5)
    after = now.tried((Score(0, 0.5),), Mixture((1.0,), (0.0,), (SIGMA**2,)), kept=True, fresh=True, counts=True)
    assert 0 < after.level.sd < 10 * SIGMA
