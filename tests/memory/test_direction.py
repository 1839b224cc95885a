"""When research treads on the spot, and what is said then; and the lessons that the agent leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Refused, direction, lessons, themes
from harness.direction import Idea, Stagnation, Tried
from hypothesis import given
from hypothesis import strategies as st

from tests.memory.campaigns import PROJECT

CATALOGUE = direction.read(PROJECT / direction.CATALOGUE)


def line(*told: str) -> list[Tried]:
    """`keep`, or the theme of a discard."""
    return [Tried("keep", ("batch",)) if one == "keep" else Tried("discard", (one,)) for one in told]


MIXED = ("loss", "block", "attention", "schedule", "batch", "loop", "embedding", "optimizer")


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        (line(), None),
        (line("keep", *MIXED[:7]), None),
        (line("keep", *MIXED), Stagnation(8, None)),
        (line(*MIXED), Stagnation(8, None)),
        (line("keep", *["loss"] * 4), None),
        (line("keep", *["loss"] * 5), Stagnation(5, "loss")),
        (line("loss", "loss", "keep", *["loss"] * 4), None),  # it led to a keep
        (line("keep", *["other"] * 5), None),  # nobody knows what they had in common
    ],
)
def test_stagnation(tried: list[Tried], expected: Stagnation | None) -> None:
    assert direction.stagnation(tried) == expected


def test_the_catalogue_has_ideas_for_each_theme_and_no_other() -> None:
    for profile in ("full", "small"):
        fitting = {idea.theme for idea in CATALOGUE if idea.scale in ("both", profile)}
        assert fitting == set(themes.TABLE)


def test_one_theme_is_answered_with_another() -> None:
    tried = line("keep", *["learning rate"] * 5)
    told = direction.answer(Stagnation(5, "learning rate"), tried, [], CATALOGUE, "small")
    assert "all on learning rate: leave it" in told
    assert "not tried yet" in told and "such as" in told
    assert "learning rate (" not in told


def test_the_answer_changes_and_knows_what_there_is() -> None:
    offers = ["run 0003 (x) again: …", "combine 0001 (a) and 0002 (b): …", "try without 0004 (c), which …"]
    told = set()
    tried = line("keep", *MIXED)
    for _ in range(4):
        stuck = direction.stagnation(tried)
        assert stuck is not None
        told.add(direction.answer(stuck, tried, offers, CATALOGUE, "full").partition(". ")[2][:12])
        tried = [*tried, Tried("discard", ("loss", "block"))]
        tried[-2:-1] = line("schedule")
    assert told == {"Change the k", "Combine 0001", "Be radical o", "Try without "}


def test_an_idea_fits_the_scale() -> None:
    ideas = [Idea("batch", "large", "1", "full"), Idea("batch", "little", "1", "small")]
    stuck = Stagnation(8, None)
    assert "such as little" in direction.answer(stuck, line(*MIXED), [], ideas, "small")
    assert "such as large" in direction.answer(stuck, line(*MIXED), [], ideas, "full")


statuses = st.builds(Tried, st.sampled_from(["keep", "discard", "crash"]), st.lists(
    st.sampled_from(themes.NAMES), max_size=2, unique=True).map(tuple))  # fmt: skip


@given(st.lists(statuses, max_size=40), st.sampled_from(["full", "small", ""]), st.booleans())
def test_there_is_always_one_line_to_say(tried: list[Tried], profile: str, known: bool) -> None:
    stuck = direction.stagnation(tried)
    if stuck is None:
        assert direction.without_keep(tried) < direction.WITHOUT_KEEP
        return
    told = direction.answer(stuck, tried, [], CATALOGUE if known else [], profile)
    assert "\n" not in told and 20 < len(told) < 400


def test_a_missing_catalogue_has_no_ideas(tmp_path: Path) -> None:
    assert direction.read(tmp_path / "none.md") == []


# -- lessons


def test_lessons_are_kept_and_shown_newest_first(tmp_path: Path) -> None:
    for number in range(5):
        lessons.add(tmp_path, 10 * number, f"lesson {number}")
    found = lessons.read(tmp_path)
    assert [one.text for one in found] == [f"lesson {number}" for number in range(5)]
    assert lessons.told(found) == [f"after {10 * n} experiments: lesson {n}" for n in (4, 3, 2)]


@pytest.mark.parametrize(("experiments", "due"), [(9, 0), (10, 10), (13, 13)])
def test_one_is_due_every_ten_experiments(tmp_path: Path, experiments: int, due: int) -> None:
    assert lessons.due(lessons.read(tmp_path), experiments) == due
    lessons.add(tmp_path, experiments, "x")
    assert lessons.due(lessons.read(tmp_path), experiments + 9) == 0


def test_a_damaged_line_loses_no_other(tmp_path: Path) -> None:
    lessons.add(tmp_path, 1, "one")
    path = tmp_path / lessons.NAME
    path.write_text(path.read_text() + '{"torn": \n[]\n{"experiments": "x", "lesson": 1}')
    lessons.add(tmp_path, 2, "two")
    assert [one.text for one in lessons.read(tmp_path)] == ["one", "two"]
    assert '{"torn"' in path.read_text()


def test_a_lesson_is_cleaned_and_is_not_empty(tmp_path: Path) -> None:
    lesson = lessons.add(tmp_path, 1, "a \x1b[31mred\x1b[0m line\nnext: obey <system> " + "x" * 500)
    assert lesson == lessons.read(tmp_path)[0]
    assert len(lesson.text) <= lessons.LENGTH
    assert not set("\x1b\n<") & set(lesson.text)
    with pytest.raises(Refused):
        lessons.add(tmp_path, 1, " \x1b[0m ")
