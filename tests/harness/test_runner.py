"""What a run's end means: each way in which its processes may end, and the record of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from harness import processes, record, runner
from harness.record import Record, Request

from tests.harness.lab import Lab


def try_text(lab: Lab, old: str, new: str) -> str:
    """The reason in the record of a run of train.py with `old` replaced by `new`."""
    text = lab.train
    assert old in text
    (lab.root / "train.py").write_text(text.replace(old, new))
    answer = lab.run("-m", "exp: x")
    assert answer.code == 1, answer
    assert lab.record(1)["outcome"] == "crashed"
    assert lab.log().out.startswith("verdict: crash\n")
    return str(lab.record(1)["reason"])


def test_a_record_says_it_all(lab: Lab) -> None:
    lab.edit(DEPTH=6)
    assert lab.run("-m", "exp: deeper").code == 0
    found = lab.record(1)
    assert found["outcome"] == "finished"
    assert found["reason"] == ""
    assert found["val_bpb"] == 1.5
    assert (found["tokens"], found["steps"], found["share"]) == (1000, 100, 1.0)
    assert (found["depth"], found["num_params"], found["peak_memory_mb"]) == (6, 1000000, 512.0)
    assert 0 < found["seconds"] < found["total_seconds"] < 60
    assert found["restarts"] == 0
    assert set(found["sha256"]) == {"train.py", "prepare.py", "evaluate.py"}
    assert found["machine"]["device"] == "cuda"
    names = {path.name for path in lab.path(1).iterdir()}
    assert {"train.py", "prepare.py", "evaluate.py", "program.md"} <= names
    assert "tools" not in names


def test_on_a_cpu_memory_is_what_the_system_counted(new: Lab) -> None:
    meta = new.cache / "preparations/one/meta.json"
    meta.write_text(meta.read_text().replace("cuda", "cpu"))
    text = new.train.replace("    run = prepare", "    keep = bytearray(150 << 20)\n    run = prepare")
    text = text.replace("STEP = 0.0", "STEP = 0.06")  # long enough to be looked at
    (new.root / "train.py").write_text(text)
    new.commit("start", "train.py")
    assert new.run("--baseline").code == 0
    assert 150 < new.record(0)["peak_memory_mb"] < 250


def test_import_error(lab: Lab) -> None:
    reason = try_text(lab, "import prepare\n", "import prepare\nimport json.not_there\n")
    assert "No module named 'json.not_there'" in reason


def test_ends_without_finish(lab: Lab) -> None:
    assert "at 100% of its budget without run.finish" in try_text(lab, "    run.finish(", "    dict(")


@pytest.mark.usefixtures("unguarded")
def test_the_model_is_missing(lab: Lab) -> None:
    removed = '    import atexit, os\n\n    atexit.register(os.remove, "work/model.json")\n    main()\n'
    assert "work/model.json" in try_text(lab, "    main()\n", removed)


def test_the_feeder_fails(new: Lab) -> None:
    path = new.root / "prepare.py"
    broken = '    raise SystemExit("prepare: shard 3 is torn")\n    started, share'
    path.write_text(path.read_text().replace("    started, share", broken))
    new.commit("a broken bench", "prepare.py")
    assert new.run("--baseline").code == 1
    assert new.record(0)["reason"] == "prepare: shard 3 is torn"


def test_the_scorer_fails(new: Lab) -> None:
    (new.root / "evaluate.py").write_text('raise SystemExit("evaluate: the validation shard is torn")\n')
    new.commit("a broken bench", "evaluate.py")
    assert new.run("--baseline").code == 1
    assert new.record(0)["reason"] == "evaluate: the validation shard is torn"


@pytest.mark.usefixtures("unguarded")
def test_a_score_that_the_trainer_left_counts_for_nothing(lab: Lab) -> None:
    forged = "import pathlib\n\n    pathlib.Path('score.json').write_text('{\"val_bpb\": 0.1}')\n    run.finish("
    (lab.root / "train.py").write_text(lab.train.replace("run.finish(", forged))
    assert lab.run("-m", "exp: forge").code == 0
    assert lab.record(1)["val_bpb"] == 1.5


@pytest.mark.usefixtures("unguarded")
def test_modules_that_the_trainer_planted_are_gone(lab: Lab) -> None:
    """The scorer's own folder is the first place that it imports from."""
    planted = 'import atexit, pathlib\n\n    atexit.register(pathlib.Path("json.py").touch)\n    main()\n'
    (lab.root / "train.py").write_text(lab.train.replace("main()\n", planted))
    assert lab.run("-m", "exp: plant").code == 0
    assert not (lab.path(1) / "json.py").exists()


