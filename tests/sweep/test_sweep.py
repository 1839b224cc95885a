"""Whole sweeps on the stand-in bench: every value an experiment like any other, whatever comes in between."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import conclude, framework, state, submit, sweep, sweep_plot, sweep_result, sweep_step
from harness.belief import Normal
from harness.sweep import Axis, Plan
from harness.sweep_result import Result, Row

from tests.harness.lab import Answer, Lab, score_for, unsure

WAIT = "tools/sweep.py --wait"


def go(lab: Lab, *args: str) -> Answer:
    return lab.call("sweep.py", *args)


def facts(lab: Lab, *args: str) -> dict[str, Any]:
    answer = go(lab, *args, "--json")
    assert answer.code in (0, 1, 75), answer
    return dict(json.loads(answer.out))


def plans(lab: Lab) -> list[Path]:
    return sorted((lab.root / "runs/t1/sweeps").glob("*.json"))


def outcomes(lab: Lab) -> list[tuple[str, str]]:
    """Status and description of each row but the baseline's."""
    return [(row[3], row[4].partition(" (")[0]) for row in lab.rows()[1:]]


def test_each_value_is_an_experiment_and_the_best_is_kept(lab: Lab) -> None:
    baseline, text = lab.tip, lab.train
    answer = go(lab, "SCORE", "1.52", "1.4", "1.5", "1.45")
    assert answer.code == 0, answer
    assert "SCORE = 1.5 is the incumbent's, and is not run again" in answer.out
    assert outcomes(lab) == [
        ("discard", "SCORE = 1.52"),
        ("keep", "SCORE = 1.4"),
        ("discard", "SCORE = 1.45"),
    ]
    assert "winner: SCORE = 1.4 (experiment 0002, 1 run)" in answer.out
    assert answer.next == state.EDIT
    assert lab.train == text.replace("SCORE = 1.5 ", "SCORE = 1.4 ")
    assert lab.git("rev-parse", "HEAD^") == baseline, "one keep, on the incumbent of the start"
    assert lab.git("show", "HEAD:train.py") == lab.train.strip()
    assert lab.git("log", "-1", "--format=%s", lab.refs()["t1/0003"]) == "sweep 0001: SCORE = 1.45"
    assert lab.git("rev-parse", f"{lab.refs()['t1/0003']}^") == lab.tip, "held against the keep before it"
    assert lab.state == "clean"
    found = facts(lab, "--show")
    assert [row["status"] for row in found["rows"]] == ["discard", "keep", "discard"]
    assert found["winner"]["values"] == {"SCORE": "1.4"}
    assert found["believed"]["mean"] > 1.4, "the winner's luck is taken off"


def test_one_that_is_too_close_to_tell_is_confirmed(lab: Lab) -> None:
    score = score_for(unsure)
    answer = go(lab, "SCORE", repr(score))
    assert answer.code == 0
    assert "run 0002: once more, on another seed" in answer.out
    (row,) = facts(lab, "--show")["rows"]
    assert row["runs"] >= 2
    assert row["status"] in ("keep", "discard")
    assert lab.state == "clean"


def test_a_provisional_keep_is_tested_before_the_next_value(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework, "PROCEED", 99)
    small = score_for(lambda decided: decided.status == "keep" and (decided.error or 0.0) > 0.05)
    answer = go(lab, "SCORE", repr(small), "1.3")
    assert answer.code == 0
    log = answer.out
    assert "Kept provisionally" in log
    assert facts(lab, "--show")["rows"][0]["runs"] == 2
    assert log.index("once more, on another seed") < log.index("SCORE = 1.3 (2 of 2)")


def test_every_combination(lab: Lab) -> None:
    answer = go(lab, "SCORE", "1.5", "1.6", "--param", "DEPTH", "4", "5")
    assert answer.code == 0
    assert [what for _, what in outcomes(lab)] == [
        "SCORE = 1.5; DEPTH = 5",
        "SCORE = 1.6; DEPTH = 4",
        "SCORE = 1.6; DEPTH = 5",
    ]


