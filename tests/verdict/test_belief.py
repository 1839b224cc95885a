"""A mixture of normals under measurements: against the same things done by quadrature on a fine grid."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from harness import belief
from harness.belief import Mixture
from hypothesis import given
from hypothesis import strategies as st


def mixture(draws: list[tuple[float, float, float]]) -> Mixture:
    """From (share, mean, sd) of each part."""
    total = sum(share for share, _, _ in draws)
    shares, means, sds = zip(*draws, strict=True)
    return Mixture(tuple(share / total for share in shares), means, tuple(sd**2 for sd in sds))


MIXTURES = st.lists(
    st.tuples(st.floats(0.05, 1), st.floats(-3, 3), st.floats(0.2, 2)), min_size=1, max_size=4
).map(mixture)
GRID = np.linspace(-30, 30, 60_001)


def density(of: Mixture) -> Any:
    parts = zip(of.weights, of.means, of.variances, strict=True)
    return np.sum(
        [w * np.exp(-((GRID - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v) for w, m, v in parts], axis=0
    )


def integral(values: Any) -> float:
    return float(values.sum() * (GRID[1] - GRID[0]))


@given(st.floats(-6, 6))
def test_the_normal_distribution(z: float) -> None:
    assert belief.Phi(z) == pytest.approx(NormalDist().cdf(z), abs=1e-12)
    assert belief.phi(z) == pytest.approx(NormalDist().pdf(z), abs=1e-12)


@given(MIXTURES, st.floats(-3, 3))
def test_moments_tails_and_surplus(of: Mixture, bar: float) -> None:
    shape = density(of)
    assert of.mean == pytest.approx(integral(GRID * shape), abs=1e-6)
    assert of.sd == pytest.approx(math.sqrt(integral((GRID - of.mean) ** 2 * shape)), rel=1e-6)
    assert of.above(bar) == pytest.approx(integral(np.where(bar < GRID, shape, 0)), abs=2e-3)
    assert of.surplus(bar) == pytest.approx(integral(np.maximum(GRID - bar, 0) * shape), abs=1e-5)
    assert 0 <= of.above(bar) <= 1
    assert of.surplus(bar) >= max(0.0, of.mean - bar) - 1e-12, "to choose is worth no less than either choice"


@given(MIXTURES, st.floats(-4, 4), st.floats(0.1, 4), st.floats(-2, 2))
def test_a_measurement_is_bayes(of: Mixture, measured: float, variance: float, bar: float) -> None:
    shape = density(of) * np.exp(-((GRID - measured) ** 2) / (2 * variance))
    shape /= integral(shape)
    after = of.given(measured, variance)
    assert math.fsum(after.weights) == pytest.approx(1)
    assert after.mean == pytest.approx(integral(GRID * shape), abs=1e-6)
    assert after.sd == pytest.approx(math.sqrt(integral((GRID - after.mean) ** 2 * shape)), rel=1e-5)
    mean, above = of.outlook(variance, bar)(measured)
    assert mean == pytest.approx(after.mean, abs=1e-9)
    assert above == pytest.approx(after.above(bar), abs=1e-9)


@given(MIXTURES, st.lists(st.tuples(st.floats(-4, 4), st.floats(0.1, 4)), min_size=2, max_size=2))
def test_two_measurements_come_in_any_order(of: Mixture, pair: list[tuple[float, float]]) -> None:
    one, other = of.given(*pair[0]).given(*pair[1]), of.given(*pair[1]).given(*pair[0])
    assert one.weights == pytest.approx(other.weights)
    assert one.means == pytest.approx(other.means)
    assert one.variances == pytest.approx(other.variances)


@given(MIXTURES, st.floats(-4, 4), st.floats(0.1, 4), st.floats(0.01, 3), st.floats(-2, 2))
def test_a_better_measurement_is_believed_better(
    of: Mixture, measured: float, variance: float, more: float, bar: float
) -> None:
    """The likelihood ratio rises with the gain, so does every tail, whatever the prior."""
    low, high = of.given(measured, variance), of.given(measured + more, variance)
    assert high.mean >= low.mean - 1e-12
    assert high.above(bar) >= low.above(bar) - 1e-12


def test_what_is_impossible_stays_so_and_what_is_far_is_finite() -> None:
    of = Mixture((0.0, 1.0), (5.0, 0.0), (1.0, 1.0))
    assert of.given(5.0, 0.01).weights == (0.0, 1.0)
    far = of.given(1e6, 1e-6)
    assert math.isfinite(far.mean) and far.mean == pytest.approx(1e6, rel=1e-5)
    assert list(of.outlook(1e-6, 0.0)(1e6)) == pytest.approx([1e6, 1.0], rel=1e-5)
