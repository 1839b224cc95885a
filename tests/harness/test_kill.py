"""A kill at any instant: status goes on, nothing is lost, nothing is counted twice, nobody is left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from harness import processes

from tests.harness.lab import Lab

WAIT = "scripts/run_experiment.sh --wait"
SLOW_SCORER = ('"noise": NOISE', '"noise": NOISE, "slow": 0.6')


def begin(lab: Lab, step: float = 0.05, slow_scorer: bool = False) -> None:
    """A candidate (val_bpb 1.4) on its way."""
    text = lab.edit(SCORE=1.4, STEP=step)
    if slow_scorer:
        (lab.root / "train.py").write_text(text.replace(*SLOW_SCORER))
    answer = lab.run("-m", "exp: slow", "--wait", "0")
    assert answer.code == 75, answer


def finish(lab: Lab) -> None:
    """Go on with whatever there is until the candidate is kept, and check that it was counted once."""
    for _ in range(8):
        found = lab.status()
        if found["state"] not in ("running", "interrupted"):
            break
        assert found["next"] == WAIT
        lab.run("--wait")
    assert found["state"] == "finished", found
    assert lab.log("slow").out.startswith("verdict: keep\n")
    lab.settle()
    assert [row[1] for row in lab.rows()] == ["1.500000", "1.400000"]
    assert len(lab.runs()) == 2
    assert lab.refs() == {"t1/0000": lab.git("rev-parse", "HEAD^"), "t1/0001": lab.tip}
    points = [json.loads(line) for line in (lab.path(1) / "curve.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points] == list(range(1, 101)), "the curve of one attempt alone"


def test_runner_killed_while_training(lab: Lab) -> None:
    begin(lab)
    lab.wait_for("feeder")
    os.kill(lab.wait_for("runner"), signal.SIGKILL)
    lab.settle(5)  # trainer and feeder went with it
    found = lab.status()
    assert (found["state"], found["next"]) == ("interrupted", WAIT)
    assert "its runner was killed" in lab.call("status.py").out
    finish(lab)
    assert lab.record(1)["restarts"] == 1


def test_runner_killed_while_evaluating(lab: Lab) -> None:
    begin(lab, slow_scorer=True)
    lab.wait_for("scorer")
    trained = (lab.path(1) / "trained.json").read_text()
    os.kill(lab.wait_for("runner"), signal.SIGKILL)
    lab.settle(5)
    assert lab.state == "interrupted"
    finish(lab)
    assert (lab.path(1) / "trained.json").read_text() == trained, "it was not trained again"


@pytest.mark.parametrize("who", ["trainer", "feeder"])
def test_a_part_killed_from_outside_once(lab: Lab, who: str) -> None:
    begin(lab)
    os.kill(lab.wait_for(who), signal.SIGKILL)
    lab.settle(10)
    assert lab.state == "interrupted"
    assert "killed from outside (SIGKILL)" in lab.call("status.py").out
    finish(lab)


def test_scorer_killed_once(lab: Lab) -> None:
    begin(lab, slow_scorer=True)
    os.kill(lab.wait_for("scorer"), signal.SIGTERM)
    lab.settle(10)
    assert lab.state == "interrupted"
    finish(lab)


def test_trainer_killed_twice_is_a_crash(lab: Lab) -> None:
    begin(lab)
    os.kill(lab.wait_for("trainer"), signal.SIGKILL)
    lab.settle(10)
    process = lab.start("run_experiment.py", "--wait")
    os.kill(lab.wait_for("trainer"), signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "killed from outside 2 times" in out
    assert lab.log().out.startswith("verdict: crash\n")


@pytest.mark.usefixtures("unguarded")
def test_a_fault_of_its_own_is_a_crash(lab: Lab) -> None:
    text = lab.edit(SCORE=1.4).replace("    run = prepare", "    import os\n\n    os.abort()\n    run = prepare")
    (lab.root / "train.py").write_text(text)
    answer = lab.run("-m", "exp: abort")
    assert answer.code == 1
    assert "train.py died of SIGABRT" in answer.out


def test_runner_asked_to_end(lab: Lab) -> None:
    """As at a shutdown: it leaves word and nobody behind."""
    begin(lab)
    lab.wait_for("trainer")
    os.kill(lab.wait_for("runner"), signal.SIGTERM)
    lab.settle(5)
    assert "the runner got SIGTERM" in lab.call("status.py").out
    finish(lab)


def test_command_killed_while_it_waits(lab: Lab) -> None:
    lab.edit(SCORE=1.4, STEP=0.05)
    process = lab.start("run_experiment.sh", "-m", "exp: slow")
    lab.wait_for("trainer")
    os.kill(process.pid, signal.SIGKILL)  # the shell became the command
    process.communicate()
    assert lab.state == "running"
    finish(lab)
    assert lab.record(1)["restarts"] == 0


def test_the_runner_is_nobodys_child(lab: Lab) -> None:
    """A client that kills its command with all its children must not find the run among them."""
    lab.edit(SCORE=1.4, STEP=0.05)
    process = lab.start("run_experiment.py", "-m", "exp: slow")
    runner = lab.wait_for("runner")
    lab.wait_for("trainer")
    status = Path(f"/proc/{runner}/stat").read_text().rsplit(")", 1)[1].split()
    parent, group, session = (int(word) for word in status[1:4])
    assert parent not in (process.pid, os.getpid())
    assert group == session == runner
    process.communicate()


@pytest.mark.usefixtures("unguarded")
def test_processes_that_the_trainer_hides_die_too(lab: Lab) -> None:
    hidden = (
        'import subprocess\n\n    subprocess.Popen(["sleep", "60"], start_new_session=True)\n    run = prepare'
    )
    (lab.root / "train.py").write_text(
        lab.edit(SCORE=1.4).replace("import subprocess\n", "").replace("run = prepare", hidden)
    )
    assert lab.run("-m", "exp: hide").code == 0
    assert processes.marked(lab.path(1)) == []


def test_started_twice_at_once(lab: Lab) -> None:
    lab.edit(SCORE=1.4, STEP=0.03)
    both = [lab.start("run_experiment.py", "-m", "exp: x") for _ in range(3)]
    codes = sorted((process.communicate(timeout=60), process.returncode)[1] for process in both)
    assert codes == [0, 2, 2]
    finish(lab)


def test_waited_for_twice_after_a_kill(lab: Lab) -> None:
    begin(lab)
    lab.wait_for("trainer")
    os.kill(lab.wait_for("runner"), signal.SIGKILL)
    both = [lab.start("run_experiment.py", "--wait") for _ in range(3)]
    assert [(process.communicate(timeout=60), process.returncode)[1] for process in both] == [0, 0, 0]
    assert lab.record(1)["restarts"] == 1
    finish(lab)


def test_stop_of_an_interrupted_run(lab: Lab) -> None:
    begin(lab)
    lab.wait_for("trainer")
    os.kill(lab.wait_for("runner"), signal.SIGKILL)
    lab.settle(10)
    assert lab.run("--stop").code == 0
    assert lab.record(1)["outcome"] == "stopped"


@pytest.mark.parametrize("seed", range(3))
def test_random_instants(lab: Lab, seed: int) -> None:
    """The command and everything it started, killed at a random instant; then on from there."""
    luck = random.Random(seed)
    text = lab.edit(SCORE=1.4, STEP=0.01)
    process = lab.start("run_experiment.sh", "-m", "exp: slow")
    time.sleep(luck.uniform(0.0, 1.2))
    victims = lab.processes()
    for what in luck.sample(sorted(victims), k=luck.randint(0, len(victims))):
        if what not in ("trainer", "feeder", "scorer"):  # these have a test of their own
            os.kill(victims[what], signal.SIGKILL)
    process.kill()
    process.communicate()
    assert lab.train == text
    if lab.state == "edited":  # killed before there was a run
        lab.run("-m", "exp: slow")
    for _ in range(4):
        if lab.state not in ("running", "interrupted"):
            break
        lab.run("--wait")
    assert lab.log("slow").out.startswith("verdict: keep\n")
    assert [row[1] for row in lab.rows()] == ["1.500000", "1.400000"]
    assert len(lab.runs()) == 2


def test_log_killed_at_random_instants(lab: Lab) -> None:
    lab.try_idea(SCORE=1.4)
    before = lab.tip
    for delay in (0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2):
        process = lab.start("log_result.py", "-d", "slow")
        time.sleep(delay)
        process.kill()
        process.communicate()
    lab.call("status.py")
    if lab.state == "finished":
        lab.log("slow")
    assert lab.git("rev-parse", "HEAD^") == before
    assert [row[3] for row in lab.rows()] == ["keep", "keep"]
    assert lab.git("status", "--porcelain") == ""
    assert lab.state == "clean"
