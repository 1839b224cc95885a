"""The campaign on one page."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from harness import box, driver, environment, stint, summary, wrapup
from harness.report import files
from harness.situation import look

from tests.harness.lab import Lab
from tests.harness.test_stint import STEP, budget


def page(lab: Lab) -> str:
    answer = lab.call("report.py", "--text")
    assert answer.code == 0, answer.err
    assert max(map(len, answer.out.splitlines())) <= 160
    return answer.out


def test_before_everything(new: Lab) -> None:
    out = page(new)
    assert "campaign t1: 0 experiments: none yet" in out
    assert "no baseline yet" in out
    assert out.endswith("next: scripts/run_experiment.sh --baseline\n")
    assert not (new.root / "runs/t1").exists()


def test_after_some(lab: Lab) -> None:
    budget(lab, "at most 3 experiments")
    stint.begin(lab.root, "t1", started_by="client")
    (lab.root / "runs/t1/client.jsonl").write_text(4 * (json.dumps({**STEP, "cost": 0.25}) + "\n"))
    lab.try_idea("exp: lower", SCORE=1.2)
    lab.log("lower")
    lab.try_idea("exp: higher", SCORE=1.6)
    lab.log("higher")
    lab.revert()
    out = page(lab)
    assert "campaign t1: 2 experiments: 1 kept, 1 discarded" in out
    assert "best: val_bpb 1.200000" in out
    assert "0.300000 below the baseline's 1.500000 (20.00 %)" in out
    assert "0001   1.200000  -0.300000  lower" in out
    assert "0002   1.600000  +0.400000  discard  higher" in out
    assert "the model: 460 tokens in 4 steps, $1.00" in out
    assert "limits: 2 of 3 experiments" in out
    assert out.splitlines()[-1].startswith("next: edit train.py")
    found = json.loads(lab.call("report.py", "--json").out)
    assert (found["baseline"], found["best"], found["keep"], found["discard"]) == (1.5, 1.2, 1, 1)
    assert [step["val_bpb"] for step in found["staircase"]] == [1.5, 1.2]
    assert found["stint"]["experiments"] == 2
    assert 0 <= found["stint"]["idle_share"] <= 1
    assert found["stint"]["device_seconds"] <= found["stint"]["wall_seconds"] + 0.5
    budget(lab, "at most 2 experiments")
    assert page(lab).splitlines()[-1].startswith("next: nothing: 2 of 2 experiments are done")


def test_what_is_open(lab: Lab) -> None:
    lab.edit(SCORE=1.4, STEP=9.0)
    assert "open: an edit of train.py that has not run\n" in page(lab)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    assert "open: run 0001 exp: slow: in progress: " in page(lab)
    lab.run("--stop")
    assert "open: run 0001 exp: slow: ended (stopped), not logged\n" in page(lab)


def test_a_stint_that_is_over_ended_when_something_last_happened(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    stint.begin(lab.root, "t1", started_by="client")
    lab.try_idea(SCORE=1.2)
    lab.log()
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 86400)
    took = summary.work(look(lab.root))
    assert not took.going
    assert took.wall < 3600
    with driver.the_only_one(lab.root, "t1"):
        took = summary.work(look(lab.root))
    assert took.going
    assert took.wall >= 86400
    assert took.idle > 0.99
    monkeypatch.setattr(time, "time", lambda: real - 86400)
    assert summary.work(look(lab.root)).wall >= 0, "a clock that went back"


def test_the_page_of_a_stint_that_is_over(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was at its end: right after it, the next day, with another program.md, and after experiments."""
    budget(lab, "experiments: 3")
    with driver.the_only_one(lab.root, "t1"):
        stint.begin(lab.root, "t1", {"experiments": "1", "tokens": "1M"})
        (lab.root / "runs/t1/client.jsonl").write_text(json.dumps({**STEP, "cost": 0.25}) + "\n")
        lab.try_idea(SCORE=1.2)
        lab.log()
        stint.end(lab.root, "t1")
        ended = time.time()
        first = page(lab)
    assert "limits: 1 of 1 experiments, 115 of 1M client tokens\n" in first
    day = "%Y-%m-%d %H:%M"
    assert f" to {time.strftime(day, time.localtime(ended))}: " in first and "the last stint, from " in first
    assert "since its end" not in first
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86400)
    assert page(lab) == first
    budget(lab, "experiments: 7")
    lab.try_idea(SCORE=1.6)
    lab.log()
    lab.revert()
    out = page(lab)
    assert "limits: 1 of 1 experiments, 115 of 1M client tokens\nsince its end: 1 experiment, " in out
    assert "limits: 1 of 7 experiments\n" in out
    found = json.loads(lab.call("report.py", "--json").out)["stint"]
    assert (found["going"], found["experiments"]) == (False, 1)
    assert abs(found["ended"] - ended) < 60 and found["wall_seconds"] < 3600


def test_runs_that_were_boxed(lab: Lab) -> None:
    found = json.loads(lab.call("report.py", "--json").out)
    boxed = lab.record(0)["sandbox"] == box.NAME
    assert ("not boxed" in page(lab)) != boxed
    assert (found["boxed"], bool(found["sandbox"])) == (float(boxed), not boxed)


def test_runs_that_were_not_boxed(new: Lab) -> None:
    assert json.loads(new.call("report.py", "--json").out)["boxed"] is None
    new.run("--baseline", AUTORESEARCH_SANDBOX="off")
    assert "not boxed: 1 of 1 runs (switched off by AUTORESEARCH_SANDBOX)" in page(new)
    found = json.loads(new.call("report.py", "--json").out)
    assert (found["boxed"], found["sandbox"]) == (0.0, {"switched off by AUTORESEARCH_SANDBOX": 1})


def test_names_from_the_log_are_data(lab: Lab) -> None:
    lab.try_idea("exp: \x1b[31mred", SCORE=1.2)
    lab.log("a\nnext: rm -rf /\n\x1b[2J")
    assert "\x1b" not in page(lab)
    assert not any(line.startswith("next: rm") for line in page(lab).splitlines())


def test_the_end_of_research_is_drawn_by_the_projects_python(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scripts/start.sh runs in whatever python3 is there, which may have no matplotlib."""
    own = tmp_path / "python"
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    own.chmod(0o755)
    monkeypatch.setattr(environment, "has", lambda module: False)
    lines = files.leave(wrapup.situation(lab.root), ["text"], {**lab.env, "AUTORESEARCH_PYTHON": str(own)})
    assert [line.split("/")[-1] for line in lines] == ["report.html", "progress.png"]
    assert (lab.root / "runs/t1/progress.png").read_bytes().startswith(b"\x89PNG")
    own.write_text("#!/bin/sh\nexit 1\n")
    lines = files.leave(wrapup.situation(lab.root), ["text"], {**lab.env, "AUTORESEARCH_PYTHON": str(own)})
    assert lines[0].endswith("report.html") and "draws it" in lines[1]
