"""Curves: read whatever a kill left, compare at the same share of the budget."""

from __future__ import annotations

import json
import math

from harness import curve
from hypothesis import given
from hypothesis import strategies as st


def line(step: int, progress: float, loss: float = 4.0) -> str:
    return json.dumps(
        {
            "step": step,
            "progress": progress,
            "seconds": 100 * progress,
            "tokens": 1000 * step,
            "loss": loss,
        }
    )


def ramp(steps: int = 100, offset: float = 0.0) -> list[curve.Point]:
    return [
        curve.Point(i, i / steps, 0.6 * i, 6144 * i, 8.0 - 4.0 * i / steps + offset) for i in range(1, steps + 1)
    ]


def test_reads_what_was_logged_and_passes_by_the_rest(tmp_path):
    path = tmp_path / "curve.jsonl"
    good = [line(1, 0.1)[:-1] + ', "lr": 0.02}', line(2, 0.2), line(3, 0.3, loss=math.nan)]
    torn = line(4, 0.4)[:-9]
    path.write_text(
        "\n".join(
            [
                good[0],
                "null",
                "[1]",
                "nonsense",
                "{}",
                line(-1, 0.1),
                line(10**400, 0.1),
                good[1],
                "\x00\x00",
                good[2],
                torn,
            ]
        )
    )
    points = curve.read(path)
    assert [p.step for p in points] == [1, 2, 3]
    assert points[1] == curve.Point(2, 0.2, 20.0, 2000, 4.0)
    assert math.isnan(points[2].loss)


def test_a_missing_curve_and_a_folder_are_empty(tmp_path):
    assert curve.read(tmp_path / "none.jsonl") == []
    assert curve.read(tmp_path) == []


@given(st.binary(max_size=300))
def test_any_bytes_are_read(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("curve") / "curve.jsonl"
    path.write_bytes(line(1, 0.1).encode() + b"\n" + raw)
    assert all(isinstance(p, curve.Point) for p in curve.read(path))


def test_of_a_run_that_was_started_again_the_last_attempt_is_read(tmp_path):
    path = tmp_path / "curve.jsonl"
    path.write_text("\n".join([line(i, i / 10, 9.0) for i in range(5)] + [line(i, i / 10, 7.0) for i in range(3)]))
    assert [(p.step, p.loss) for p in curve.read(path)] == [(0, 7.0), (1, 7.0), (2, 7.0)]


def test_compares_at_five_shares():
    lines = curve.compare(ramp(), ramp(200, offset=0.1))
    assert [text.split(" of")[0].strip() for text in lines] == ["10%", "25%", "50%", "75%", "100%"]
    assert lines[2] == " 50% of the budget: loss 6.0000, incumbent 6.1000 (-0.1000)"
    assert all(len(text) < 80 for text in lines)


def test_compares_only_where_both_have_been():
    lines = curve.compare(ramp()[:40], ramp())
    assert len(lines) == 2
    assert len(curve.compare(ramp(), ramp()[:40])) == 5
    assert curve.compare(ramp(), [])[0] == " 10% of the budget: loss 7.6000"
    assert curve.compare([], ramp()) == ["no curve yet"]
    assert len(curve.compare(ramp(4), ramp())) == 5  # few, long steps


counts = st.integers(0, 10**15)


@given(
    st.lists(st.builds(curve.Point, counts, st.floats(0, 1), st.floats(0, 1e6), counts, st.floats()), max_size=20)
)
def test_any_points_can_be_shown(points):
    assert len(curve.compare(points, points[::-1])) <= 5
    assert "\n" not in curve.progress_line(points)


def test_the_progress_line():
    assert curve.progress_line(ramp()[:40]) == "40 % | step 40 | loss 6.400 | 10.2k tok/s | 36 s left"
    assert curve.progress_line([]) == "starting: no step logged yet"
    assert curve.progress_line([curve.Point(0, 0.0, 0.0, 0, 9.0)]) == "0 % | step 0 | loss 9.000"
    fast = [curve.Point(10, 1.0, 10.0, 17_000_000, 3.2)]
    assert curve.progress_line(fast) == "100 % | step 10 | loss 3.200 | 1.7M tok/s | 0 s left"