def test_a_crash_is_a_row_and_the_sweep_goes_on(lab: Lab) -> None:
    answer = go(lab, "SCORE", "-1.0", "1.4")
    assert answer.code == 0
    assert outcomes(lab) == [("crash", "SCORE = -1.0"), ("keep", "SCORE = 1.4")]
    assert lab.rows()[1][1] == "0.000000"


def test_all_crash(lab: Lab) -> None:
    text = lab.train
    answer = go(lab, "CRASH", "boom", "bang")
    assert answer.code == 1
    assert [status for status, _ in outcomes(lab)] == ["crash", "crash"]
    assert "winner: none" in answer.out
    assert answer.out.count("train: boom") == 2, "the cause, when it is logged and in the table"
    assert (lab.train, lab.state) == (text, "clean")


def test_the_limit_of_memory(lab: Lab) -> None:
    text = lab.train.replace('"score": SCORE', '"score": SCORE - MEMORY / 1e4')
    (lab.root / "train.py").write_text(text)
    assert lab.run("-m", "exp: memory helps").code == 0
    assert lab.log().out.startswith("verdict: keep")
    answer = go(lab, "MEMORY", "1024.0", "4096.0", "2048.0", "--memory-limit", "3")
    assert answer.code == 0
    assert [status for status, _ in outcomes(lab)[1:]] == ["keep", "discard", "keep"]
    assert "Peak memory 4.00 GB is over the limit of 3 GB." in answer.out
    assert "1 value needed more than 3 GB; larger ones were tried all the same" in answer.out
    assert "winner: MEMORY = 2048.0" in answer.out
    assert json.loads((lab.path(2) / "run.json").read_text())["memory_limit_gb"] == 3


def test_the_limit_holds_for_one_logged_by_hand(lab: Lab) -> None:
    assert go(lab, "SCORE", "1.4", "--memory-limit", "0.25", "--wait", "0").code == 75
    assert go(lab, "--stop").code == 0
    lab.run("--wait")
    assert "verdict: discard" in lab.log().out


def test_it_outlives_the_shell(lab: Lab) -> None:
    answer = go(lab, "SCORE", "1.4", "1.3", "--param", "STEP", "0.03", "--wait", "0")
    assert (answer.code, answer.next) == (75, WAIT)
    found = lab.status()
    assert (found["state"], found["next"]) == ("running", WAIT)
    assert found["sweep"] == {"name": "0001", "constants": "SCORE, STEP", "done": 0, "size": 2}
    assert "sweep 0001: SCORE, STEP, 0 of 2 values decided" in lab.call("status.py").out
    for _ in range(40):
        if (answer := go(lab, "--wait", "0.3")).code != 75:
            break
    assert answer.code == 0
    assert outcomes(lab) == [("keep", "SCORE = 1.4; STEP = 0.03"), ("keep", "SCORE = 1.3; STEP = 0.03")]
    assert go(lab, "--wait").code == 2


def test_stopped_its_run_becomes_an_experiment_like_any(lab: Lab) -> None:
    assert go(lab, "SCORE", "1.4", "1.3", "--wait", "0").code == 75
    answer = go(lab, "--stop")
    assert (answer.code, answer.next) == (0, "scripts/run_experiment.sh --wait")
    assert "(stopped)" in answer.out
    assert lab.run("--wait").next == state.LOG
    assert lab.log("by hand").next == state.EDIT
    assert lab.try_idea(SCORE=1.35).code == 0
    lab.log("an idea between")
    answer = go(lab, "--resume")
    assert answer.code == 0
    assert outcomes(lab) == [("keep", "by hand"), ("keep", "an idea between"), ("keep", "SCORE = 1.3")]
    assert "winner: SCORE = 1.3" in answer.out
    assert go(lab, "--resume").code == 2


def test_an_experiment_of_the_agents_own_comes_first(lab: Lab) -> None:
    assert go(lab, "SCORE", "1.4", "1.3", "--wait", "0").code == 75
    lab.run("--wait")
    lab.log("by hand, in the midst of it")
    lab.try_idea(SCORE=1.6)
    assert lab.status()["next"] == state.LOG, "what is in hand is none of the sweep's"
    assert lab.log().next == state.REVERT
    assert lab.revert().next == WAIT
    assert go(lab, "--wait").code == 0
    assert outcomes(lab)[-1] == ("keep", "SCORE = 1.3")


