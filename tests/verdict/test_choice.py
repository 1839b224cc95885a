"""Keep, discard or one more run: against a simulation of its worth, and what holds whatever the constants are."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from harness import choice, effects
from harness.belief import Mixture
from harness.choice import choose
from hypothesis import given
from hypothesis import strategies as st

SIGMA = 0.002
PRIOR = effects.untried(SIGMA).prior
RUN_VALUE = 0.5 * PRIOR.surplus(0.0)
GAINS = st.floats(-6, 6).map(lambda z: z * SIGMA)
VARIANCES = st.floats(0.3, 2).map(lambda z: z * SIGMA**2)
PRICES = st.floats(0, 3).map(lambda z: z * SIGMA)


def belief(gain: float, variance: float = SIGMA**2) -> Mixture:
    return PRIOR.given(gain, variance)


def test_a_sure_gain_is_kept_and_a_sure_loss_is_not() -> None:
    kept = choose(belief(10 * SIGMA), 0.0, 0.05, SIGMA**2, RUN_VALUE, 5)
    assert (kept.status, kept.more) == ("keep", 0.0)
    assert 0 <= kept.error < 0.01
    assert choose(belief(-10 * SIGMA), 0.0, 0.05, SIGMA**2, RUN_VALUE, 5).status == "discard"


def test_what_lies_between_is_run_again_while_there_are_runs() -> None:
    between = [choose(belief(z * SIGMA / 4), 0.0, 0.05, SIGMA**2, RUN_VALUE, 5).status for z in range(-8, 33)]
    first, last = between.index("confirm"), len(between) - between[::-1].index("confirm")
    assert set(between[:first]) == {"discard"} and set(between[last:]) == {"keep"}
    assert set(between[first:last]) == {"confirm"}, "one stretch of it"
    for z in range(-8, 33):
        assert choose(belief(z * SIGMA / 4), 0.0, 0.05, SIGMA**2, RUN_VALUE, 0).status != "confirm"


@given(GAINS, VARIANCES, PRICES, st.floats(0, 0.3), st.integers(0, 5))
def test_a_keep_is_sure_enough_and_worth_its_price(
    gain: float, variance: float, price: float, allowed: float, left: int
) -> None:
    believed = belief(gain, variance)
    found = choose(believed, price, allowed, SIGMA**2, RUN_VALUE, left)
    assert (found.status == "keep") == (found.error <= allowed and found.worth > 0)
    assert (found.status == "confirm") <= (left > 0 and found.more > 0)
    assert 0 <= found.error <= 1
    assert found.worth == believed.mean - price


@given(GAINS, VARIANCES, PRICES, st.floats(0, 0.3), st.floats(0, 0.1), st.floats(0, 4))
def test_room_and_gains_never_take_a_keep_back(
    gain: float, variance: float, price: float, allowed: float, room: float, more: float
) -> None:
    """More allowance, a lower price, a higher gain."""
    if choose(belief(gain, variance), price, allowed, SIGMA**2, RUN_VALUE, 3).status == "keep":
        better = belief(gain + more * SIGMA, variance)
        assert choose(better, price / 2, allowed + room, SIGMA**2, RUN_VALUE, 3).status == "keep"


@given(GAINS, PRICES, st.floats(0.001, 0.3))
def test_the_time_of_a_run_counts(gain: float, price: float, allowed: float) -> None:
    """The dearer it is, the less it pays; where it is free, it is never worth less than nothing."""
    worths = [
        choice.value_of_runs(belief(gain), price, allowed, SIGMA**2, cost * RUN_VALUE, 4) for cost in (0, 1, 3)
    ]
    assert worths[0] >= worths[1] >= worths[2]
    assert worths[0] >= 0 or worths[0] == -math.inf


@pytest.mark.parametrize("gain", [-1.0, 0.5, 1.5, 2.5])
@pytest.mark.parametrize("price", [0.0, 0.6])
def test_the_worth_of_a_run_is_what_a_simulation_finds(gain: float, price: float) -> None:
    """The truth is drawn from the belief, a run from the truth; it is kept where `choose` would."""
    believed, bar, allowed = belief(gain * SIGMA), price * SIGMA, 0.05
    found = choice.gained_by(believed, bar, allowed, SIGMA**2)
    dice = np.random.default_rng(1)
    part = dice.choice(len(believed.weights), 400_000, p=believed.weights)
    truth = dice.normal(np.array(believed.means)[part], np.array(believed.sds)[part])
    shown = dice.normal(truth, SIGMA)
    least = choice.keep_from(believed, bar, allowed, SIGMA**2)
    worth = np.where(shown > least, truth - bar, 0.0)
    assert found == pytest.approx(worth.mean(), abs=5 * worth.std() / 400_000**0.5 + 1e-9)


@given(GAINS, VARIANCES, PRICES, st.floats(0.01, 0.3))
def test_the_least_gain_that_is_kept(gain: float, variance: float, price: float, allowed: float) -> None:
    """Measured above it, it is kept; a little below it, not: where it lies inside of what was searched."""
    believed = belief(gain)
    least = choice.keep_from(believed, price, allowed, variance)
    spread = math.sqrt(believed.sd**2 + variance)
    if least < max(price, believed.mean) + 5.9 * spread:
        after = believed.given(least + 1e-12, variance)
        assert 1 - after.above(0) <= allowed + 1e-9 and after.mean > price - 1e-9
    if least > min(price, believed.mean) - 1.9 * spread:
        below = believed.given(least - spread / 50, variance)
        assert 1 - below.above(0) > allowed - 1e-9 or below.mean <= price + 1e-9


# ---------------------------------------------------------------------------------------------------
# The budget of errors


def test_the_budget_begins_with_a_credit() -> None:
    assert choice.allowance([]) == pytest.approx(choice.ERRORS * (1 + choice.CREDIT))
    assert choice.allowance([0.0] * 100) == choice.ERROR_MOST
    assert choice.allowance([1.0]) == 0.0


@given(st.integers())
def test_all_keeps_together_stay_within_the_budget(seed: int) -> None:
    """Whatever comes, and at any time."""
    dice, errors = random.Random(seed), list[float]()
    for _ in range(50):
        error = dice.random() ** 3
        if error <= choice.allowance(errors):
            errors.append(error)
        assert math.fsum(errors) <= choice.ERRORS * (len(errors) + choice.CREDIT) + 1e-12
        assert 0 <= choice.allowance(errors) <= choice.ERROR_MOST


@given(st.lists(st.floats(0, 0.2), max_size=10), st.floats(0, 0.04))
def test_a_sure_keep_leaves_room_and_an_unsure_one_takes_it(errors: list[float], more: float) -> None:
    assert choice.allowance([*errors, 0.0]) >= choice.allowance(errors)
    assert choice.allowance([*errors, more]) >= choice.allowance([*errors, more + 0.01])
