"""Curves made by hand: what is measured on them, what is named, and what they cannot make fail."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from harness.diagnosis import trace
from harness.diagnosis.causes import CAUSES, Terms, rank
from harness.diagnosis.features import Facts, Features, measure
from hypothesis import given
from hypothesis import strategies as st

FACTS = Facts(budget="300s", vocab_size=512, bytes_per_token=2.0, epochs=0.1)


def items(count: int = 150, seed: int = 1, **columns: Any) -> list[dict[str, Any]]:
    """A healthy curve as curve.jsonl has it; of `columns`, a function of the step gives the value."""
    dice = random.Random(seed)
    made = []
    for step in range(count):
        loss = 3.8 + 2.4 * math.exp(-step / 25) - 0.3 * step / count + dice.gauss(0, 0.1)
        row = {"step": step, "progress": step / count, "seconds": step * 2.0, "tokens": 512 * (step + 1)}
        row |= {"loss": loss, "lr": min(1.0, 0.1 + step / 10), "wait_s": step * 0.01}
        if step % 10 == 0:
            row["memory_mb"] = 400.0
        if step % 16 == 0:
            row |= {"update_matrix": 0.028, "update_head": 0.028, "update_embedding": 0.042, "dead": 0.0}
            row |= {"grad_matrix": 0.2, "grad_head": 0.4, "grad_embedding": 0.005, "score": 5.0}
        made.append(row | {name: made_by(step, row) for name, made_by in columns.items()})
    return made


def features(made: list[dict[str, Any]], facts: Facts = FACTS) -> Features:
    return measure(trace.rows(made), facts)


def named(
    made: list[dict[str, Any]], facts: Facts = FACTS, beside: list[dict[str, Any]] | None = None
) -> list[str]:  # fmt: skip
    rival = features(beside) if beside else None
    return [one.cause.name for one in rank(features(made, facts), rival)]


def test_a_healthy_curve_names_nothing() -> None:
    assert named(items()) == []
    assert named(items(), beside=items(seed=2)) == []


def test_what_is_measured_of_the_loss() -> None:
    f = features(items())
    assert f.points == 150
    assert f.first == pytest.approx(6.2, abs=0.3)
    assert f.last == pytest.approx(3.5, abs=0.1)
    assert f.noise == pytest.approx(0.1, abs=0.05)
    assert f.uniform == pytest.approx(math.log(512))
    assert f.train_bpb == pytest.approx(3.5 / math.log(2) / 2, abs=0.1)


@pytest.mark.parametrize("height", [2.0, 5.0])
def test_a_spike_is_found_where_it_is(height: float) -> None:
    made = items(loss=lambda step, row: row["loss"] + (height if 90 <= step < 95 else 0))
    (spike,) = features(made).spikes
    assert spike.at == pytest.approx(90 / 149, abs=0.02)
    assert spike.height == pytest.approx(height, rel=0.3)
    assert named(made)[0] == "spike"


def test_one_high_batch_is_no_spike() -> None:
    assert features(items(loss=lambda step, row: row["loss"] + 2.0 * (step == 90))).spikes == ()


def test_a_rise_that_stays_is_no_spike() -> None:
    made = items(loss=lambda step, row: row["loss"] + (2.0 if step > 90 else 0))
    assert features(made).spikes == ()
    assert named(made)[0] == "diverged"


def test_batches_that_come_again_show() -> None:
    own = (0.5, -0.3, 0.2, -0.6, 0.4, 0.1, -0.4, 0.3)  # of each batch
    made = items(loss=lambda step, row: row["loss"] + own[step % 8])
    assert features(made).repeats in (8, 16, 24)
    assert features(items()).repeats is None


def test_overfitting_and_a_bug_in_the_loss_are_told_apart_by_what_was_read() -> None:
    gap: dict[str, Any] = {"budget": "300s", "vocab_size": 512, "bytes_per_token": 2.0, "val_bpb": 3.5}
    assert named(items(), Facts(**gap, epochs=20.0)) == ["overfitting"]
    assert named(items(), Facts(**gap, epochs=0.1)) == ["loss-bug"]


def test_a_slow_stretch_and_single_long_steps_are_told_apart() -> None:
    def clock(cost: Any) -> list[dict[str, Any]]:
        total, times = 0.0, []
        for step in range(150):
            times.append(total)
            total += cost(step)
        return items(progress=lambda step, row: times[step] / total, seconds=lambda step, row: times[step])

    assert named(clock(lambda step: 3.0 if 60 <= step < 100 else 1.0)) == ["slowed"]
    assert named(clock(lambda step: 9.0 if step % 20 == 19 else 1.0)) == ["recompiled"]
    tokens = Facts(budget="76800tok", vocab_size=512, bytes_per_token=2.0)
    assert named(clock(lambda step: 3.0 if 60 <= step < 100 else 1.0), tokens) == []


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        ("dead", lambda step: 0.6, "dead-units"),
        ("dead", lambda step: 1.0, "no-gradient"),
        ("score", lambda step: 5.0 + step, "attention-scores"),
        ("wait_s", lambda step: step * 1.0, "starved"),
        ("memory_mb", lambda step: 400.0 + 10 * step, "memory-growth"),
        ("update_head", lambda step: 0.3, "rate-too-high"),
        ("update_matrix", lambda step: 0.0005, "rate-too-low"),
        ("grad_matrix", lambda step: 0.0, "no-gradient"),
        ("lr", lambda step: float(step < 50), "plateau"),
    ],
)
def test_one_sign_names_one_cause(column: str, value: Any, cause: str) -> None:
    columns: dict[str, Any] = {column: lambda step, row: value(step)}
    made = items(**columns)
    assert named(made)[0] == cause


def test_large_updates_that_learn_faster_are_no_fault() -> None:
    better = items(update_matrix=lambda step, row: 0.09, loss=lambda step, row: row["loss"] - 0.2)
    assert named(better, beside=items(seed=2)) == []


def test_nan_at_once_and_nan_after_a_climb() -> None:
    at_once = items(loss=lambda step, row: None if step > 60 else row["loss"])
    assert named(at_once)[0] == "nan"
    after = items(loss=lambda step, row: None if step > 30 else row["loss"] + max(0, step - 15) * 0.5)
    assert named(after)[0] == "rate-too-high"


def test_a_log_that_says_out_of_memory() -> None:
    facts = Facts(outcome="crashed", reason="train: out of memory at B=128: set SMALL_DEVICE_BATCH_SIZE = 32")
    (one,) = rank(features([], facts))
    assert one.cause.name == "out-of-memory"
    terms = Terms.of("SMALL_DEVICE_BATCH_SIZE = 128  # rows\n", "small")
    assert "SMALL_DEVICE_BATCH_SIZE from 128 to 64" in one.cause.fix(features([], facts), None, terms)


def test_the_fix_of_a_rate_names_the_constant_and_a_value() -> None:
    f = features(items(update_head=lambda step, row: 0.28))
    (one,) = rank(f)
    terms = Terms.of("FULL_HEAD_LR = 0.05  # AdamW\n", "full")
    assert one.cause.fix(f, None, terms) == "FULL_HEAD_LR from 0.05 to 0.005"
    assert one.cause.fix(f, None, Terms("full", {})) == "FULL_HEAD_LR times 0.1"


def test_the_fix_of_a_run_that_blew_up_at_once_names_what_was_raised() -> None:
    facts = Facts(outcome="crashed", reason="train: diverged by step 7: loss 13.44", vocab_size=512)
    f = features(items(8, loss=lambda step, row: 6.2 + step, progress=lambda step, row: step / 150), facts)
    terms = Terms.of("SMALL_HEAD_LR = 0.3\nSMALL_MATRIX_LR = 0.02\n", "small", "SMALL_HEAD_LR = 0.005\n")
    assert terms.changed == {"SMALL_HEAD_LR": ("0.005", "0.3")}
    first = rank(f)[0]
    assert first.cause.name == "rate-too-high"
    assert first.cause.fix(f, None, terms).startswith("SMALL_HEAD_LR from 0.3 to 0.15, or back")


def test_constants_are_numbers_alone() -> None:
    text = 'SMALL_DEPTH = 2  # layers\nBATCH = 2**10\nPATTERN = "SL"\nRATE = max(1, 2)\nA = 1; print("x")\n'
    assert dict(Terms.of(text, "small").values) == {"SMALL_DEPTH": "2", "BATCH": "2**10"}


# ---------------------------------------------------------------------------------------------------
# Curves that are not whole


def test_torn_lines_and_started_again(tmp_path: Path) -> None:
    curve = tmp_path / "curve.jsonl"
    lines = [json.dumps(item) for item in items()]
    torn = [*lines[:60], '{"step": 61, "lo', "null", "[1]", *lines[20:100], lines[100][:30]]
    curve.write_text("\n".join(torn))
    rows = trace.read(curve)
    assert [row.step for row in rows] == list(range(100))
    assert trace.read(tmp_path / "none") == ()


def test_numbers_that_are_none_are_no_numbers() -> None:
    line = '{"step":0,"progress":0,"seconds":0,"tokens":1,"loss":NaN,"lr":Infinity,"a":true}'
    rows = trace.rows([json.loads(line)])
    assert math.isnan(rows[0].loss)
    assert rows[0].extra == {}


def test_holes_change_nothing_of_the_verdict() -> None:
    made = items(loss=lambda step, row: row["loss"] + (3.0 if 90 <= step < 96 else 0))
    holes = [row for row in made if not 20 <= row["step"] < 50]
    assert named(holes)[0] == "spike"
    bare = [{name: row[name] for name in trace.OWN} for row in items()]
    assert named(bare) == []


_number = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))
_extra = st.sampled_from(["lr", "wait_s", "memory_mb", "dead", "score", "grad_head", "update_head"])
_item = st.fixed_dictionaries(
    {
        "step": st.integers(0, 60),
        "progress": st.floats(0, 2),
        "seconds": st.floats(0, 1e9),
        "tokens": st.integers(0, 10**9),
        "loss": _number,
    }
).flatmap(lambda item: st.dictionaries(_extra, _number).map(lambda extra: {**extra, **item}))


@given(st.lists(_item, max_size=60), st.sampled_from(["300s", "100cpu", "400000tok", ""]), _number)
def test_no_curve_makes_it_fail(made: list[dict[str, Any]], budget: str, bpb: Any) -> None:
    score = float(bpb) if isinstance(bpb, float) and math.isfinite(bpb) else None
    facts = Facts(budget=budget, val_bpb=score, vocab_size=100, bytes_per_token=3.0, epochs=1.0)
    f = features(made, facts)
    terms = Terms.of("", "small")
    for rival in (None, f):
        for one in rank(f, rival):
            assert one.cause in CAUSES
            assert one.cause.fix(f, rival, terms)
