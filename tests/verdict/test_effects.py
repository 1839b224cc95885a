"""What ideas are worth before they are tried, and what a campaign teaches of it."""

from __future__ import annotations

import math
import random

import pytest
from harness import effects
from harness.effects import Effects, Measured, untried
from hypothesis import given
from hypothesis import strategies as st

SIGMA = 0.002
MEASURED = st.builds(
    Measured,
    st.floats(-100, 100).map(lambda z: z * SIGMA),
    st.floats(0.1, 4).map(lambda z: z * SIGMA**2),
)


def after(measured: list[Measured], noise: float = SIGMA) -> Effects:
    found = untried(noise)
    for one in measured:
        found = found.with_one(one)
    return found


def test_the_beginning_is_what_published_campaigns_show() -> None:
    begun = untried(SIGMA)
    prior, steps = begun.prior, len(effects.LADDER)
    assert math.fsum(prior.weights) == pytest.approx(1)
    assert math.fsum(begun.counts) == pytest.approx(effects.PRIOR_EXPERIMENTS)
    assert prior.weights[0] == pytest.approx(effects.NULL_SHARE)
    assert math.fsum(prior.weights[1 : 1 + steps]) == pytest.approx(effects.GAIN_SHARE)
    assert prior.mean < 0, "most ideas lose"
    assert prior.above(0) < 0.4
    small, large = prior.weights[1], prior.weights[steps]
    assert small > large, "most gains are small"


@given(st.sampled_from([1e-4, SIGMA, 0.05]), st.lists(MEASURED, max_size=4), st.floats(0.1, 100))
def test_in_other_units_it_is_the_same(noise: float, measured: list[Measured], scale: float) -> None:
    one = after(measured, noise)
    scaled = [Measured(scale * m.gain, scale**2 * m.variance) for m in measured]
    assert after(scaled, scale * noise).counts == pytest.approx(one.counts, rel=1e-6, abs=1e-9)


@given(st.lists(MEASURED, max_size=20))
def test_it_stays_a_prior_of_finite_numbers(measured: list[Measured]) -> None:
    found = after(measured)
    assert math.fsum(found.prior.weights) == pytest.approx(1)
    assert all(0 <= w <= 1 for w in found.prior.weights)
    assert math.isfinite(found.prior.mean) and found.prior.sd > 0
    assert math.fsum(found.counts) == pytest.approx(min(effects.PRIOR_EXPERIMENTS + len(measured), effects.MEMORY))
    assert (found.prior.means, found.prior.variances) == (
        untried(SIGMA).prior.means,
        untried(SIGMA).prior.variances,
    )


@given(st.floats(1, 20).map(lambda z: z * SIGMA))
def test_gains_make_gains_likelier_and_losses_less_so(size: float) -> None:
    before = untried(SIGMA).prior.above(0)
    assert after([Measured(size, (SIGMA / 4) ** 2)] * 3).prior.above(0) > before
    assert after([Measured(-size, (SIGMA / 4) ** 2)] * 3).prior.above(0) < before


def test_what_is_measured_badly_teaches_little() -> None:
    begun = untried(SIGMA).prior

    def moved(variance: float) -> float:
        weights = after([Measured(5 * SIGMA, variance)]).prior.weights
        return sum(abs(w - b) for w, b in zip(weights, begun.weights, strict=True))

    sharp, dull, blind = (moved((z * SIGMA) ** 2) for z in (0.1, 3, 1000))
    assert sharp > dull > blind
    assert blind < 1e-3


def test_a_campaign_of_one_kind_is_learned() -> None:
    """A hundred ideas that all gain five sigmas, measured with noise: the prior says so, and not more."""
    dice = random.Random(0)
    found = after([Measured(dice.gauss(5 * SIGMA, SIGMA), SIGMA**2) for _ in range(100)])
    assert found.prior.above(0) > 0.8
    assert 3 * SIGMA < found.prior.mean < 6 * SIGMA


def test_old_ones_fade() -> None:
    """Of ideas that gained and then lost for long, the prior remembers the losing."""
    gains, losses = [Measured(5 * SIGMA, SIGMA**2)] * 30, [Measured(-5 * SIGMA, SIGMA**2)] * 30
    assert after(gains + losses).prior.above(0) < after(losses + gains).prior.above(0)
    long = 4 * int(effects.MEMORY)
    assert after(gains + losses[:1] * long).counts == pytest.approx(after(losses[:1] * long).counts, abs=0.5)
