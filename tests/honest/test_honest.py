"""Edits that a researcher would make, each of which must be scored: whatever guards the score refuses none.

edits/ has one a file. A refusal here is a fault of the guard, not of the edit. Where train.py has changed and an
edit no longer applies, the failure says which text to write anew.
"""

from __future__ import annotations

import math

import pytest
from harness import guard, source

from tests.honest.lab import TRAIN, Edit, edits, run_edit

ALL = edits()


@pytest.fixture(params=ALL)
def edit(request: pytest.FixtureRequest) -> Edit:
    return ALL[request.param]


def test_there_are_enough():
    assert len(ALL) >= 44


def test_it_says_what_it_is(edit):
    first, _, rest = edit.about.partition("\n")
    assert first.endswith(".") and "Source: " in rest


def test_it_may_run(edit):
    text = edit.apply(TRAIN).encode()
    guard.check_source(text)
    source.check(text, TRAIN.encode())


def test_it_is_scored(edit, preparation, tmp_path):
    score = run_edit(tmp_path / "run", edit.apply(TRAIN), preparation)
    assert math.isfinite(score["val_bpb"]) and score["val_bpb"] > 0