def test_an_edit_of_the_agents_own_is_not_touched(lab: Lab) -> None:
    assert go(lab, "SCORE", "1.4", "1.3", "--wait", "0").code == 75
    lab.run("--wait")
    lab.log()
    text = lab.edit(DEPTH=7)
    answer = go(lab, "--wait")
    assert (answer.code, answer.next) == (2, state.EXPERIMENT)
    assert "an edit that is none of the sweep's" in answer.err
    assert lab.train == text
    lab.revert()
    assert go(lab, "--wait").code == 0


def test_limits_and_stop_are_respected(lab: Lab) -> None:
    (lab.root / "program.md").write_text("# Program\n\n## Budget\n\n- experiments: 1\n")
    answer = go(lab, "SCORE", "1.6", "1.4", "1.3")
    assert answer.code == 0
    assert answer.next.startswith("end your turn: 1 of 1 experiments are done")
    assert "sweep 0001: 1 of 3 values" in answer.out
    assert "the sweep is still open" in answer.out
    assert outcomes(lab) == [("discard", "SCORE = 1.6")]
    (lab.root / "program.md").write_text("# Program\n")
    assert lab.status()["next"] == WAIT
    (lab.root / "STOP").write_text("")
    assert go(lab, "--wait").next.startswith("end your turn")
    (lab.root / "STOP").unlink()
    answer = go(lab, "--wait")
    assert "note: program.md: changed since the last run; read it again." in answer.out
    assert [status for status, _ in outcomes(lab)] == ["discard", "keep", "keep"]


def test_an_end_without_delay(lab: Lab) -> None:
    assert go(lab, "STEP", "1.0", "0.01", "--wait", "0").code == 75
    lab.wait_for("trainer")
    answer = lab.call("stop.py", "--now")
    assert answer.code == 0, answer
    assert lab.state == "clean"
    assert len(lab.rows()) == 2
    assert lab.status()["next"].startswith("end your turn")
    lab.call("stop.py", "--withdraw")
    assert lab.status()["next"] == WAIT


# ---------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["SCOR", "1.4"], "no constant SCOR; the nearest: SCORE"),
        (["SCORE", "1.4", "1.4"], "given twice"),
        (["SCORE", "1.5", ], "is what the incumbent has"),
        (["SCORE"], "no values for SCORE"),
        (["SCORE", "fast"], "no value for SCORE"),
        (["SCORE", "1.3..1.4"], "which is for --search"),
        (["SCORE", "1.4", "--param", "SCORE", "1.3"], "named twice"),
        (["DEPTH", *map(str, range(5, 100))], "95 experiments are too many"),
        (["SCORE", "1.4", "--trials", "3"], "goes with --search"),
        (["SCORE", "1.4", "--memory-limit", "-3"], "number of GB above 0"),
        (["--param", "SCORE", "1.4"], "without --param"),
        (["--search", "--wait"], "name a constant"),
        ([], "say what to try"),
        (["SCORE", "1.4", "--stop"], "take no constant"),
        (["--wait"], "no sweep is in progress"),
        (["--stop"], "no sweep is in progress"),
        (["--resume"], "no sweep is in progress"),
        (["--show"], "no sweep is in progress"),
    ],
)  # fmt: skip
def test_refused_before_anything_is_written(lab: Lab, args: list[str], why: str) -> None:
    text = lab.train
    answer = go(lab, *args)
    assert answer.code == 2
    assert why in answer.err
    assert answer.err.count("\n") == 1
    assert (lab.train, plans(lab), lab.runs()) == (text, [], lab.runs()[:1])


def test_a_seed_is_no_experiment(lab: Lab) -> None:
    (lab.root / "train.py").write_text(lab.train.replace("DEPTH = 4", "SEED = 1\nDEPTH = 4").replace("1.5", "1.3"))
    lab.run("-m", "exp: y")
    assert lab.log().out.startswith("verdict: keep")
    answer = go(lab, "SEED", "2", "3")
    assert answer.code == 2
    assert "changes the seed alone" in answer.err
    assert plans(lab) == []


