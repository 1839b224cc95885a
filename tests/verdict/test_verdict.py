"""The verdict: the rows of the two tables, and what must hold over the whole space of facts."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from typing import Any

import pytest
from harness import choice, framework, knowledge, verdict
from harness.knowledge import Knowledge, Next
from harness.levels import Score
from harness.verdict import Facts, decide
from hypothesis import assume, given
from hypothesis import strategies as st

FULL, SMALL = 0.0004, 0.002  # sigma of one run in the two profiles
RANK = {"crash": 0, "discard": 1, "confirm": 2, "keep": 3}


def begun(sigma: float = FULL, pairing: float = 0.5, runs: int = 3) -> Knowledge:
    """A campaign whose incumbent stands at 1.1."""
    return knowledge.begin([Score(seed, 1.1) for seed in range(runs)], sigma, pairing, assumed=sigma)


def facts(
    gain: float = 0.0, net: int = 0, sigma: float = FULL, runs: int = 1, pairing: float = 0.5, **more: Any
) -> Facts:
    """A finished candidate that is `gain` bpb better on each of its seeds, with `net` more lines."""
    given: dict[str, Any] = {
        "outcome": "finished",
        "scores": tuple(Score(seed, 1.1 - gain) for seed in range(runs)),
        "known": begun(sigma, pairing),
        "runs": runs,
        "incumbent_runs": 3,
        "lines_added": max(net, 0) + 2,
        "lines_removed": max(-net, 0) + 2,
    }
    return Facts(**(given | more))


def baseline(*scores: float, **more: Any) -> Facts:
    ran = tuple(Score(seed, bpb) for seed, bpb in enumerate(scores))
    return Facts("finished", ran, None, runs=len(scores), is_baseline=True, **more)


def told(decided: verdict.Verdict) -> str:
    return "\n".join(decided.reasons)


# -- any facts that the records can make, and the decent ones of them

known = st.builds(
    lambda seed, sigma, pairing, runs: _known(random.Random(seed), sigma, pairing, runs),
    st.integers(0, 2**32),
    st.floats(1e-4, 0.02),
    st.floats(0, 0.95),
    st.integers(1, 4),
)


def _known(dice: random.Random, sigma: float, pairing: float, runs: int) -> Knowledge:
    """A baseline, and up to three candidates after it."""
    found = knowledge.begin([Score(s, dice.gauss(1.1, sigma)) for s in range(runs)], sigma, pairing, sigma)
    for _ in range(dice.randint(0, 3)):
        level = 1.1 - dice.gauss(0, 3 * sigma)
        scores = tuple(Score(seed, dice.gauss(level, sigma)) for seed in range(dice.randint(1, 2)))
        found = found.tried(scores, found.prior, dice.random() < 0.3, fresh=True, counts=True)
    return found


def distances(most: float, least: int = 1, odd: bool = False) -> st.SearchStrategy[list[tuple[int, float]]]:
    """Seeds, each once, and how many sigmas its score lies above the incumbent's level."""
    value = st.floats(-most, most)
    if odd:
        value |= st.sampled_from([math.nan, math.inf, -math.inf, -1e9])
    return st.lists(st.tuples(st.integers(0, 7), value), min_size=least, max_size=4, unique_by=lambda one: one[0])


def at(now: Knowledge, places: list[tuple[int, float]]) -> tuple[Score, ...]:
    return tuple(Score(seed, now.level.mean + z * now.sigma) for seed, z in places)


@st.composite
def anything(draw: Any) -> Facts:
    now = draw(known)
    is_baseline = draw(st.booleans())
    return Facts(
        outcome=draw(st.sampled_from(["finished", "finished", "finished", "crashed", "refused", "stopped"])),
        scores=at(now, draw(distances(200, least=0, odd=True))),
        known=None if is_baseline else now,
        runs=draw(st.integers(1, 8)),
        prior=draw(st.sampled_from([None, now.prior])),
        incumbent_runs=draw(st.integers(0, 5)),
        disturbed=tuple(draw(st.lists(st.just("9 % fewer tokens"), max_size=4))),
        lines_added=draw(st.integers(0, 200)),
        lines_removed=draw(st.integers(0, 200)),
        peak_memory_mb=draw(st.just(0.0) | st.floats(1, 1e5)),
        incumbent_peak_memory_mb=draw(st.just(0.0) | st.floats(1, 1e5)),
        seconds=draw(st.floats(0, 1000)),
        budget_overrun=draw(st.floats(-1, 1)),
        share=draw(st.floats(0, 1)),
        is_baseline=is_baseline,
        baseline_runs=draw(st.integers(1, 6)),
        causal=draw(st.booleans()),
        raced=draw(st.sampled_from(["", "by its curve it would end 0.01 bpb behind the incumbent"])),
        retest=draw(st.booleans()) and not is_baseline,
    )


