"""The worked examples say what the tools say: each command runs, each quoted line is worded as it is today.

Where one of these fails, a tool's words or decisions have changed: play the examples again with
`.venv/bin/python benchmarks/examples.py`, and read the pages.
"""

from __future__ import annotations

import functools
import re

import pytest
from harness import constants

from .replay import MORE, NAMES, PAGES, PROGRESS, PROJECT, Held, Page, build, play

INDEX = PROJECT / "references" / "examples.md"


@functools.cache
def page(name: str) -> Page:
    return Page(name)


@pytest.fixture(scope="module", params=NAMES)
def replayed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, list[Held]]:
    """A page, and its session on the recorded runs."""
    this = page(request.param)
    return this, play(this, build(this, tmp_path_factory.mktemp(request.param)))


def test_every_quoted_line_is_worded_as_the_tools_word_it(replayed: tuple[Page, list[Held]]) -> None:
    this, session = replayed
    strange = {
        f"{held.command}: {line}"
        for held in session
        for line in held.shown
        if this.masked(line) not in {PROGRESS, *map(this.masked, held.printed)}
    }
    assert session and not strange, "\n".join(sorted(strange))


def test_every_command_is_taken_and_ends_as_it_did(replayed: tuple[Page, list[Held]]) -> None:
    _, session = replayed
    for held in session:
        assert 2 not in held.codes, f"{held.command}: {held.printed}"
        failed = any(line.startswith("crashed: ") for line in held.shown)
        assert held.codes[-1] == (1 if failed else 0), held.command


def test_the_scores_are_those_of_the_recorded_runs(replayed: tuple[Page, list[Held]]) -> None:
    """Digit for digit: what a page quotes of a score was measured, and is decided on as it was then."""
    _, session = replayed
    scores = re.compile(r"(?<![\d.])\d\.\d{6}(?!\d)")
    for held in session:
        quoted = {score for line in held.shown for score in scores.findall(line)}
        assert quoted <= {score for line in held.printed for score in scores.findall(line)}, held.command


@pytest.mark.parametrize("name", NAMES)
def test_every_constant_and_every_file_that_it_names_is_there(name: str) -> None:
    text = page(name).text
    train = (PROJECT / "train.py").read_bytes()
    named = set(re.findall(r"\b(?:SMALL|FULL)_[A-Z_]+\b", text))
    assert named
    for constant in named:
        constants.read(train, constant)  # Refused where there is none
    for path in re.findall(r"\b(?:tools|scripts|references|benchmarks)/[\w/-]+\.\w+", text):
        assert (PROJECT / path).is_file(), path


def test_the_index_and_the_manual_lead_to_each_page() -> None:
    assert "references/examples.md" in (PROJECT / "SKILL.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(examples/([\w-]+)\.md\)", INDEX.read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(NAMES) == sorted(path.stem for path in PAGES.glob("*.md"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_out_is_marked(name: str) -> None:
    """A long output is shortened, and no two marks stand beside each other."""
    assert MORE in page(name).text and f"{MORE}\n{MORE}\n" not in page(name).text
