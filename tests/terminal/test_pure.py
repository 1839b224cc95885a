"""What phases, frontier, whys, page and review make of facts."""

from __future__ import annotations

from pathlib import Path

from harness import board, phases, review, watch, whys
from harness.pareto import Point, frontier
from harness.phases import Change, Facts


def point(number: int, bpb: float, memory: float, speed: float, lines: int) -> Point:
    return Point(number, "c", "keep", bpb, memory, speed, lines, "x")


def test_the_frontier_leaves_out_what_is_dominated_and_what_is_within_noise() -> None:
    points = [point(0, 2.0, 400, 100, 600), point(1, 2.1, 500, 90, 610), point(2, 2.2, 200, 100, 600)]
    assert [one.number for one in frontier(points, 0.001)] == [0, 2]
    assert [one.number for one in frontier(points, 10.0)] == [2]


def test_phases_fail_by_facts() -> None:
    fine = Change(frozenset({"LR"}), 0.01)
    twice = Facts(True, True, 5, "logged", (fine,) * phases.RECENT, (True,), ((1, 3),))
    assert [bool(one.fail) for one in phases.of(twice)] == [False, True, True, True]
    assert not any(one.done for one in phases.of(Facts()))


def test_an_edit_is_named_by_its_constant_and_step() -> None:
    assert phases.change("A = 1\nLR = 1.0\n", "A = 1\nLR = 1.1\n").places == {"LR"}
    assert abs((phases.change("LR = 1.0", "LR = 1.1").step or 0) - 0.1) < 1e-9


def test_the_whys_quote_the_line_and_the_edit() -> None:
    cause = "RuntimeError: shapes 3 (train.py, line 2)"
    told = whys.lines(whys.Crash("0001", cause, "a\nb = 2", "a"), whys.Crash("0002", cause, "a\nb = 3", "a"))
    assert "train.py:2 is `b = 3`" in told[2]
    assert "+ b = 3" in told[3] and "of the same" in told[4] and "- b = 2 | + b = 3" in told[4]


def test_the_review_is_cleaned() -> None:
    bad = review.Tried(1, "keep", "<b> [x](y)\x1b[31m", "", 1.9, 0.1, 0.01)
    facts = review.Facts("t", 0.0, "9s", "small", 2.0, 1.9, "abc", (0.1, 0.0), (bad,), (), ())
    text = review.page(facts)
    assert "<b>" not in text and "\x1b" not in text and "\\[x\\]" in text


def test_a_tail_reads_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    line = '{"step": %d, "progress": 0.1, "seconds": 1, "tokens": 1, "loss": 2}'
    path.write_text(line % 1 + "\n" + (line % 2)[:9])
    tail = watch.Tail(path)
    assert [p.step for p in tail.read()] == [1]
    with path.open("a") as file:
        file.write((line % 2)[9:] + "\n")
    assert [p.step for p in tail.read()] == [1, 2]


def test_sparkline_and_pace() -> None:
    assert board.sparkline((2.0, 1.0)) == "█▁"
    assert board.pace([0, 600, 1200]) == 6.0
