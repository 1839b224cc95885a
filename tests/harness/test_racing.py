"""Racing: curves are compared only where they can be, a hopeless run is stopped, and a control is not."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise
from typing import Any

import pytest
from harness import choice, knowledge, racing
from harness.curve import Point
from harness.knowledge import Knowledge
from harness.levels import Score
from harness.racing import SHARES, Forecast, Race
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.lab import Lab

SIGMA = 0.002
LOG = 'tools/log_result.py -d "what you tried"'


def known(runs: int = 1, sigma: float = SIGMA) -> Knowledge:
    return knowledge.begin([Score(seed, 1.1) for seed in range(runs)], sigma, 0.5, sigma)


def curve(
    offset: float = 0.0, steps: int = 100, batch: int = 1000, lr: float = 1.0, until: float = 1.0
) -> list[Point]:
    """Loss falls from 8 to 4; the rate falls to nothing over the second half."""
    shares = [step / steps for step in range(1, steps + 1) if step / steps <= until]
    rates = [lr * min(1.0, 2 * (1 - share)) for share in shares]
    return [
        Point(at + 1, share, 60 * share, batch * (at + 1), 8 - 4 * share + offset, rate)
        for at, (share, rate) in enumerate(zip(shares, rates, strict=True))
    ]


def against(stranger: str = "", control: bool = False, least: float = -0.01) -> Race:
    """Rate 0.5 bpb a nat: 0.1 nats behind at half of the budget foretell 0.025 bpb."""
    return racing.race(curve(), 0.5, [least] * len(SHARES), 1.1, control, stranger, "0000-abc")


# ---------------------------------------------------------------------------------------------------
# Curves


def test_the_forecast_is_the_difference_shrunk_by_the_share() -> None:
    told, hopeless = racing.look(curve(0.1), against(least=-1.0))
    assert told == pytest.approx([-0.1 * 0.5 * share for share in SHARES])
    assert hopeless is None
    assert racing.look(curve(-0.1), against(least=-1.0))[0] == pytest.approx([0.05 * share for share in SHARES])


def test_it_is_hopeless_from_the_first_share_on_where_it_is() -> None:
    _, hopeless = racing.look(curve(0.1), against(least=-0.022))
    assert hopeless is not None
    assert hopeless.share == 0.5, "0.1 x 0.5 x 0.5 = 0.025"
    assert hopeless.foretold == pytest.approx(-0.025)
    assert racing.look(curve(0.1, until=0.45), against(least=-0.022))[1] is None, "not yet"


@pytest.mark.parametrize(
    "points",
    [curve(5.0, batch=1020), curve(5.0, batch=980), curve(5.0, lr=1.05), curve(5.0, lr=0.95), curve(5.0, lr=0.0)],
)
def test_another_batch_or_another_rate_is_another_curve(points: list[Point]) -> None:
    assert racing.look(points, against()) == ((None,) * len(SHARES), None)


def test_a_little_of_either_is_the_same() -> None:
    assert racing.look(curve(5.0, batch=1005, lr=1.01), against())[1] is not None
    assert racing.look(curve(5.0, steps=90), against())[1] is not None, "slower, at the same share"


def test_a_schedule_that_comes_together_is_compared_where_it_has() -> None:
    """Another warm-up, and the same rate after it."""
    points = [dataclasses.replace(p, lr=0.5 * (p.lr or 0)) if p.progress < 0.45 else p for p in curve(5.0)]
    told, hopeless = racing.look(points, against())
    assert told[:2] == (None, None) and None not in told[2:]
    assert hopeless is not None and hopeless.share == 0.5


def test_a_rate_that_is_not_logged_compares_nothing() -> None:
    bare = [dataclasses.replace(p, lr=None) for p in curve(5.0)]
    assert racing.look(bare, against()) == ((None,) * len(SHARES), None)
    none = racing.race(bare, 0.5, [-0.01] * len(SHARES), 1.1, False, "", "")
    assert none.checks == ()
    assert racing.look(curve(5.0), none)[1] is None


def test_a_stranger_is_not_compared() -> None:
    assert racing.look(curve(5.0), against("the change is about the loss")) == ((None,) * len(SHARES), None)


@pytest.mark.parametrize("empty", [[], curve(until=0.01), curve(until=0.02)])
def test_short_curves_on_either_side(empty: list[Point]) -> None:
    assert racing.look(empty, against()) == ((None,) * len(SHARES), None)
    nothing = racing.race(empty, 0.5, [-0.01] * len(SHARES), 1.1, False, "", "")
    assert racing.look(curve(5.0), nothing)[1] is None
    json.dumps(dataclasses.asdict(nothing))


def test_a_hole_is_not_filled() -> None:
    points = [p for p in curve(5.0) if not 0.2 < p.progress < 0.55]
    told, hopeless = racing.look(points, against())
    assert told[:3] == (None, None, None) and told[3] is not None
    assert hopeless is not None and hopeless.share == 0.6


def test_a_loss_that_is_no_number_is_none() -> None:
    points = [dataclasses.replace(p, loss=math.nan) if 0.25 < p.progress < 0.35 else p for p in curve(5.0)]
    assert racing.look(points, against())[0][0] is None


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1.1), st.floats(0, 20), st.none() | st.floats(0, 2))))
def test_any_curve_has_an_answer(rows: list[tuple[int, float, float, float | None]]) -> None:
    """However a resumed run is torn."""
    points = [Point(step, share, 1.0, 100 * step, loss, lr) for step, share, loss, lr in rows]
    told, _ = racing.look(points, against())
    assert len(told) == len(SHARES)
    assert all(one is None or math.isfinite(one) for one in told)
    found = racing.race(points, 0.5, [-0.01] * len(SHARES), 1.1, False, "", "")
    racing.look(curve(), found)
    assert racing.read(json.loads(json.dumps(dataclasses.asdict(found)))) is not None


def test_a_race_is_read_as_it_was_written() -> None:
    race = against(control=True)
    assert racing.read(json.loads(json.dumps(dataclasses.asdict(race)))) == race
    for broken in ({}, {"checks": 1}, {**dataclasses.asdict(race), "rate": None}):
        assert racing.read(broken) is None


# ---------------------------------------------------------------------------------------------------
# How far forecasts are off, and from where on a run is hopeless


def test_spreads_are_wide_while_forecasts_are_few_and_follow_them_then() -> None:
    unit = 0.75 * SIGMA
    few, good = racing.spreads(SIGMA, unit, (), 0), [Forecast((0.0,) * len(SHARES), 0.0)] * 30
    assert list(few) == sorted(few, reverse=True), "surer as the run goes on"
    assert all(narrow < wide for narrow, wide in zip(racing.spreads(SIGMA, unit, good, 0), few, strict=True))
    off = [Forecast((5 * SIGMA,) * len(SHARES), -5 * SIGMA)] * 30
    assert racing.spreads(SIGMA, unit, off, 0)[-1] == pytest.approx(10 * SIGMA, rel=0.1)
    far = [Forecast((100 * SIGMA,) * len(SHARES), -100 * SIGMA)]
    assert racing.spreads(SIGMA, unit, far, 0) == few, "what ended far off says nothing of what is near"
    holes = [Forecast((None,) * len(SHARES), 0.0)] * 30
    assert racing.spreads(SIGMA, unit, holes, 0) == few


def test_false_kills_widen() -> None:
    wide = [racing.spreads(SIGMA, SIGMA, (), kills) for kills in range(4)]
    for one, more in pairwise(wide):
        assert all(a < b for a, b in zip(one, more, strict=True))
    limits = [racing.limits(known(), 0, 0.0, spread) for spread in wide]
    for one, more in pairwise(limits):
        assert all(a >= b for a, b in zip(one, more, strict=True)), "fewer are hopeless"


@given(
    st.floats(1e-4, 0.02), st.integers(1, 4), st.integers(0, 60), st.floats(0, 3), st.integers(0, 3),
    st.integers(0, 5),
)  # fmt: skip
def test_what_is_as_good_as_the_incumbent_is_never_hopeless(
    sigma: float, runs: int, seen: int, off: float, kills: int, seed: int
) -> None:
    """However sure forecasts have become."""
    now = known(runs, sigma)
    history = [Forecast((off * sigma,) * len(SHARES), 0.0)] * seen
    spread = racing.spreads(sigma, now.effects.unit, history, kills)
    found = racing.limits(now, seed, racing.second_look(now, seed, 5), spread)
    assert all(math.isfinite(one) and one <= -sigma for one in found)
    race = racing.race(curve(), 0.5, found, 1.1, False, "", "")
    assert all(check.limit > check.loss for check in race.checks)
    for offset in (0.0, -0.5):
        assert racing.look(curve(offset), race)[1] is None


def test_surer_forecasts_stop_more() -> None:
    now = known()
    look = racing.second_look(now, 0, 5)
    limits = [racing.limits(now, 0, look, [width * SIGMA])[0] for width in (0.5, 1, 2, 4, 8)]
    assert limits == sorted(limits, reverse=True)


def test_a_second_look_is_where_the_verdict_stops_to_discard_at_once() -> None:
    now = known(3)
    look = racing.second_look(now, 0, 5)
    assert 0 <= look < 6 * SIGMA
    shown = now.measured([Score(0, 1.1)]).variance

    def status(gain: float) -> object:
        belief = now.prior.given(gain, shown)
        return choice.choose(belief, 0.0, now.allowed, SIGMA**2, now.run_value, 5).status

    assert status(look + SIGMA / 4) != "discard"
    assert look == 0 or status(look - SIGMA / 4) == "discard"


def test_one_in_eight_is_a_control_and_nobody_chooses() -> None:
    drawn = [racing.is_control("t1", number) for number in range(4000)]
    assert sum(drawn) / 4000 == pytest.approx(1 / racing.CONTROLS, abs=0.02)
    assert drawn == [racing.is_control("t1", number) for number in range(4000)]
    assert drawn != [racing.is_control("t2", number) for number in range(4000)]


@pytest.mark.parametrize(
    "line, changes",
    [
        ("    loss = F.cross_entropy(logits, targets)", True),
        ("SEQUENCE_LENGTH = 1024", True),
        ("for batch in run.batches(rows):", True),
        ("label_smoothing=0.1", True),
        ("MATRIX_LR = 0.02", False),
        ("class Block(nn.Module):", False),
    ],
)
def test_what_is_about_the_loss(line: str, changes: bool) -> None:
    assert racing.changes_loss([line]) == changes
    assert not racing.changes_loss([])


# ---------------------------------------------------------------------------------------------------
# Through the commands. A run of ten steps, of 0.35 s each: it is looked at every second

STEP = 0.35
BAD = 1.8  # 0.3 bpb behind, and its curve by 0.9 nats


def skip_to(lab: Lab, control: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next run be a control, or not."""
    monkeypatch.setattr(racing, "is_control", lambda tag, number: control)


