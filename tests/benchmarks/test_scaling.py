"""benchmarks/scaling.py: the laws find what was put in, and the table says what was measured."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.scaling import Cost, Law, Point, Size

ROOT = Path(__file__).resolve().parents[2]
LAW = Law(1.2, 40.0, 0.4, 300.0, 0.5, 0.0)
COST = Cost(1e-9, 0.8)
WORKS = {Size(1, 64): 3e5, Size(1, 128): 7e5, Size(2, 128): 1e6, Size(4, 256): 5e6}


def made(budgets: tuple[float, ...] = (10.0, 30.0, 90.0)) -> list[Point]:
    points = []
    for budget, (size, work) in itertools.product(budgets, WORKS.items()):
        tokens = budget / COST.seconds(work)
        points.append(Point(size, work, budget, tokens, budget, LAW.bpb(work, tokens), math.nan))
    return points


def test_the_laws_find_what_was_put_in() -> None:
    law, cost = scaling.fit_law(made()), scaling.fit_cost(made())
    assert [law.E, law.A, law.a, law.B, law.b] == pytest.approx([LAW.E, LAW.A, LAW.a, LAW.B, LAW.b])
    assert [cost.c, cost.k] == pytest.approx([COST.c, COST.k]) and law.error < 1e-9


def test_more_time_wants_a_larger_size() -> None:
    small, large = (scaling.best_work(LAW, COST, budget, WORKS.values()) for budget in (10.0, 1000.0))
    assert min(WORKS.values()) / scaling.TRAINABLE <= small < large <= max(WORKS.values()) * scaling.TRAINABLE
    reached = [LAW.bpb(work, 10.0 / COST.seconds(work)) for work in (small, *WORKS.values())]
    assert reached[0] <= min(reached) + 1e-4


def test_too_few_points_are_no_law() -> None:
    with pytest.raises(ValueError, match="two sizes and six points"):
        scaling.fit_law(made()[:4])


def test_the_table_names_the_best_and_how_far_off_the_choice_is() -> None:
    points = made()
    lines = scaling.show(points, LAW, COST, Size(2, 128))
    best = min((one for one in points if one.budget == 90.0), key=lambda one: one.bpb)
    own = next(one for one in points if one.budget == 90.0 and one.size == Size(2, 128))
    assert f"best trained {best.size} ({best.bpb:.4f})" in lines[-1]
    assert f"train.py's 2x128 is {own.bpb - best.bpb:.4f} above the best" in lines[-1]


def test_a_size_is_an_edit_of_train_py() -> None:
    text = Size.parse("3x192").text((ROOT / "train.py").read_text())
    assert "SMALL_DEPTH = 3 " in text and "SMALL_WIDTH = 192 " in text
    with pytest.raises(ValueError, match="2x128"):
        Size.parse("two")
    with pytest.raises(ValueError, match="SMALL_DEPTH"):
        Size(1, 64).text("x = 1\n")


def test_more_layers_are_more_work() -> None:
    train = (ROOT / "train.py").read_text()
    one, two = (scaling.work_of(Size(depth, 64).text(train), 512, 64) for depth in (1, 2))
    assert 0 < one < two


def test_it_draws(tmp_path: Path) -> None:
    scaling.plot(made(), LAW, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