@st.composite
def compared(draw: Any, near: float = 6) -> Facts:
    """A finished candidate at a distance where there is something to decide."""
    now = draw(known)
    scores = at(now, draw(distances(near)))
    return Facts(
        outcome="finished",
        scores=scores,
        known=now,
        runs=draw(st.integers(len(scores), 6)),
        lines_added=draw(st.integers(0, 40)),
        lines_removed=draw(st.integers(0, 40)),
        retest=draw(st.booleans()),
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
@pytest.mark.parametrize("pairing", [0.0, 0.5, 0.9])
def test_the_tables_of_the_skill_hold_in_both_profiles(gain, net, status, sigma, pairing):
    assert decide(facts(gain, net, sigma, pairing=pairing)).status == status
    if status != "confirm":
        assert decide(facts(gain, net, sigma, pairing=pairing, retest=True)).status == status


def test_a_crash_a_refusal_and_a_stop():
    for outcome in ("crashed", "refused"):
        assert decide(facts(0.5, outcome=outcome)).status == "crash"
    stopped = decide(facts(0.5, outcome="stopped", share=0.4))
    assert stopped.status == "discard"
    assert "40%" in stopped.reasons[0]
    assert decide(facts(0.5, causal=False)).status == "crash"
    for score in (math.nan, math.inf, 0.0, -1.0):
        assert decide(facts(scores=(Score(0, score),))).status == "crash"
    assert decide(facts(scores=())).status == "crash"


def test_a_run_that_its_curve_stopped_says_so():
    raced = decide(facts(outcome="stopped", share=0.4, raced="by its curve it would end 0.0100 bpb behind"))
    assert (raced.status, raced.gain, raced.belief) == ("discard", None, None)
    assert raced.reasons == ("Stopped at 40% of the budget: by its curve it would end 0.0100 bpb behind.",)


def test_the_baseline_that_finished_is_kept_and_needs_nobody_to_beat():
    kept = decide(baseline(1.2))
    assert (kept.status, kept.gain, kept.framework.band, kept.provisional) == ("keep", None, "proceed", False)
    assert decide(Facts("crashed", (), None, is_baseline=True)).status == "crash"


def test_the_baseline_asks_for_its_runs_each_on_a_fresh_seed():
    for runs in (1, 2):
        asked = decide(baseline(*[1.2] * runs, baseline_runs=3))
        assert (asked.status, asked.confirm) == ("confirm", Next("candidate", None))
        assert f"{runs} of 3 runs" in told(asked)
    kept = decide(baseline(1.2, 1.3, 1.4, baseline_runs=3))
    assert kept.status == "keep"
    assert "1.300000" in told(kept) and "mean of 3" in told(kept)


def test_a_baseline_on_a_machine_that_is_never_quiet_ends():
    calm = dataclasses.replace(baseline(1.2, baseline_runs=3), disturbed=("x",) * verdict.DISTURBED_MOST)
    assert decide(calm).status == "confirm"
    assert decide(dataclasses.replace(calm, disturbed=("x",) * (verdict.DISTURBED_MOST + 1))).status == "keep"


def test_a_candidate_without_an_incumbent_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="baseline"):
        decide(facts(known=None))


@pytest.mark.parametrize("is_baseline", [False, True])
def test_a_disturbed_run_is_repeated_twice_at_most(is_baseline):
    for times in range(1, 5):
        f = facts(scores=(), disturbed=("9 % fewer tokens",) * times, runs=times)
        if is_baseline:
            f = dataclasses.replace(f, known=None, is_baseline=True)
        decided = decide(f)
        assert "9 % fewer tokens" in told(decided)
        if times <= 2:
            assert (decided.status, decided.confirm) == ("confirm", Next("candidate", None))
        else:
            assert decided.status == "discard"