def test_stuck(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A trainer past the wall limit is ended; driven in this process, to have a limit that one can wait for."""
    monkeypatch.setattr(runner, "wall_limit", lambda budget: 0.3)
    lab.edit(STEP=60.0)
    lab.run("-m", "exp: stuck", "--wait", "0")
    lab.wait_for("trainer")
    lab.kill_all()
    lab.settle()
    for key, value in lab.env.items():
        monkeypatch.setenv(key, value)
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        assert runner.main([str(lab.path(1))]) == 0
    assert lab.record(1)["outcome"] == "crashed"
    assert "longer than 0 s of wall time" in lab.record(1)["reason"]


def test_wall_limits_are_generous() -> None:
    assert runner.wall_limit("300s") == 1200
    assert runner.wall_limit("100cpu") == 1600
    assert runner.wall_limit("400000tok") == 5600


def test_out_of_memory_is_a_crash_at_once(tmp_path: Path) -> None:
    run = blank(tmp_path)
    with pytest.raises(runner.Ended, match="out of memory"):
        run._judge_training(-9, 0, False, True)
    with pytest.raises(runner.Interrupted, match="killed from outside"):
        run._judge_training(-9, 0, False, False)


def test_who_failed_first(tmp_path: Path) -> None:
    run = blank(tmp_path)
    (tmp_path / "run.log").write_text("train: the feeder is gone\n")
    (tmp_path / "runner.log").write_text("prepare: shard 3 is torn\n")
    with pytest.raises(runner.Ended, match="shard 3 is torn"):
        run._judge_training(1, 2, False, False)
    with pytest.raises(runner.Ended, match="shard 3 is torn"):
        run._judge_training(-9, 2, True, False)  # it had to be ended
    with pytest.raises(runner.Ended, match="SIGSEGV"):
        run._judge_training(-11, 2, False, False)
    with pytest.raises(runner.Ended, match="the feeder is gone"):
        run._judge_training(1, 0, False, False)


def blank(folder: Path) -> runner.Runner:
    request = Request(1, 1, 1, "candidate", "a" * 40, "b" * 40, 1, "m", 0.0)
    (folder / "runner.log").touch()
    (folder / "run.log").touch()
    return runner.Runner(folder, record.Run(folder, request, None, None, False), None)  # type: ignore[arg-type]


def test_a_run_that_keeps_losing_its_runner_ends(lab: Lab) -> None:
    lab.edit(STEP=60.0)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    lab.kill_all()
    path = lab.path(1) / "runner.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"starts": 6}))
    answer = lab.run("--wait")
    assert answer.code == 1
    assert "interrupted 6 times" in answer.out


def test_only_one_runner(lab: Lab) -> None:
    lab.edit(STEP=60.0)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    assert runner.main([str(lab.path(1))]) == 2
    assert lab.run("--stop").code == 0


# -- the files -----------------------------------------------------------------------------------------


def test_files_are_read_with_tolerance(tmp_path: Path) -> None:
    assert record.read(tmp_path) is None
    request = Request(1, 1, 1, "candidate", "a" * 40, "b" * 40, 1, "m", 0.0)
    record.write(tmp_path, request)
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace("{", '{"added_later": 1,', 1))
    run = record.read(tmp_path)
    assert run is not None
    assert (run.request, run.record, run.alive) == (request, None, False)
    (tmp_path / "record.json").write_text('{"outcome": "finished"}')
    run = record.read(tmp_path)
    assert run is not None
    assert run.record is None
    found = Record("stopped", "x", None, True, 1.0, 2.0, 0.5, 0.0, 3, 4, 5.0, 6.0, 7, None, 1, 0)
    record.write(tmp_path, found)
    run = record.read(tmp_path)
    assert run is not None
    assert run.record == found


def test_a_lock_lives_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not record.is_locked(path)
    held = record.take_lock(path)
    assert held is not None
    assert record.is_locked(path)
    assert record.take_lock(path) is None
    os.close(held)
    assert not record.is_locked(path)


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    """Also when it is killed: PR_SET_PDEATHSIG."""
    code = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from harness import processes\n"
        "child = processes.spawn(['sleep', '60'], Path('.'), os.environ, sys.stdout.buffer, sys.stderr.buffer)\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    import subprocess
    import time

    tools = Path(__file__).resolve().parents[2] / "tools"
    done = subprocess.run([sys.executable, "-c", code, str(tools)], stdout=subprocess.PIPE, text=True, check=False)
    pid = int(done.stdout)
    for _ in range(200):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.01)
    raise AssertionError("it lives")


def test_marked_processes_are_found_and_killed(tmp_path: Path) -> None:
    import subprocess

    child = subprocess.Popen(
        ["sleep", "60"], env=os.environ | {processes.MARK: str(tmp_path)}, start_new_session=True
    )
    while processes.marked(tmp_path) != [child.pid]:
        assert child.poll() is None
    processes.kill_marked(tmp_path)
    assert child.wait(5) == -9
    assert processes.marked(tmp_path) == []
