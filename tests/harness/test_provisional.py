"""A keep on soft ground: kept provisionally, run once more before anything builds on it, undone if that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from harness import conclude, reconcile, state, stopping, submit, verdict

from tests.harness.lab import Answer, Lab, score_for, unsure
from tests.harness.test_loop import refused

LINES = 40  # with twice the memory, enough for any gain to be kept provisionally


def soft(lab: Lab, retest: float = 1.3) -> Answer:
    """An edit that gains 0.2 on the seed of its first run, for much code and memory; and scores `retest` then."""
    lab.edit(SCORE=1.3, MEMORY=1024.0)
    text = lab.lengthen(LINES)
    first = submit.seed_of("t1", 0)
    score = f'"score": SCORE if run.seed == {first} else {retest}'
    assert '"score": SCORE' in text
    (lab.root / "train.py").write_text(text.replace('"score": SCORE', score))
    assert lab.run("-m", "exp: heavy").code == 0
    return lab.log("heavy")


def decision(lab: Lab, number: int) -> dict[str, object]:
    return dict(json.loads((lab.path(number) / "decision.json").read_text()))


def test_it_is_run_once_more_and_nothing_else_is(lab: Lab) -> None:
    before = lab.tip
    answer = soft(lab)
    assert answer.out.startswith("verdict: keep\n") and "Kept provisionally, at " in answer.out
    assert answer.next == state.CONFIRM
    assert 70 <= int(str(decision(lab, 1)["composite"])) <= 84
    assert lab.tip != before, "the branch has it"
    refused(lab, "provisional", state.CONFIRM, "--confirm", "revert")
    lab.edit(SCORE=1.2)
    refused(lab, "provisional", state.CONFIRM, "--confirm", "revert")


def test_one_that_stands_is_final(lab: Lab) -> None:
    soft(lab)
    kept = lab.tip
    answer = lab.run("--confirm")
    assert (answer.code, answer.next) == (0, state.LOG)
    assert lab.record(2)["seed"] != lab.record(1)["seed"]
    refused(lab, "finished", state.LOG, "log", "--wait")
    answer = lab.log("heavy, and it stands")
    assert answer.out.startswith("verdict: keep\n")
    assert (lab.state, answer.next) == ("clean", state.EDIT)
    assert lab.tip == kept == lab.refs()["t1/0001"]
    assert [row[3:] for row in lab.rows()] == [["keep", "baseline"], ["keep", "heavy, and it stands"]]
    assert quiet(lab)
    assert not decision(lab, 2)["provisional"]
    lab.try_idea(SCORE=1.1)
    assert lab.log("more").out.startswith("verdict: keep\n")


def quiet(lab: Lab) -> bool:
    """No command says that somebody changed results.tsv."""
    return not lab.status()["notes"] and "note: " not in lab.call("status.py").out


def undone(lab: Lab, before: str, original: str) -> None:
    """The branch is back, the row is a discard, and the edit is to be reverted."""
    assert (lab.tip, lab.git("show", "HEAD:train.py") + "\n") == (before, original)
    refused(lab, "logged", state.REVERT, "revert")
    assert [row[3] for row in lab.rows()] == ["keep", "discard"]
    assert float(lab.rows()[1][1]) > 1.4, "the mean of both"
    assert lab.revert().next == state.EDIT
    assert (lab.train, lab.state) == (original, "clean")
    assert lab.git("status", "--porcelain") == ""
    lab.try_idea(SCORE=1.2)
    assert lab.log("another").out.startswith("verdict: keep\n"), "and it goes on from the old incumbent"
    assert lab.git("rev-parse", "HEAD^") == before


def test_one_that_fails_is_undone(lab: Lab) -> None:
    before, original = lab.tip, lab.train
    soft(lab, retest=3.0)
    candidate = lab.tip
    assert lab.run("--confirm").next == state.LOG
    assert lab.tip == candidate, "until it is decided"
    answer = lab.log("heavy")
    assert answer.out.startswith("verdict: discard\n")
    assert f"the branch autoresearch/t1 is back at {before[:7]}" in answer.out
    assert answer.next == state.REVERT
    assert quiet(lab)
    assert decision(lab, 2)["undone"] and decision(lab, 2)["landed"] == before
    assert candidate in lab.refs().values(), "still reachable"
    undone(lab, before, original)


@pytest.mark.parametrize("instant", ["keep", "undo", "ledger"])
def test_killed_between_the_decision_and_what_follows(lab: Lab, instant: str) -> None:
    """The next command completes it, whichever it is, and nobody is accused of having changed a row."""
    before, original = lab.tip, lab.train

    class Killed(BaseException):
        pass

    def die(*args: object) -> None:
        raise Killed

    lab.edit(SCORE=1.3)
    if instant == "keep":
        with mock.patch.object(conclude, "look", die), pytest.raises(Killed):
            soft(lab)
        assert lab.tip == before
        assert lab.status()["state"] == "provisional"
        assert lab.git("show", "HEAD:train.py") + "\n" == lab.train
        return
    soft(lab, retest=3.0)
    lab.run("--confirm")
    place = (conclude, "look") if instant == "undo" else (reconcile, "mend_ledger")
    with mock.patch.object(*place, die), pytest.raises(Killed):
        lab.log("heavy") if instant == "undo" else conclude_alone(lab, die)
    assert decision(lab, 2)["status"] == "discard"
    assert lab.rows()[1][3] == "keep", "not yet"
    found = lab.status()
    assert (found["state"], found["next"], found["notes"]) == ("logged", state.REVERT, [])
    undone(lab, before, original)


def conclude_alone(lab: Lab, die: Callable[..., None]) -> None:
    """Log, where the ledger is reached once the decision is written only."""
    mend, calls = reconcile_mend, []

    def second(*args: Any) -> object:
        calls.append(1)
        if len(calls) > 1:
            die(*args)
        return mend(*args)

    with mock.patch.object(reconcile, "mend_ledger", second):
        lab.log("heavy")


reconcile_mend = reconcile.mend_ledger


def test_a_row_changed_by_hand_is_still_seen(lab: Lab) -> None:
    soft(lab, retest=3.0)
    lab.run("--confirm")
    path = lab.root / "results.tsv"
    path.write_text(path.read_text().replace("1.300000", "1.200000"))
    assert any("had been changed" in note for note in lab.status()["notes"])
    lab.log("heavy")
    path.write_text(path.read_text().replace("discard", "keep"))
    assert any("had been changed" in note for note in lab.status()["notes"])
    assert [row[3] for row in lab.rows()] == ["keep", "discard"]


def test_a_retest_that_crashes_or_is_stopped_undoes_it(lab: Lab) -> None:
    before = lab.tip
    lab.edit(SCORE=1.3, MEMORY=1024.0)
    text = lab.lengthen(LINES)
    first = submit.seed_of("t1", 0)
    loop = "    for step in range"
    text = text.replace(loop, f"    unlucky = run.seed != {first}\n{loop}").replace(
        "if CRASH and", "if unlucky and"
    )
    (lab.root / "train.py").write_text(text)
    lab.run("-m", "exp: heavy")
    assert lab.log("heavy").next == state.CONFIRM
    answer = lab.run("--confirm")
    assert (answer.code, answer.next) == (1, state.LOG)
    answer = lab.run("--fix", "-m", "fix: it")
    assert (answer.code, answer.next) == (2, state.LOG), "what is on the branch is not mended"
    assert lab.log("heavy").out.startswith("verdict: crash\n")
    assert lab.tip == before and lab.rows()[1][3] == "crash"
    assert quiet(lab)
    assert lab.revert().next == state.EDIT


def test_stop_leaves_it_as_it_is(lab: Lab) -> None:
    """What is on soft ground when the end comes stays so, and is said; the next start goes on with it."""
    soft(lab)
    stopping.ask(lab.root, now=False)
    end = f"{state.END}: {stopping.ASKED}"
    assert (lab.state, lab.status()["next"]) == ("provisional", end)
    runs = lab.runs()
    for command in (["--confirm"], ["-m", "exp: x"]):
        answer = lab.run(*command)
        assert (answer.code, answer.next) == (2, end)
    assert lab.runs() == runs
    stopping.withdraw(lab.root)
    assert lab.run("--confirm").code == 0


# ---------------------------------------------------------------------------------------------------
# Seeds


def test_a_baseline_of_three_runs(new: Lab) -> None:
    three = {"AUTORESEARCH_BASELINE_RUNS": "3"}
    (new.root / "train.py").write_text(new.train.replace("NOISE = 0.0", "NOISE = 0.002"))
    new.commit("with noise", "train.py")
    answer = new.run("--baseline", **three)
    for number in (1, 2):
        assert answer.next == state.CONFIRM
        assert f"{number} of 3 runs" in new.log("too early").out
        assert not (new.root / "results.tsv").exists() or new.rows() == []
        answer = new.run("--confirm")
        assert answer.code == 0, answer.err
    assert answer.next == state.LOG
    assert new.log("baseline").out.startswith("verdict: keep\n")
    scores = [new.record(number)["val_bpb"] for number in range(3)]
    assert [new.record(number)["seed"] for number in range(3)] == [submit.seed_of("t1", n) for n in range(3)]
    assert new.rows() == [[new.tip[:7], f"{sum(scores) / 3:.6f}", "0.5", "keep", "baseline"]]
    assert new.state == "clean"


@pytest.mark.parametrize("asked", ["0", "x", "7", "-1"])
def test_a_baseline_of_no_such_number(new: Lab, asked: str) -> None:
    answer = new.run("--baseline", AUTORESEARCH_BASELINE_RUNS=asked)
    assert answer.code == 2 and f"no number from 1 to {verdict.RUNS_MOST}" in answer.err


def test_no_commit_runs_twice_on_one_seed_and_every_seed_was_drawn(lab: Lab) -> None:
    for score in (score_for(unsure), 1.6, 1.2):
        lab.try_idea(SCORE=score)
        for _ in range(verdict.RUNS_MOST):
            if lab.status()["next"] != state.CONFIRM:
                break
            assert lab.run("--confirm").code == 0
        lab.log("an idea")
        lab.revert()
    requests = [json.loads((lab.root / "runs/t1" / name / "run.json").read_text()) for name in lab.runs()]
    pairs = [(one["commit"], one["seed"]) for one in requests]
    assert len({*pairs}) == len(pairs)
    for one in requests:
        drawn = one["number"] if one["drawn"] is None else one["drawn"]
        assert drawn <= one["number"]
        assert one["seed"] == submit.seed_of("t1", drawn)
    assert any(one["drawn"] is not None for one in requests)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 7},
        {"seed": submit.seed_of("t1", 9), "drawn": 9},  # of a run that is still to come: chosen
        {"seed": submit.seed_of("t2", 0), "drawn": 0},
        {"drawn": None},
    ],
)
def test_a_seed_that_nobody_drew_decides_nothing(lab: Lab, change: dict[str, object]) -> None:
    lab.try_idea(SCORE=1.3)
    assert json.loads((lab.path(1) / "run.json").read_text())["drawn"] == 0
    for name in ("run.json", "record.json"):
        path = lab.path(1) / name
        value = json.loads(path.read_text())
        path.write_text(json.dumps(value | {key: new for key, new in change.items() if key in value}))
    answer = lab.log("lucky")
    assert answer.code == 2 and "the one that was drawn is" in answer.err
    assert len(lab.rows()) == 1