def test_a_disturbed_run_beside_one_that_counts_is_left_out_and_said():
    f = facts(0.01, runs=2)
    left_out = decide(dataclasses.replace(f, disturbed=("9 % fewer tokens",)))
    assert left_out.status == decide(f).status == "keep"
    assert "1 run on a disturbed machine left out: 9 % fewer tokens." in left_out.reasons


def test_a_run_far_over_its_budget_is_not_comparable_and_one_a_little_over_is_marked():
    assert decide(facts(0.05, budget_overrun=0.15)).status == "discard"
    assert decide(facts(0.05, -20, budget_overrun=0.15)).status == "discard"
    marked = decide(facts(0.05, budget_overrun=0.05))
    assert marked.status == "keep"
    assert any("5.0% past its budget" in reason for reason in marked.reasons)


@given(compared(), st.floats(0, 1e5), st.floats(0, 1e5))
def test_memory_is_said_and_decides_nothing(f, ours, theirs):
    other = decide(dataclasses.replace(f, peak_memory_mb=ours, incumbent_peak_memory_mb=theirs))
    assert other.status == decide(f).status
    if min(ours, theirs) > 0 and ours > 1.06 * theirs:
        assert any(reason.startswith("Peak memory +") for reason in other.reasons)


# ------------------------------------------------------------------------------------------------------
# Confirming, and the re-test


def test_a_gain_inside_the_noise_is_confirmed():
    decided = [decide(facts(z * FULL / 4)) for z in range(1, 40)]
    statuses = [one.status for one in decided]
    assert [key for key, _ in itertools.groupby(statuses)] == ["discard", "confirm", "keep"]
    for one in decided:
        if one.status == "confirm":
            assert one.confirm is not None and "once more, on another seed" in told(one)
            assert one.confirm.seed != 0 or one.confirm.side == "incumbent"


def test_a_caller_that_has_used_all_runs_gets_no_more():
    for z in range(40):
        assert decide(dataclasses.replace(facts(z * FULL / 4), runs=verdict.RUNS_MOST)).status != "confirm"


def test_simpler_code_is_confirmed_once_at_most():
    losses = [z * SMALL / 20 for z in range(60)]
    statuses = [decide(facts(-loss, -1, SMALL, pairing=0.0)).status for loss in losses]
    assert [key for key, _ in itertools.groupby(statuses)] == ["keep", "confirm", "discard"]
    for loss in losses:
        assert decide(facts(-loss, -1, SMALL, pairing=0.0, runs=2)).status in ("keep", "discard")
    assert decide(facts(-losses[-1], -1, SMALL, pairing=0.0, runs=2)).status == "discard"
    assert decide(facts(-losses[2], -1, SMALL, pairing=0.0, runs=2)).status == "keep"


@given(st.integers(), st.floats(-12, 12), st.integers(-30, 30), st.floats(0, 0.95), st.sampled_from([FULL, SMALL]))
def test_every_experiment_ends_within_its_runs(seed, gain, net, pairing, sigma):
    """Whatever the scores are, with each run that is asked for made."""
    dice = random.Random(seed)
    f = facts(0.0, net, sigma, pairing=pairing, scores=(Score(0, dice.gauss(1.1 - gain * sigma, sigma)),))
    for runs in range(1, 10):
        decision = decide(f)
        if decision.status != "confirm":
            assert decision.confirm is None
            break
        assert decision.confirm is not None
        fresh = 1000 + runs
        one = fresh if decision.confirm.seed is None else decision.confirm.seed
        if decision.confirm.side == "candidate":
            assert one not in {score.seed for score in f.scores}
            f = dataclasses.replace(f, scores=(*f.scores, Score(one, dice.gauss(1.1 - gain * sigma, sigma))))
        else:
            assert one not in f.knowledge.ran
            f = dataclasses.replace(f, known=f.knowledge.ran_again(Score(one, dice.gauss(1.1, sigma))))
        f = dataclasses.replace(f, runs=runs + 1)
    assert decision.status in ("keep", "discard")
    assert f.runs <= (verdict.SIMPLER_RUNS_MOST if net < 0 else verdict.RUNS_MOST)


