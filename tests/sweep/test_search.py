"""A search: what Optuna is told, and that what it says follows from the records alone."""

from __future__ import annotations

import pytest
from harness import sweep, sweep_step
from harness.situation import look
from harness.sweep import Axis, Plan, Point
from harness.sweep_search import Trial, suggest

from tests.harness.lab import Lab

RATE = Axis("RATE", "0.06", ends=("0.01", "0.1"))
BATCH = Axis("BATCH", "2**10", values=("2**9", "2**10", "2**11", "2**12"))
KIND = Axis("KIND", '"a"', values=('"a"', '"b"'))


def plan(*axes: Axis, trials: int = 20, number: int = 5) -> Plan:
    return Plan(number, 0.0, "c" * 40, axes, trials=trials)


def search(of: Plan, trials: int = 20) -> list[Trial]:
    """Let it search a bowl with its bottom at RATE 0.03, BATCH 2**11, KIND b."""
    done: list[Trial] = []
    for _ in range(trials):
        point = suggest(of, "t1", done, bowl(of, of.before))
        if point is None:
            break
        done.append(Trial(point, bowl(of, point)))
    return done


def bowl(of: Plan, point: Point) -> float:
    values = dict(zip((axis.name for axis in of.axes), point, strict=True))
    rate = 40 * (float(values.get("RATE", "0.03")) - 0.03) ** 2
    batch = {"2**9": 0.05, "2**10": 0.02, "2**11": 0.0, "2**12": 0.03}[values.get("BATCH", "2**11")]
    return 2.0 + rate + batch + 0.01 * (values.get("KIND", '"b"') == '"a"')


def test_it_finds_the_bottom() -> None:
    done = search(plan(RATE, BATCH, KIND))
    scores = [trial.val_bpb or 9.9 for trial in done]
    assert min(scores) < 2.004
    assert sum(scores[10:]) / 10 < sum(scores[:5]) / 5, "it gets better"
    assert len({trial.point for trial in done}) == len(done)


def test_what_comes_next_follows_from_the_records() -> None:
    of = plan(RATE, BATCH)
    done = search(of, trials=9)
    for count in range(len(done)):
        assert suggest(of, "t1", done[:count], bowl(of, of.before)) == done[count].point
    assert suggest(of, "t2", [], None) != suggest(of, "t1", [], None), "another campaign draws others"


def test_values_stay_in_their_range_and_are_short() -> None:
    of = plan(RATE, Axis("WIDTH", "8", ends=("2", "64")), BATCH)
    for trial in search_any(of, 12):
        rate, width, batch = trial.point
        assert 0.01 <= float(rate) <= 0.1 and len(rate) <= 7
        assert 2 <= int(width) <= 64
        assert batch in BATCH.values


def search_any(of: Plan, count: int) -> list[Trial]:
    done: list[Trial] = []
    for at in range(count):
        point = suggest(of, "t1", done, None)
        assert point is not None
        done.append(Trial(point, 2.0 + at / 100))
    return done


def test_it_ends_where_every_value_was_tried() -> None:
    of = plan(BATCH, KIND)
    assert of.size == 7
    done = search(of)
    assert {trial.point for trial in done} == set(of.points) - {of.before}


def test_crashes_and_stopped_runs_are_kept_away_from() -> None:
    of = plan(Axis("RATE", "0.02", ends=("0.01", "1.0")))
    done: list[Trial] = []
    for _ in range(24):
        point = suggest(of, "t1", done, 2.0)
        assert point is not None
        rate = float(point[0])
        if rate > 0.3:
            done.append(Trial(point, None))
        elif rate > 0.1:
            done.append(Trial(point, None, 0.4, -rate))
        else:
            done.append(Trial(point, 2.0 + abs(rate - 0.03)))
    late = [float(trial.point[0]) for trial in done[12:]]
    assert sum(rate > 0.1 for rate in late) < sum(rate <= 0.1 for rate in late)


def test_the_incumbent_out_of_the_range_is_no_trial() -> None:
    of = plan(Axis("RATE", "0.5", ends=("0.01", "0.1")), KIND)
    assert suggest(of, "t1", [], 2.0) == suggest(of, "t1", [], None)


def test_a_whole_search(lab: Lab) -> None:
    text = lab.train.replace('"score": SCORE', '"score": SCORE + 100 * (RATE - 0.03) ** 2')
    text = text.replace("DEPTH = 4", "RATE = 0.06\nDEPTH = 4").replace("SCORE = 1.5", "SCORE = 1.3")
    (lab.root / "train.py").write_text(text)
    assert lab.run("-m", "exp: a rate").code == 0
    assert lab.log().out.startswith("verdict: keep")
    answer = lab.call("sweep.py", "--search", "RATE", "0.01..0.1", "--trials", "4")
    assert answer.code == 0, answer
    assert "sweep 0002: 4 of 4 trials" in answer.out
    assert len(lab.rows()) == 6
    now = look(lab.root)
    of = sweep.newest(lab.root, "t1")
    assert of is not None and of.why == sweep.DONE
    points = [point for point, _ in sweep.tried(of, now.experiments)]
    for count in range(4):  # the records say what was tried, and so what came next
        done = [sweep_step.trial(point, one) for point, one in sweep.tried(of, now.experiments)[:count]]
        assert suggest(of, "t1", done, sweep_step.score_at_start(now, of)) == points[count]


def test_a_campaign_without_optuna_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = lab.call("sweep.py", "--search", "SCORE", "1.3..1.4")
    assert answer.code == 2
    assert "optuna is not installed: run scripts/setup.sh" in answer.err
    assert sweep.newest(lab.root, "t1") is None