def test_only_where_nothing_is_in_hand(lab: Lab) -> None:
    lab.edit(DEPTH=7)
    answer = go(lab, "SCORE", "1.4")
    assert (answer.code, answer.next) == (2, state.EXPERIMENT)
    lab.run("-m", "exp: x")
    answer = go(lab, "SCORE", "1.4")
    assert (answer.code, answer.next) == (2, state.LOG)
    lab.log()
    assert go(lab, "SCORE", "1.4").next == state.REVERT
    lab.revert()
    assert go(lab, "SCORE", "1.4", "1.3", "--wait", "0").code == 75
    answer = go(lab, "DEPTH", "5")
    assert (answer.code, answer.next) == (2, WAIT)


def test_refused_in_the_midst_the_incumbent_is_back(lab: Lab) -> None:
    text = lab.train
    (lab.root / "notes.md").write_text("changed\n")
    answer = go(lab, "SCORE", "1.4")
    assert answer.code == 2
    assert "notes.md has uncommitted changes" in answer.err
    assert (lab.train, lab.runs()) == (text, lab.runs()[:1])
    lab.git("checkout", "notes.md")
    assert go(lab, "--wait").code == 0
    assert outcomes(lab) == [("keep", "SCORE = 1.4")]


def test_a_plan_that_cannot_be_read_is_none(lab: Lab) -> None:
    folder = lab.root / "runs/t1/sweeps"
    folder.mkdir()
    for number, text in enumerate(("", "{", "[]", '{"number": 3}', '{"number": 1, "axes": [3]}')):
        (folder / f"{number:04d}.json").write_text(text)
    assert lab.status()["next"] == state.EDIT
    assert go(lab, "SCORE", "1.4").code == 0


def test_a_message_that_only_looks_like_one(lab: Lab) -> None:
    lab.edit(DEPTH=5)
    lab.run("-m", "sweep 0002: SCORE = 1.4; import os")
    lab.log()
    lab.revert()
    assert go(lab, "SCORE", "1.4").code == 0
    assert outcomes(lab)[-1] == ("keep", "SCORE = 1.4")


# ---------------------------------------------------------------------------------------------------
# A kill at any instant


class Killed(BaseException):
    """The process is gone: nothing catches this."""


STEPS: list[tuple[Any, str]] = [
    (sweep, "save"),
    (sweep_step, "write_whole"),
    (submit, "candidate"),
    (submit, "confirm"),
    (conclude, "log"),
    (conclude, "undo"),
]
VALUES = ("1.52", "1.4", repr(1.4 - 1.5 + score_for(unsure)))


def finished(lab: Lab) -> list[tuple[str, str, str]]:
    """What is to come out, whatever happens on the way."""
    while (answer := go(lab, "--wait")).code == 75:
        pass
    assert (answer.code, lab.state) in ((0, "clean"), (2, "clean")), answer
    assert lab.git("status", "--porcelain") == ""
    return [(row[1], row[3], row[4]) for row in lab.rows()]