def test_a_keep_on_soft_ground_is_provisional_and_its_retest_decides():
    kept = decide(facts(0.05, 40, peak_memory_mb=2e4, incumbent_peak_memory_mb=1e4))
    assert (kept.status, kept.provisional, kept.framework.band) == ("keep", True, "conditional")
    assert f"Kept provisionally, at {kept.framework.composite} of 100" in told(kept)
    again = facts(0.05, 40, runs=2, peak_memory_mb=2e4, incumbent_peak_memory_mb=1e4, retest=True)
    stands = decide(again)
    assert (stands.status, stands.provisional) == ("keep", False), "it is tested once"
    undone = decide(dataclasses.replace(again, scores=(Score(0, 1.05), Score(1, 1.2))))
    assert undone.status == "discard"
    between = decide(dataclasses.replace(again, scores=(Score(0, 1.1 - 4 * FULL), Score(1, 1.1 + 3 * FULL))))
    assert between.status == "discard", "never a second re-test"


@given(compared())
def test_a_retest_is_final(f):
    decided = decide(dataclasses.replace(f, retest=True))
    assert decided.status in ("keep", "discard")
    assert not decided.provisional


def test_keeps_together_err_no_more_than_the_budget_allows():
    """A gain that is kept while there is room for its error is not, once other keeps have used it up."""
    now = begun(SMALL)
    for gain in (z * SMALL / 8 for z in range(4, 60)):
        f = facts(gain, sigma=SMALL, runs=1)
        if (first := decide(f)).status == "keep":
            break
    assert first.error is not None and 0 < first.error <= now.allowed
    spent = dataclasses.replace(now, errors=(choice.ERRORS,) * 3 + (choice.ERROR_MOST,))
    assert spent.allowed < first.error
    assert decide(dataclasses.replace(f, known=spent)).status != "keep"
    sure = dataclasses.replace(now, errors=(0.0,) * 20)
    assert decide(dataclasses.replace(f, known=sure)).status == "keep"


# ------------------------------------------------------------------------------------------------------
# Over the whole space


@given(anything())
def test_every_fact_has_a_verdict_that_a_person_can_read(f):
    decision = decide(f)
    assert decision.status in RANK
    assert (decision.confirm is not None) == (decision.status == "confirm")
    assert decision.reasons
    for reason in decision.reasons:
        assert len(reason) <= 180
        assert reason.endswith(".")
        assert not any(word in reason for word in ("nan", "inf ", "-0%", "None"))
    numbers = [decision.gain, decision.error]
    numbers += [decision.belief.mean, decision.belief.sd] if decision.belief else []
    assert all(number is None or math.isfinite(number) for number in numbers)
    assert (decision.gain is None) == (decision.belief is None) == (decision.error is None) == (not f.compared)
    assert decision.error is None or 0 <= decision.error <= 1


@given(compared(), st.randoms())
def test_the_order_of_the_runs_is_nothing(f, rng):
    one, other = decide(f), decide(dataclasses.replace(f, scores=tuple(rng.sample(f.scores, len(f.scores)))))
    assume(not _on_the_brink(f))
    assert (other.status, other.confirm, other.provisional) == (one.status, one.confirm, one.provisional)
    assert other.gain == pytest.approx(one.gain, abs=1e-9)
    assert other.framework.composite == pytest.approx(one.framework.composite, abs=1)


def _shifted(f: Facts, by: float) -> tuple[Score, ...]:
    """All scores so many sigmas higher."""
    return tuple(dataclasses.replace(score, val_bpb=score.val_bpb + by * f.sigma) for score in f.scores)


def _on_the_brink(f: Facts) -> bool:
    """Rounding decides: a change of a millionth of a sigma in all scores makes another verdict."""

    def moved(by: float) -> tuple[str, bool]:
        decided = decide(dataclasses.replace(f, scores=_shifted(f, by)))
        return decided.status, decided.provisional

    return moved(1e-6) != moved(-1e-6)


# What is monotone. The belief rises with the measured gain whatever the prior (the likelihood ratio of a normal
# does), so with all scores lower alike a keep stays one, and with all higher a discard. One more run of a fresh
# seed moves the measured gain towards its score, and makes it surer: so one as low as the lowest takes no keep for
# its gain back (one for fewer lines may have measured a little worse, and of that it may grow sure), and one far
# above all makes none. What is not: `confirm` and `discard` among themselves, since whether a run pays
# depends on how sure the gain already is; and a run somewhat below the mean of others that lie far apart.


