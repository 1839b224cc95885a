"""A near miss run once more: on today's incumbent, and never on a seed that it ran on."""

from __future__ import annotations

import json

import pytest

from tests.harness.lab import Lab


def request(lab: Lab, number: int) -> dict[str, object]:
    return dict(json.loads((lab.path(number) / "run.json").read_text()))


def test_it_is_applied_to_the_incumbent_and_gets_another_seed(lab: Lab) -> None:
    lab.try_idea("exp: a miss", DEPTH=5)
    assert lab.log("a miss").code == 0
    lab.revert()
    lab.try_idea("exp: better", SCORE=1.3)
    assert "verdict: keep" in lab.log("better").out
    assert lab.run("--retry", "1").code == 0
    again = request(lab, 3)
    assert again["retries"] == 1 and again["message"] == "again: exp: a miss"
    assert again["seed"] != request(lab, 1)["seed"]
    text = lab.train
    assert "DEPTH = 5" in text and "SCORE = 1.3" in text
    assert lab.log("a miss, again").code == 0


@pytest.mark.parametrize(("number", "why"), [("7", "no experiment 0007"), ("0", "no experiment 0000")])
def test_what_cannot_be_tried_again_is_refused(lab: Lab, number: str, why: str) -> None:
    answer = lab.run("--retry", number)
    assert answer.code == 2 and why in answer.err and len(answer.err.splitlines()) == 1


def test_a_keep_and_what_does_not_fit_are_refused(lab: Lab) -> None:
    lab.try_idea("exp: a miss", SCORE=1.6)
    lab.log("a miss")
    lab.revert()
    lab.try_idea("exp: better", SCORE=1.3)
    lab.log("better")
    assert "was kept" in lab.run("--retry", "2").err
    answer = lab.run("--retry", "1")
    assert answer.code == 2 and "does not fit the incumbent any more" in answer.err
    assert lab.state == "clean"