def test_a_hopeless_run_is_stopped_and_its_row_says_where(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_to(lab, False, monkeypatch)
    answer = lab.try_idea(SCORE=BAD, STEP=STEP)
    assert answer.code == 0, "that it loses is a result"
    record = lab.record(1)
    assert (record["outcome"], record["val_bpb"]) == ("stopped", None)
    assert record["share"] < 1 and record["hopeless"] in SHARES
    assert "by its curve it would end" in answer.out and answer.next == LOG
    told = [one for one in record["foretold"] if one is not None]
    assert told and max(told) < 0
    logged = lab.log("much worse")
    assert logged.out.startswith("verdict: discard\n")
    assert f"Stopped at {record['share']:.0%} of the budget: by its curve" in logged.out
    assert lab.rows()[1][3:] == ["discard", f"much worse [stopped at {100 * record['share']:.0f} %]"]
    assert lab.revert().code == 0
    assert lab.state == "clean"


def test_a_control_is_finished_and_remembered(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_to(lab, True, monkeypatch)
    assert lab.try_idea(SCORE=BAD, STEP=STEP).code == 0
    record = lab.record(1)
    assert (record["outcome"], record["val_bpb"], record["share"]) == ("finished", BAD, 1.0)
    assert record["hopeless"] in SHARES and record["gain"] == pytest.approx(-0.3, abs=1e-3)
    assert lab.log("worse").out.startswith("verdict: discard\n")
    assert lab.rows()[1][3:] == ["discard", "worse"]


@pytest.mark.parametrize("how", ["batch", "loss", "rate", "better"])
def test_what_cannot_be_compared_is_not_raced(lab: Lab, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    skip_to(lab, False, monkeypatch)
    changed: dict[str, dict[str, Any]] = {"batch": {"BATCH": 50}, "rate": {"LR": 0.5}}
    changes = changed.get(how, {})
    text = lab.edit(SCORE=1.4 if how == "better" else BAD, STEP=0.15, **changes)
    if how == "loss":
        (lab.root / "train.py").write_text(text.replace("SCORE * 3 - step / 10", "SCORE * 3.0 - step / 10"))
        (lab.root / "train.py").write_text(lab.train + "# of another loss\n")
    assert lab.run("-m", "exp: x").code == 0
    record = lab.record(1)
    assert (record["outcome"], record["hopeless"]) == ("finished", None)
    compared = [one for one in record["foretold"] if one is not None]
    assert bool(compared) == (how == "better")
    race = json.loads((lab.path(1) / "race.json").read_text())
    assert bool(race["stranger"]) == (how == "loss")


def test_confirmations_and_baselines_race_nobody(lab: Lab) -> None:
    assert not (lab.path(0) / "race.json").exists()