@pytest.fixture(scope="module")
def undisturbed(begun_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    lab = begun_lab.copy(tmp_path_factory.mktemp("undisturbed") / "lab")
    assert go(lab, "SCORE", *VALUES).code == 0
    rows = [(row[1], row[3], row[4]) for row in lab.rows()]
    assert len(rows) == 4
    assert len(lab.runs()) > 4, "one of them was confirmed"
    return rows


def die(
    monkeypatch: pytest.MonkeyPatch, before: bool, lives: Iterator[int], dead: list[str]
) -> Callable[[], None]:
    """Let each process die before, or after, the step that changes anything to which `lives` counts. Returns what
    begins a process."""
    left = 0

    def born() -> None:
        nonlocal left
        left = next(lives)

    def dying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                dead.append(name)
            if left == 0 and before:
                raise Killed
            found = real(*args, **kwargs)
            if left == 0:
                raise Killed
            return found

        return step

    for module, name in STEPS:
        monkeypatch.setattr(module, name, dying(name, getattr(module, name)))
    return born


# One step to a process would never get on: a kill between an edit and its run takes the edit back.
@pytest.mark.parametrize(("before", "lives"), [(False, (1, 3, 2, 1, 2)), (True, (1, 2, 3))])
def test_killed_at_every_step(
    lab: Lab,
    undisturbed: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    before: bool,
    lives: tuple[int, ...],
) -> None:
    dead: list[str] = []
    with monkeypatch.context() as patched:
        born = die(patched, before, itertools.cycle(lives), dead)
        for _ in range(60):
            born()
            try:
                if go(lab, *(["--wait"] if plans(lab) else ["SCORE", *VALUES])).code in (0, 2):
                    break
            except Killed:
                continue
    assert set(dead) == {"save", "write_whole", "candidate", "confirm", "log", "undo"}
    assert finished(lab) == undisturbed


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_instants(lab: Lab, undisturbed: list[tuple[str, str, str]], seed: int) -> None:
    luck = random.Random(seed)
    for _ in range(4):
        process = lab.start("sweep.py", *(["--wait"] if plans(lab) else ["SCORE", *VALUES]))
        time.sleep(luck.uniform(0.1, 0.9))
        runner = lab.processes().get("runner")
        if runner is not None and luck.random() < 0.5:
            os.kill(runner, signal.SIGKILL)
        process.kill()
        process.communicate()
    if not plans(lab):
        go(lab, "SCORE", *VALUES)
    assert finished(lab) == undisturbed


def test_waited_for_twice_at_once(lab: Lab, undisturbed: list[tuple[str, str, str]]) -> None:
    assert go(lab, "SCORE", *VALUES, "--wait", "0").code == 75
    both = [lab.start("sweep.py", "--wait") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    assert finished(lab) == undisturbed


# ---------------------------------------------------------------------------------------------------
# What is shown


def plan(*axes: Axis, **more: Any) -> Plan:
    return replace(Plan(5, 0.0, "c" * 40, axes), **more)


def row(value: str, status: str = "discard", bpb: float | None = 2.0, **more: Any) -> Row:
    made = Row((value,), 7, status, bpb, 0.01 if bpb else None, 1, 0.5, Normal(-0.01, 0.004), "Not better.")
    return replace(made, **more)


def test_the_table_says_what_is_known() -> None:
    axis = Axis("LR", "0.02", ("0.01", "0.04"))
    rows = (row("0.01", "crash", None, gain=None, why="The run crashed."), row("0.04"))
    lines = sweep_result.lines(Result(plan(axis, ended=1.0, why="done"), rows, row("0.02", "keep"), None, None))
    assert lines[0] == "sweep 0005: 2 of 2 values"
    assert lines[3].split() == ["0.01", "-", "1", "0.50", "crash", "The", "run", "crashed."]
    assert lines[4].split()[:8] == ["0.04", "2.000000", "0.0100", "1", "0.50", "-0.0100", "0.0040", "discard"]
    assert "winner: none; no value beats LR = 0.02 beyond the noise" in lines


@pytest.mark.parametrize(
    ("axes", "values"),
    [
        ([Axis("LR", "0.02", ("0.01", "0.4"))], [("0.01",), ("0.4",)]),
        ([Axis("PATTERN", '"SL"', ('"S"', '"L"'))], [('"S"',), ('"L"',)]),
        ([Axis("A", "1", ("2", "3")), Axis("B", "1", ("2",))], [("2", "2"), ("3", "2")]),
    ],
)
@pytest.mark.parametrize("scored", [True, False])
def test_the_picture(axes: list[Axis], values: list[tuple[str, ...]], scored: bool, tmp_path: Path) -> None:
    first = replace(row("", "keep", 2.0 if scored else None), values=tuple(axis.before for axis in axes))
    rows = [replace(row("", "crash", None), values=values[0])]
    rows += [replace(row("", "keep", 1.9), values=values[1])] if scored else []
    found = Result(plan(*axes), tuple(rows), first if scored else None, None, None)
    sweep_plot.draw(found, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_of_a_real_one(lab: Lab) -> None:
    answer = go(lab, "SCORE", "1.4", "--plot")
    assert "picture: runs/t1/sweeps/0001.png" in answer.out
    assert (lab.root / "runs/t1/sweeps/0001.png").exists()
