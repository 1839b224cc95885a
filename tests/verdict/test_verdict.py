"""The verdict: the rows of the two tables, and what must hold over the whole space of facts."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest
from harness import framework, verdict
from harness.verdict import Facts, decide
from hypothesis import given
from hypothesis import strategies as st

FULL, SMALL = 0.0004, 0.002  # sigma of one run in the two profiles
RANK = {"crash": 0, "discard": 1, "confirm": 2, "keep": 3}


def facts(
    gain: float = 0.0, net: int = 0, sigma: float = FULL, runs: int = 1, incumbent_runs: int = 1, **more: Any
) -> Facts:
    """A finished candidate that is `gain` bpb better than an incumbent at 1.1, with `net` more lines."""
    return Facts(
        outcome="finished",
        scores=(1.1 - gain,) * runs,
        incumbent_scores=(1.1,) * incumbent_runs,
        sigma=sigma,
        lines_added=max(net, 0) + 2,
        lines_removed=max(-net, 0) + 2,
        **more,
    )


scores = st.lists(st.floats(0.5, 3.0), min_size=1, max_size=4).map(tuple)
close_scores = st.lists(st.floats(1.0, 1.01), min_size=1, max_size=4).map(tuple)
odd = st.floats(-1, 100) | st.sampled_from([math.nan, math.inf, -math.inf])
anything = st.builds(
    Facts,
    outcome=st.sampled_from(["finished", "finished", "finished", "crashed", "refused", "stopped"]),
    scores=st.one_of(scores, close_scores, st.lists(odd, max_size=3).map(tuple)),
    incumbent_scores=st.one_of(scores, close_scores),
    sigma=st.floats(0, 1) | st.sampled_from([math.nan, math.inf, -1.0]),
    lines_added=st.integers(0, 200),
    lines_removed=st.integers(0, 200),
    peak_memory_mb=st.just(0.0) | st.floats(1, 1e5),
    incumbent_peak_memory_mb=st.just(0.0) | st.floats(1, 1e5),
    seconds=st.floats(0, 1000),
    budget_overrun=st.floats(-1, 1),
    share=st.floats(0, 1),
    is_baseline=st.booleans(),
    causal=st.booleans(),
    confirmations=st.integers(0, 3),
)
compared = st.builds(
    Facts,
    outcome=st.just("finished"),
    scores=close_scores,
    incumbent_scores=close_scores,
    sigma=st.floats(0.0001, 0.005),
    lines_added=st.integers(0, 40),
    lines_removed=st.integers(0, 40),
    confirmations=st.integers(0, 2),
)


# ------------------------------------------------------------------------------------------------------
# The tables


@pytest.mark.parametrize(
    ("gain", "net", "status"),
    [
        (0.001, 20, "discard"),  # 0.001 better with 20 more lines: skip
        (0.001, -3, "keep"),  # 0.001 better with deleted code: keep
        (0.0, -1, "keep"),  # equal and simpler: keep
        (-0.0001, -5, "keep"),  # equal within the tolerance and simpler: keep
        (0.0, 0, "discard"),  # the same: go back
        (0.0, 20, "discard"),
        (-0.01, 0, "discard"),  # worse: go back
        (-0.01, -20, "discard"),  # simpler does not pay for that
        (0.05, 40, "keep"),  # improved: keep
    ],
)
@pytest.mark.parametrize("sigma", [FULL, SMALL])
def test_the_tables_of_the_skill_hold_in_both_profiles(gain, net, status, sigma):
    assert decide(facts(gain, net, sigma)).status == status


@pytest.mark.parametrize("net", [-10, 0, 2, 8, 16])
def test_in_full_a_gain_of_a_thousandth_with_few_lines_is_kept_at_once(net):
    assert decide(facts(0.001, net, FULL)).status == "keep"


def test_a_crash_a_refusal_and_a_stop():
    for outcome in ("crashed", "refused"):
        assert decide(Facts(outcome, (), (1.0,), FULL)).status == "crash"
    stopped = decide(Facts("stopped", (), (1.0,), FULL, share=0.4))
    assert stopped.status == "discard"
    assert "40%" in stopped.reasons[0]
    assert decide(facts(0.5, causal=False)).status == "crash"
    for score in (math.nan, math.inf, 0.0, -1.0):
        assert decide(Facts("finished", (score,), (1.0,), FULL)).status == "crash"
    assert decide(Facts("finished", (), (1.0,), FULL)).status == "crash"


def test_the_baseline_that_finished_is_kept_and_needs_nobody_to_beat():
    kept = decide(Facts("finished", (1.2,), (), FULL, is_baseline=True))
    assert (kept.status, kept.gain, kept.framework.band) == ("keep", None, "proceed")
    assert decide(Facts("crashed", (), (), FULL, is_baseline=True)).status == "crash"


@pytest.mark.parametrize("incumbent", [(), (math.nan,)])
def test_a_candidate_without_an_incumbent_is_a_mistake_of_the_caller(incumbent):
    with pytest.raises(ValueError, match="baseline"):
        decide(Facts("finished", (1.0,), incumbent, FULL))


def test_a_run_far_over_its_budget_is_not_comparable_and_one_a_little_over_is_marked():
    assert decide(facts(0.01, budget_overrun=0.15)).status == "discard"
    marked = decide(facts(0.01, budget_overrun=0.05))
    assert marked.status == "keep"
    assert any("5.0% past its budget" in reason for reason in marked.reasons)


def test_more_memory_is_said_and_decides_nothing():
    more = decide(facts(0.01, peak_memory_mb=2e4, incumbent_peak_memory_mb=1e4))
    assert more.status == "keep"
    assert any("memory +100%" in reason for reason in more.reasons)


# ------------------------------------------------------------------------------------------------------
# Confirming


def test_a_gain_inside_the_noise_is_confirmed_on_the_side_with_fewer_runs():
    first = decide(facts(0.0006))
    assert (first.status, first.confirm) == ("confirm", "candidate")
    second = decide(facts(0.0005, runs=2, confirmations=1))
    assert (second.status, second.confirm) == ("confirm", "incumbent")
    # then the mean decides, and half its noise is asked: sigma sqrt(1/2 + 1/2) / 2 = 0.0002
    assert decide(facts(0.00021, runs=2, incumbent_runs=2, confirmations=2)).status == "keep"
    assert decide(facts(0.00019, runs=2, incumbent_runs=2, confirmations=2)).status == "discard"


def test_a_caller_that_counts_no_confirmations_is_bounded_by_the_runs():
    assert decide(facts(0.0005, runs=3)).status in ("keep", "discard")


def test_simpler_code_is_confirmed_once_at_most():
    first = decide(facts(-0.0005, -2))
    assert first.status == "confirm"
    assert decide(facts(-0.0002, -2, runs=2, confirmations=1)).status == "keep"
    assert decide(facts(-0.0005, -2, runs=2, confirmations=1)).status == "discard"


@given(st.integers(), st.floats(-0.005, 0.005), st.integers(-30, 30), st.sampled_from([FULL, SMALL]))
def test_every_experiment_ends_within_two_confirmations(seed, gain, net, sigma):
    draw = random.Random(seed).gauss
    sides = {"incumbent": [draw(1.1, sigma)], "candidate": [draw(1.1 - gain, sigma)]}
    added, removed = max(net, 0), max(-net, 0)
    for confirmations in range(4):
        decision = decide(
            Facts(
                "finished",
                tuple(sides["candidate"]),
                tuple(sides["incumbent"]),
                sigma,
                added,
                removed,
                confirmations=confirmations,
            )
        )
        if decision.status != "confirm":
            assert not decision.confirm
            break
        sides[decision.confirm].append(draw(1.1 - gain * (decision.confirm == "candidate"), sigma))
    assert decision.status in ("keep", "discard")
    assert confirmations <= (1 if net < 0 else 2)


# ------------------------------------------------------------------------------------------------------
# Over the whole space


@given(anything)
def test_every_fact_has_a_verdict_that_a_person_can_read(f):
    decision = decide(f)
    assert decision.status in RANK
    assert (decision.confirm in ("candidate", "incumbent")) == (decision.status == "confirm")
    assert decision.reasons
    for reason in decision.reasons:
        assert len(reason) <= 180
        assert reason.endswith(".")
        assert "nan" not in reason


@given(compared, st.randoms())
def test_the_order_of_the_runs_is_nothing(f, rng):
    def shuffled(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(rng.sample(values, len(values)))

    other = dataclasses.replace(f, scores=shuffled(f.scores), incumbent_scores=shuffled(f.incumbent_scores))
    assert decide(other) == decide(f)


@given(compared, st.floats(0, 0.01), st.integers(0, 3))
def test_a_lower_score_never_decides_for_the_worse(f, better, which):
    improved = list(f.scores)
    improved[which % len(improved)] -= better
    assert RANK[decide(dataclasses.replace(f, scores=tuple(improved))).status] >= RANK[decide(f).status]


@given(compared, st.integers(1, 40))
def test_fewer_lines_never_decide_for_the_worse(f, fewer):
    shorter = dataclasses.replace(f, lines_removed=f.lines_removed + fewer)
    kept_or_asked = RANK[decide(shorter).status]
    before = RANK[decide(f).status]
    # Simpler code is asked for one confirmation only, so what was undecided may be settled; never downwards
    # where it was kept.
    assert kept_or_asked >= before or before == RANK["confirm"]


@given(compared)
def test_a_gain_beyond_noise_and_price_is_kept_and_a_loss_beyond_noise_is_not(f):
    if f.gain >= max(verdict.CLEAR * f.spread, verdict.EQUAL * f.noise + 1e-12, f.price + 1e-12):
        assert decide(f).status == "keep"
    if f.gain < -f.spread and f.gain < -f.noise:
        assert decide(f).status == "discard"


# ------------------------------------------------------------------------------------------------------
# The framework


@given(anything)
def test_verdict_and_framework_never_contradict_each_other(f):
    decision = decide(f)
    band, composite = decision.framework.band, decision.framework.composite
    assert band == framework.band_of(composite)
    assert {
        "keep": band in ("proceed", "conditional"),
        "confirm": band == "conditional",
        "discard": band == "stop",
        "crash": band == "stop",
    }[decision.status]


@given(anything, st.sampled_from(sorted(framework.RANGE)))
def test_the_framework_holds_for_any_status_and_is_short(f, status):
    if f.no_score or f.is_baseline or f.incumbent_scores:
        result = framework.score(f, status)
        for mark in (result.quality, result.efficiency, result.accuracy, result.safety, result.composite):
            assert isinstance(mark, int)
            assert 0 <= mark <= 100
        low, high = framework.RANGE[status]
        assert low <= result.composite <= high
        assert len(result.lines) <= 6
        assert all(len(line) <= 100 and "\n" not in line for line in result.lines)


def test_the_weights_and_bands_are_those_of_the_skill():
    assert framework.WEIGHTS == {"quality": 30, "efficiency": 25, "accuracy": 25, "safety": 20}
    assert [framework.band_of(c) for c in (100, 85, 84, 70, 69, 0)] == [
        "proceed",
        "proceed",
        "conditional",
        "conditional",
        "stop",
        "stop",
    ]


def test_the_composite_is_the_weighted_mean_where_the_verdict_agrees():
    f = decide(facts(0.003, 4, runs=2, incumbent_runs=2)).framework
    mean = (30 * f.quality + 25 * f.efficiency + 25 * f.accuracy + 20 * f.safety) / 100
    assert f.composite == math.floor(mean)
    assert f.band == "proceed"
    assert "by the weights" not in f.lines[-1]


def test_a_composite_held_back_by_the_verdict_says_so():
    f = decide(facts(0.001, 20)).framework
    assert f.band == "stop"
    assert "the verdict is discard" in f.lines[-1]
