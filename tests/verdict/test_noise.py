"""The noise estimate: its two ends, what must not move it, and what a run that spiked may do to it."""

from __future__ import annotations

import math
import random

import pytest
from harness import noise
from hypothesis import assume, given
from hypothesis import strategies as st

groups = st.lists(st.lists(st.floats(0.5, 3.0), max_size=4), max_size=6)
# On a grid far above rounding errors, and no two alike.
apart = st.lists(
    st.lists(st.integers(5000, 30000), max_size=5, unique=True).map(lambda own: [n / 10000 for n in own]),
    max_size=6,
)
priors = st.floats(0.0002, 0.1)

# val_bpb of train.py after 50,000 tokens of the small profile: four orders of the data, each with four inits.
SPIKED = [
    [2.2754, 2.2739, 2.3683, 2.2721],
    [2.2953, 2.2748, 2.2753, 2.2499],
    [2.2707, 2.2619, 2.2641, 2.2701],
    [2.3136, 2.3020, 2.2789, 2.2929],
]
CALM = [[2.2754, 2.2739, 2.2721], *SPIKED[1:]]


def usual(scores: list[list[float]], prior: float) -> float:
    """The same without a word on outliers."""
    means = [math.fsum(group) / len(group) if group else 0.0 for group in scores]
    squares = math.fsum((score - mean) ** 2 for group, mean in zip(scores, means, strict=True) for score in group)
    freedom = sum(len(group) - 1 for group in scores if group)
    return math.sqrt((4 * prior**2 + squares) / (4 + freedom))


def test_without_repeats_the_prior_stands():
    for scores in ([], [[1.0], [1.1], []]):
        found = noise.estimate(scores, 0.002)
        assert found.runs == 0
        assert found.sigma == pytest.approx(0.002)
        # 4 / 7.779 and 4 / 1.064: the chi-square's quantiles for four degrees of freedom, from a table
        assert found.low == pytest.approx(0.002 * math.sqrt(4 / 7.779), rel=0.01)
        assert found.high == pytest.approx(0.002 * math.sqrt(4 / 1.064), rel=0.01)


def test_the_pooled_variance_by_hand():
    # squares about the means: 2 * 0.001² + 2 * 0.002²; degrees of freedom: 1 + 1; the prior weighs four
    found = noise.estimate([[1.001, 0.999], [2.002, 1.998], [1.5]], 0.002)
    assert found.sigma == pytest.approx(math.sqrt((4 * 0.002**2 + 1e-5) / 6))
    assert found.runs == 4


def test_many_repeats_drown_the_prior():
    draw = random.Random(1)
    runs = [[draw.gauss(1.1, 0.002) for _ in range(3)] for _ in range(200)]
    for prior in (0.0001, 0.01):
        found = noise.estimate(runs, prior)
        assert found.sigma == pytest.approx(0.002, rel=0.1)
        assert found.high / found.low < 1.15


def test_equal_digits_are_one_run():
    assert noise.estimate([[1.0, 1.0, 1.0]], 0.002) == noise.estimate([], 0.002)


def test_scores_that_are_no_numbers_are_passed_by():
    assert noise.estimate([[1.0, math.nan], [math.inf, 1.0]], 0.002) == noise.estimate([], 0.002)


@given(groups, st.floats(-1, 1) | st.sampled_from([math.nan, math.inf, -math.inf]))
def test_always_positive_and_blind_to_order(scores, prior):
    found = noise.estimate(scores, prior)
    assert noise.SIGMA_FLOOR <= found.low <= found.sigma < found.high < math.inf
    again = noise.estimate([group[::-1] for group in scores[::-1]], prior)
    assert again.runs == found.runs
    assert again.sigma == pytest.approx(found.sigma, rel=1e-9)


@given(apart, priors, st.floats(1, 100), st.floats(-1, 1))
def test_in_other_units_it_is_the_same(scores, prior, factor, shift):
    found = noise.estimate(scores, prior)
    again = noise.estimate([[shift + factor * n for n in group] for group in scores], factor * prior)
    assert again.sigma == pytest.approx(factor * found.sigma, rel=1e-6)


@given(apart, priors)
def test_it_is_the_usual_one_but_for_what_is_far_off(scores, prior):
    found = noise.estimate(scores, prior).sigma
    assert found <= usual(scores, prior) * (1 + 1e-9)
    far = max((max(group) - min(group) for group in scores if group), default=0.0)
    if far <= noise.CLIP * math.sqrt(2) * min(found, prior):
        assert found == pytest.approx(usual(scores, prior))


