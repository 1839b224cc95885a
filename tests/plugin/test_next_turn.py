"""What the plugin asks, on a bench whose runs take a fraction of a second."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.lab import PROJECT, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """With its baseline logged."""
    lab = Lab.build(tmp_path / "lab")
    shutil.copy(PROJECT / "tools" / "next_turn.py", lab.root / "tools")
    assert lab.run("--baseline").code == 0
    assert lab.log("baseline").code == 0
    yield lab
    lab.kill_all()


def after(lab: Lab, env: dict[str, str] | None = None, **report: Any) -> dict[str, Any]:
    """What is to follow a turn."""
    given = json.dumps({"session": "ses_1", "calls": 3, **report})
    answer = lab.call("next_turn.py", "--report", given, **(env or {}))
    assert (answer.code, answer.err) == (0, "")
    return dict(json.loads(answer.out))


def test_the_model_is_sent_back_with_the_next_step(lab: Lab) -> None:
    told = after(lab)
    assert told["action"] == "prompt"
    assert "1.500000" in told["text"] and lab.status()["next"] in told["text"]


def test_the_end_says_why(lab: Lab) -> None:
    (lab.root / "STOP").touch()
    told = after(lab)
    assert told["action"] == "stop" and "STOP" in told["text"]


def test_a_model_that_is_stuck_gets_a_fresh_session(lab: Lab) -> None:
    told = after(lab, stuck="the same failing call 8 times in a row: bash x")
    assert told["action"] == "fresh" and "bash x" in told["text"]


def test_no_campaign_is_none_of_ours(lab: Lab) -> None:
    lab.git("switch", "-q", "main")
    assert after(lab) == {"action": "none", "text": ""}


def test_what_start_drives_is_left_to_it(lab: Lab) -> None:
    with (lab.root / "runs" / "start.lock").open("w") as held:
        (lab.root / "runs" / "start.json").write_text(json.dumps({"pid": 4321, "tag": "other"}))
        fcntl.flock(held, fcntl.LOCK_EX)
        for env in ({}, {"AUTORESEARCH_START": "1"}):
            told = after(lab, env=env)
            assert told["action"] == "none" and "scripts/start.sh" in told["text"]
        assert after(lab, env={"AUTORESEARCH_START": "4321"})["action"] == "prompt"
        (lab.root / "STOP").touch()
        assert "scripts/start.sh" in lab.call("next_turn.py", "--begin", "").out
        assert (lab.root / "STOP").exists()


def test_a_client_that_outlived_its_start_is_not_sent_on(lab: Lab) -> None:
    told = after(lab, env={"AUTORESEARCH_START": "4321"})
    assert told["action"] == "none" and "launched this client is gone" in told["text"]


def test_what_the_model_could_not_finish_is_finished(lab: Lab) -> None:
    lab.edit(SCORE=1.4)
    assert lab.run("-m", "exp: better").code == 0
    (lab.root / "STOP").write_text("now")
    given = json.dumps({"session": "ses_1", "calls": 0, "error": "no key", "retryable": False})
    answer = lab.call("next_turn.py", "--report", given)
    told = json.loads(answer.out)
    assert told["action"] == "stop" and "STOP" in told["text"]
    assert lab.status()["state"] == "clean"
    assert "exp: better" not in answer.out and len((lab.root / "results.tsv").read_text().splitlines()) == 3


@pytest.mark.parametrize("report", ["", "nonsense", "[]", '{"calls": "many"}', '{"calls": [1]}'])
def test_a_report_of_nonsense_is_refused_in_one_line(lab: Lab, report: str) -> None:
    answer = lab.call("next_turn.py", "--report", report)
    assert answer.code == 2 and answer.out == "" and answer.err.startswith("next_turn: --report: ")
    assert answer.err.count("\n") == 1


def test_research_begins_anew(lab: Lab) -> None:
    """STOP is taken back, limits count from here, and what was counted of the conversation is forgotten."""
    (lab.root / "STOP").touch()
    after(lab)
    runs = lab.root / "runs" / "t1"
    answer = lab.call("next_turn.py", "--begin", "")
    assert answer.out == "The campaign is t1.\n"
    assert not (lab.root / "STOP").exists() and not (runs / "conversation.json").exists()
    stint = json.loads((runs / "stint.json").read_text())
    assert time.time() - stint["started"] < 60 and stint["started_by"] == "client"


def test_a_campaign_that_is_not_there_yet_is_named_and_left_to_the_model(lab: Lab) -> None:
    assert lab.call("next_turn.py", "--begin", "new").out == "The campaign is new.\n"
    assert not (lab.root / "runs" / "new").exists()
    assert "is no tag" in lab.call("next_turn.py", "--begin", "../x y").out
    lab.git("switch", "-q", "main")
    assert lab.call("next_turn.py", "--begin", "").out == "No campaign is checked out.\n"


def test_it_ends_with_the_client_that_asked(lab: Lab) -> None:
    """A run is in progress, which it waits for; its parent, which stands for the client, is killed."""
    lab.edit(SCORE=1.4, STEP=60)
    lab.run("-m", "exp: slow", AUTORESEARCH_WAIT="0")
    command = [sys.executable, str(lab.root / "tools" / "next_turn.py"), "--report", "{}"]
    script = f"import subprocess; print(subprocess.Popen({command!r}).pid, flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=pipe, stdout=pipe, env=lab.env, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(1)
        os.kill(child, 0)  # it waits
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() if sys.platform == "linux" else alive(child):
        assert time.monotonic() < deadline, "it goes on waiting for nobody"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
