"""The noise estimate: its two ends, and what must not move it."""

from __future__ import annotations

import math
import random

import pytest
from harness import noise
from hypothesis import given
from hypothesis import strategies as st

groups = st.lists(st.lists(st.floats(0.5, 3.0), max_size=4), max_size=6)


def test_without_repeats_the_prior_stands():
    assert noise.estimate([], 0.0004) == noise.Noise(0.0004, 0)
    assert noise.estimate([[1.0], [1.1], []], 0.002) == noise.Noise(0.002, 0)


def test_the_pooled_variance_by_hand():
    # squares about the means: 2 * 0.001² + 2 * 0.002²; degrees of freedom: 1 + 1; the prior weighs four
    found = noise.estimate([[1.001, 0.999], [2.002, 1.998], [1.5]], 0.0004)
    assert found.sigma == pytest.approx(math.sqrt((4 * 0.0004**2 + 1e-5) / 6))
    assert found.runs == 4


def test_many_repeats_drown_the_prior():
    draw = random.Random(1)
    runs = [[draw.gauss(1.1, 0.002) for _ in range(3)] for _ in range(200)]
    assert noise.estimate(runs, 0.0001).sigma == pytest.approx(0.002, rel=0.1)


def test_equal_digits_are_one_run():
    assert noise.estimate([[1.0, 1.0, 1.0]], 0.002) == noise.Noise(0.002, 0)


@given(groups, st.floats(-1, 1) | st.sampled_from([math.nan, math.inf, -math.inf]))
def test_always_positive_and_blind_to_order(scores, prior):
    found = noise.estimate(scores, prior)
    assert noise.SIGMA_FLOOR <= found.sigma < math.inf
    again = noise.estimate([group[::-1] for group in scores[::-1]], prior)
    assert again.runs == found.runs
    assert again.sigma == pytest.approx(found.sigma, rel=1e-9)


def test_scores_that_are_no_numbers_are_passed_by():
    assert noise.estimate([[1.0, math.nan], [math.inf, 1.0]], 0.002) == noise.Noise(0.002, 0)
