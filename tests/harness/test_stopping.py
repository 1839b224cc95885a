"""The end, asked for: what is in hand is finished first, nothing further begins, and it can be taken back."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from harness import driver, state, stopping
from harness.verdict import RUNS_MOST
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.lab import Lab, score_for, unsure
from tests.harness.test_state import FACTS
from tests.harness.test_walk import check, disturb, follow

END = f"end your turn: {stopping.ASKED}"
EDIT = 'edit train.py, then scripts/run_experiment.sh -m "exp: what you try"'
LOG = 'tools/log_result.py -d "what you tried"'


def ask(lab: Lab, now: bool = False) -> None:
    stopping.ask(lab.root, now)


def test_the_file(tmp_path: Path) -> None:
    assert stopping.asked(tmp_path) is None
    assert not stopping.withdraw(tmp_path)
    (tmp_path / "STOP").touch()
    assert stopping.asked(tmp_path) == stopping.Request(now=False)
    stopping.ask(tmp_path, now=True)
    assert stopping.asked(tmp_path) == stopping.Request(now=True)
    stopping.ask(tmp_path, now=False)
    assert stopping.asked(tmp_path) == stopping.Request(now=True), "who asked for now is not made to wait"
    assert stopping.withdraw(tmp_path)
    assert stopping.asked(tmp_path) is None
    (tmp_path / "STOP").write_text("Now, please\n")
    assert stopping.asked(tmp_path) == stopping.Request(now=True)
    (tmp_path / "STOP").write_text("I know\n")
    assert stopping.asked(tmp_path) == stopping.Request(now=False)


def test_a_stop_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "STOP").mkdir()
    assert stopping.asked(tmp_path) == stopping.Request(now=False)
    assert stopping.withdraw(tmp_path)
    (tmp_path / "STOP").symlink_to("nowhere")
    assert stopping.asked(tmp_path) == stopping.Request(now=False)
    assert stopping.withdraw(tmp_path)
    assert stopping.asked(tmp_path) is None


@given(FACTS, st.sampled_from(["", "why"]))
def test_only_what_would_begin_is_ended(facts: state.Facts, stop: str) -> None:
    free, found = state.derive(facts), state.derive(replace(facts, stop=stop))
    assert found.name == free.name
    if stop and free.name in ("new", "clean", "edited", "provisional"):
        assert found.next == "end your turn: why"
    else:
        assert found == free


def test_new(new: Lab) -> None:
    ask(new)
    assert new.status()["next"] == END
    assert new.run("-m", "exp: x").next == END
    assert new.run("--baseline").code == 0, "the baseline does not care"
    assert new.log("baseline").next == END


def test_clean_and_edited(lab: Lab) -> None:
    ask(lab)
    found = lab.status()
    assert (found["state"], found["next"], found["stop"]) == ("clean", END, stopping.ASKED)
    text = lab.edit(SCORE=1.4)
    before = lab.refs()
    for command in (["-m", "exp: x"], ["--fix", "-m", "x"], ["--confirm"], ["--wait"], ["--stop"], ["--baseline"]):
        answer = lab.run(*command)
        assert (answer.code, answer.next) == (2, END), command
        assert len(answer.err.splitlines()) == 1
    assert (lab.train, lab.refs(), len(lab.runs())) == (text, before, 1)
    assert "go on with tools/stop.py --withdraw" in lab.run("-m", "exp: x").err
    assert stopping.withdraw(lab.root)
    assert lab.run("-m", "exp: x").code == 0


def test_what_is_in_hand_is_finished(lab: Lab) -> None:
    lab.edit(SCORE=1.6, STEP=0.1)
    assert lab.run("-m", "exp: x", "--wait", "0").code == 75
    ask(lab)
    assert lab.status()["next"] == state.WAIT
    assert lab.run("--wait").next == LOG
    assert lab.log().next == state.REVERT
    assert lab.revert().next == END


def test_confirmations_and_fixes_go_on(lab: Lab) -> None:
    lab.try_idea(SCORE=score_for(unsure))
    ask(lab)
    assert lab.status()["next"] == state.CONFIRM
    for _ in range(RUNS_MOST):
        if lab.status()["next"] != state.CONFIRM:
            break
        assert lab.run("--confirm").code == 0
    assert lab.log().next == END
    stopping.withdraw(lab.root)
    lab.try_idea(CRASH="always")
    ask(lab)
    assert lab.status()["next"] == state.FIX
    lab.edit(SCORE=1.3, CRASH="")
    assert lab.run("--fix", "-m", "fix: x").code == 0
    assert lab.log().next == END


def test_any_order(lab: Lab) -> None:
    """With STOP coming and going: it never keeps what is in hand from its end, and nothing begins under it."""
    luck = random.Random(1)
    for step in range(12):
        disturb(lab, luck, step)
        if luck.random() < 0.4:
            ask(lab)
            runs, decided = len(lab.runs()), len(lab.rows())
            for _ in range(8):
                if lab.status()["next"] == END:
                    break
                follow(lab)
            assert lab.status()["next"] == END
            assert len(lab.rows()) - decided <= 1, "no other than what was in hand"
            assert len(lab.runs()) == runs or len(lab.rows()) > decided
            stopping.withdraw(lab.root)
        else:
            follow(lab)
        check(lab)


# ---------------------------------------------------------------------------------------------------
# The person's command


def test_stop_and_withdraw(lab: Lab) -> None:
    answer = lab.call("stop.py")
    assert answer.code == 0
    assert answer.out.splitlines()[:2] == [
        "STOP is set: no further experiment begins",
        "no experiment is in hand: nothing is lost",
    ]
    assert lab.status()["next"] == END
    answer = lab.call("stop.py", "--withdraw")
    assert answer.out == "STOP is taken back: research may go on\n"
    assert lab.status()["next"] == EDIT
    assert lab.call("stop.py", "--withdraw").out == "there is no STOP to take back\n"


def test_stop_says_what_happens_to_the_run(lab: Lab) -> None:
    lab.edit(SCORE=1.4, STEP=9.0)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    out = lab.call("stop.py").out
    assert "run 0001 is in progress (" in out
    assert "it is finished and logged first" in out
    assert lab.state == "running"
    answer = lab.call("stop.py", "--now")
    assert answer.code == 0
    assert "it is discarded, and logged as that" in answer.out
    lab.settle()
    assert lab.record(1)["outcome"] == "stopped"
    assert lab.rows()[1][3] == "discard"
    assert (lab.state, lab.status()["next"]) == ("clean", END)


def test_now_leaves_it_to_a_start_that_lives(lab: Lab) -> None:
    lab.edit(SCORE=1.4, STEP=0.1)
    lab.run("-m", "exp: slow", "--wait", "0")
    with driver.the_only_one(lab.root, "t1"):
        found = json.loads(lab.call("stop.py", "--now", "--json").out)
        assert (found["started"], found["now"]) == (True, True)
        assert lab.state in ("running", "finished")
        out = lab.call("stop.py", "--now").out
    assert "scripts/start.sh is at work on the campaign t1, and ends once nothing is in hand\n" in out


def test_stop_elsewhere(lab: Lab) -> None:
    lab.git("switch", "-q", "main")
    answer = lab.call("stop.py")
    assert answer.code == 0
    assert "the branch main is no campaign's" in answer.out
    assert stopping.asked(lab.root) is not None


@pytest.mark.parametrize("tool", ["stop.py", "report.py"])
def test_help(new: Lab, tool: str) -> None:
    answer = new.call(tool, "--help")
    assert answer.code == 0
    assert "examples:" in answer.out
    assert new.call(tool, "--nonsense").code == 2