@given(compared(), st.floats(0, 5))
def test_lower_scores_alike_never_take_a_keep_back_nor_make_one_of_higher_ones(f, better):
    def shifted(by: float) -> Facts:
        moved: Facts = dataclasses.replace(f, scores=_shifted(f, by))
        return moved

    before, lower = decide(f), decide(shifted(-better))
    assume(not _on_the_brink(f))
    if before.status == "keep":
        assert lower.status == "keep"
    if before.status == "discard":
        assert decide(shifted(better)).status in ("discard", "confirm")
        assert decide(shifted(better)).status == "discard" or f.net_lines < 0


@given(compared(), st.integers(20, 30), st.floats(0, 3))
def test_one_more_good_run_never_takes_a_keep_back(f, seed, better):
    """On a fresh seed, and as low as the lowest or lower."""
    if decide(f).status == "keep" and f.net_lines >= 0 and not _on_the_brink(f):
        low = min(score.val_bpb for score in f.scores) - better * f.sigma
        more = dataclasses.replace(f, scores=(*f.scores, Score(seed, low)), runs=f.runs + 1)
        assert decide(more).status == "keep"


@given(compared(), st.integers(20, 30), st.floats(20, 100))
def test_one_more_bad_run_never_makes_a_keep(f, seed, worse):
    """On a fresh seed, far above all others and the incumbent."""
    if decide(f).status == "discard":
        high = max(max(score.val_bpb for score in f.scores), f.knowledge.level.mean) + worse * f.sigma
        more = dataclasses.replace(f, scores=(*f.scores, Score(seed, high)), runs=f.runs + 1)
        assert decide(more).status == "discard"


@given(compared(), st.integers(1, 40))
def test_fewer_lines_never_take_a_keep_back(f, fewer):
    if decide(f).status == "keep":
        assert decide(dataclasses.replace(f, lines_removed=f.lines_removed + fewer)).status == "keep"


@given(compared(near=30))
def test_what_is_measured_worse_is_never_kept_unless_it_is_simpler(f):
    decided = decide(f)
    if f.net_lines >= 0 and f.gain <= max(f.price, 0):
        assert decided.status == "discard"
    if f.net_lines < 0 and decided.status == "keep":
        assert f.belief.mean >= -verdict.SIMPLER_MOST * f.sigma
    if decided.status == "keep" and f.net_lines >= 0:
        allowed = max(f.knowledge.allowed, choice.ERROR_MOST * f.retest)
        assert decided.error <= allowed and f.belief.mean > f.price


# ------------------------------------------------------------------------------------------------------
# The framework


@given(anything())
def test_verdict_and_framework_never_contradict_each_other(f):
    decision = decide(f)
    band, composite = decision.framework.band, decision.framework.composite
    assert band == framework.band_of(composite)
    assert {
        "keep": composite >= 70,
        "confirm": 70 <= composite <= 84,
        "discard": composite <= 69,
        "crash": composite <= 69,
    }[decision.status]
    provisional = decision.status == "keep" and band == "conditional" and not f.retest
    assert decision.provisional == provisional
    assert any("provisionally" in reason for reason in decision.reasons) == provisional


@given(anything(), st.sampled_from(sorted(framework.RANGE)))
def test_the_framework_holds_for_any_status_and_is_short(f, status):
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
    f = decide(facts(0.003, 4, runs=2)).framework
    mean = (30 * f.quality + 25 * f.efficiency + 25 * f.accuracy + 20 * f.safety) / 100
    assert f.composite == math.floor(mean)
    assert f.band == "proceed"
    assert "by the weights" not in f.lines[-1]


def test_a_composite_held_back_by_the_verdict_says_so():
    f = decide(facts(0.001, 20)).framework
    assert f.band == "stop"
    if "by the weights" in f.lines[-1]:
        assert "the verdict is discard" in f.lines[-1]
    held = framework.score(facts(0.05), "discard")
    assert (held.composite, held.band) == (69, "stop")
    assert "(by the weights 100; the verdict is discard)" in held.lines[-1]