@given(st.integers(0, 10**6))
def test_in_normal_noise_it_is_the_usual_one(seed):
    draw = random.Random(seed)
    scores = [[draw.gauss(0, 0.002) for _ in range(4)] for _ in range(50)]
    assert noise.estimate(scores, 0.002).sigma == pytest.approx(usual(scores, 0.002), rel=0.2)


def test_over_many_draws_it_is_hardly_smaller_than_the_truth():
    draw = random.Random(2)
    for sizes in ([2], [2, 3], [4, 4, 4, 4], [3] * 40):
        ratios = [
            noise.estimate([[draw.gauss(0, 0.01) for _ in range(size)] for size in sizes], 0.01).sigma / 0.01
            for _ in range(400)
        ]
        assert 0.94 < math.fsum(ratios) / len(ratios) < 1.04, sizes


@given(apart, st.lists(st.integers(-10, 10), min_size=1, max_size=5, unique=True), st.floats(0.01, 0.1))
def test_one_more_run_in_the_middle_never_raises_it(others, near, prior):
    own = [1 + 0.1 * prior * n for n in near]
    before = noise.estimate([own, *others], prior)
    # Between two runs that count as far apart from each other, a third is one more that is far from both.
    assume(max(own) - min(own) <= noise.CLIP * math.sqrt(2) * before.sigma)
    middle = math.fsum(own) / len(own)
    assume(middle not in own)
    after = noise.estimate([[*own, middle], *others], prior)
    assert after.sigma <= before.sigma * (1 + 1e-9)


def test_a_run_that_spiked_among_real_ones():
    assert usual(SPIKED, 0.002) / usual(CALM, 0.002) > 2
    for prior in (0.002, 0.013):
        with_it, without = noise.estimate(SPIKED, prior), noise.estimate(CALM, prior)
        assert with_it.runs == without.runs + 1
        assert 1 < with_it.sigma / without.sigma < 1.3
        assert without.sigma == pytest.approx(usual(CALM, prior), rel=0.15)
    # Of the first four alone, too, if the prior is of the right size.
    assert noise.estimate(SPIKED[:1], 0.013).sigma < 1.6 * 0.013 < 0.5 * noise.estimate(SPIKED[:1], 0.1).sigma


@given(
    st.integers(0, 10**6), st.floats(0.1, 1000), st.sampled_from([[2, 2, 2], [3, 2, 2], [4, 2], [4, 4], [2] * 9])
)
def test_however_far_off_one_run_counts_for_little(seed, far, sizes):
    draw = random.Random(seed)
    scores = [[draw.gauss(0, 0.002) for _ in range(size)] for size in sizes]
    calm = usual(scores, 0.002)
    scores[0][0] += far
    # 2.15 is what the equations allow for [4, 2], by hand; the other sizes have less.
    assert noise.estimate(scores, 0.002).sigma < 2.2 * calm
    assert usual(scores, 0.002) > 6 * 0.002


@given(st.floats(0.01, 1000))
def test_two_lone_runs_far_apart_tell_no_outlier(far):
    # Either run may be wrong, or the prior: so it rises, at first by all of it, and not without end.
    found = noise.estimate([[1.0, 1.0 + far]], 0.002).sigma
    assert found == pytest.approx(min(usual([[1.0, 1.0 + far]], 0.002), 0.0067), rel=0.02)


def test_a_prior_that_is_far_too_small_gives_way():
    draw = random.Random(6)
    for size in (2, 3, 4):
        ratios = []
        for _ in range(300):
            scores = [[draw.gauss(0, 0.02) for _ in range(size)] for _ in range(10)]
            ratios.append(noise.estimate(scores, 0.002).sigma / usual(scores, 0.002))
        assert math.fsum(ratios) / len(ratios) > 0.9


def test_the_interval_holds_the_truth_four_times_in_five():
    draw = random.Random(3)
    for sizes in ([], [2], [4], [2, 2, 3], [4, 4, 4, 4], [2] * 10):
        hits = 0
        for _ in range(1000):
            # Truths as the prior says: it is worth four runs.
            truth = 0.002 * math.sqrt(4 / math.fsum(draw.gauss(0, 1) ** 2 for _ in range(4)))
            found = noise.estimate([[draw.gauss(0, truth) for _ in range(size)] for size in sizes], 0.002)
            hits += found.low <= truth <= found.high
        assert 0.74 < hits / 1000 < 0.86, sizes


def test_chi_square_against_a_table():
    for freedom, tenth, last in ((4, 1.064, 7.779), (10, 4.865, 15.987), (30, 20.599, 40.256)):
        assert noise.chi_square(-noise.TENTH, freedom) == pytest.approx(tenth, rel=0.01)
        assert noise.chi_square(noise.TENTH, freedom) == pytest.approx(last, rel=0.01)
