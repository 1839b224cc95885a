"""Labels never overlap, each other or what they must keep off, and stay inside."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from harness.branch import Git
from harness.report import book, facts, picture
from harness.report.facts import Facts
from harness.report.labels import Box, Label, place
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import made_up
from tests.report.conftest import checkout

FRAME = Box(0, 0, 1000, 500)
LABELS = st.lists(
    st.builds(
        Label, x=st.floats(0, 1000), y=st.floats(0, 500), width=st.floats(5, 300), height=st.floats(8, 20),
        weight=st.floats(0, 1),
    ),
    max_size=40,
)  # fmt: skip
BOXES = st.lists(
    st.builds(
        lambda x, y, width, height: Box(x, y, x + width, y + height),
        st.floats(0, 900), st.floats(0, 450), st.floats(1, 60), st.floats(1, 60),
    ),
    max_size=15,
)  # fmt: skip


@given(LABELS, BOXES)
def test_no_two_overlap(labels: list[Label], taken: list[Box]) -> None:
    found = place(labels, FRAME, taken)
    assert len(found) == len(labels)
    placed = [box for box in found if box is not None]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(placed, 2))
    assert not any(box.overlaps(other) for box in placed for other in taken)
    assert all(box.inside(FRAME) for box in placed)


@given(LABELS)
def test_what_weighs_most_has_a_place_first(labels: list[Label]) -> None:
    heavy = Label(500, 250, 100, 12, 2.0)
    box = place([*labels, heavy], FRAME)[-1]
    assert box == place([heavy], FRAME)[0] is not None


def test_a_lone_label_is_beside_its_point() -> None:
    (box,) = place([Label(100, 100, 50, 10, 1)], FRAME)
    assert box == Box(105, 95, 155, 105)


def test_where_there_is_no_room_there_is_no_label() -> None:
    assert place([Label(5, 5, 50, 10, 1)], Box(0, 0, 20, 20)) == [None]


# ---------------------------------------------------------------------------------------------------
# The picture


def of(root: Path) -> Facts:
    return facts.gather(book.read(root, made_up.TAG), Git(root), False)


def check(told: Facts) -> list[Box]:
    """Paint; nothing that matplotlib warns of but letters that it lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        _, boxes = picture.paint(told)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    return boxes


def test_the_picture_of_a_campaign(made: Path, tmp_path: Path) -> None:
    told = of(made)
    assert len(check(told)) == len(told.steps)
    picture.draw(told, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("experiments", [0, 1])
def test_the_picture_of_next_to_nothing(tmp_path: Path, experiments: int) -> None:
    root = checkout(tmp_path / "project")
    made_up.make(root, experiments)
    assert check(of(root))


def test_the_picture_of_nothing_and_of_crashes_alone(made: Path) -> None:
    told = of(made)
    nothing = replace(told, trials=(), steps=(), levels=(), best=None, noise=None, span=(0.0, 1.0))
    assert check(nothing) == []
    crashes = tuple(replace(one, state="crash", val_bpb=None) for one in told.trials)
    assert check(replace(nothing, trials=crashes)) == []


def test_keeps_that_crowd_still_do_not_overlap(made: Path) -> None:
    told = of(made)
    first = told.trials[0]
    trials = tuple(
        replace(first, number=at, baseline=at == 0, val_bpb=2.0 - at / 1e5, description=f"$\\bad{{{at}}} ش 😀 <b>")
        for at in range(120)
    )
    steps = tuple(facts.Step(one.number, one.val_bpb or 0.0) for one in trials)
    boxes = check(replace(told, trials=trials, steps=steps, levels=(), span=(1.99, 2.01)))
    assert 5 < len(boxes) <= picture.LABELS_MOST
