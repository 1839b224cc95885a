"""Start from end to end, with a client that is a script and a bench that takes no time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import continuation, demo, research, stint
from harness.client import Client

from tests.harness.lab import PROJECT, Answer, Lab

FAKE = Path(__file__).with_name("opencode.py")


class Start:
    """A checkout with start.py in it and a fake client; set-up has nothing to do there."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.root = lab.root
        self.log = lab.root.parent / "client.jsonl"

    @classmethod
    def build(cls, folder: Path) -> Start:
        lab = Lab.build(folder)
        (lab.root / "tools" / "start.py").write_bytes((PROJECT / "tools" / "start.py").read_bytes())
        (lab.root / "tools" / "setup.py").write_text("def body(argv):\n    return 0\n")
        lab.git("add", ".")
        lab.commit("start")
        lab.git("switch", "-q", "main")
        lab.git("merge", "-q", "autoresearch/t1")
        lab.git("branch", "-q", "-D", "autoresearch/t1")
        client = lab.root / ".tools" / "bin" / "opencode"
        client.parent.mkdir(parents=True)
        client.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
        client.chmod(0o755)
        return cls(lab)

    def begin(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        environ = {"FAKE_LOG": str(self.log), "FAKE_MODELS": "local/model", **environ}
        return self.lab.start("start.py", "--headless", *arguments, **environ)

    def run(self, *arguments: str, **environ: str) -> Answer:
        process = self.begin(*arguments, **environ)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in out + err, out + err
        return Answer(process.returncode, out, err)

    def turns(self) -> list[dict[str, Any]]:
        """How the client was launched, launch by launch."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Start:
    return Start.build(tmp_path_factory.mktemp("start") / "lab")


@pytest.fixture
def bench(built: Start, tmp_path: Path) -> Iterator[Start]:
    lab = built.lab.copy(tmp_path / "lab")
    yield Start(lab)
    lab.kill_all()


def test_a_campaign_from_nothing_to_its_second_experiment(bench: Start) -> None:
    answer = bench.run("mar5", "--experiments", "2")
    assert answer.code == 0, answer.out + answer.err
    assert bench.lab.git("rev-parse", "--abbrev-ref", "HEAD") == "autoresearch/mar5"
    rows = (bench.root / "results.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[3] for row in rows] == ["keep", "keep", "discard"]  # the baseline, and two
    assert "campaign mar5: 2 experiments: 1 kept, 1 discarded" in answer.out
    turns = bench.turns()
    assert all(turn["cwd"] == turn["PWD"] == str(bench.root) for turn in turns)
    assert turns[0]["session"] is None and "Load the skill autoresearch" in turns[0]["prompt"]
    assert turns[1]["session"] == "ses_1" and "Go on" in turns[1]["prompt"]
    assert "next: " in turns[1]["prompt"] and "1.4" in turns[1]["prompt"]


def test_it_goes_on_where_it_was(bench: Start) -> None:
    assert bench.run("mar5", "--experiments", "1").code == 0
    bench.lab.git("switch", "-q", "main")
    answer = bench.run("mar5", "--experiments", "1")
    assert answer.code == 0, answer.out + answer.err
    assert "the campaign mar5 goes on" in answer.out
    assert "baseline" not in answer.out.split("\n\n")[0]  # there is one
    assert len((bench.root / "results.tsv").read_text().splitlines()) == 4


def begun(bench: Start, **environ: str) -> tuple[subprocess.Popen[str], int]:
    """A start whose client is at work on its first experiment; its process, and the client's pid."""
    process = bench.begin("mar5", **environ)
    deadline = time.monotonic() + 40
    while not bench.turns() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process, bench.turns()[-1]["pid"]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def rows(bench: Start) -> list[str]:
    """The statuses in results.tsv."""
    return [row.split("\t")[3] for row in (bench.root / "results.tsv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("way", ["STOP", "stop.py"])
def test_asked_to_stop_it_ends_when_the_experiment_in_hand_is_logged(bench: Start, way: str) -> None:
    process, client = begun(bench, FAKE_SLOW="0.3")
    bench.lab.wait_for("trainer")
    if way == "STOP":
        (bench.root / "STOP").touch()
    else:
        assert bench.lab.call("stop.py").code == 0
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert len(rows(bench)) == len(list((bench.root / "runs" / "mar5").glob("[0-9]*")))
    assert gone(client) and bench.lab.processes() == {}


def test_asked_to_stop_now_the_run_in_hand_is_discarded(bench: Start) -> None:
    process, client = begun(bench, FAKE_SLOW="5")
    bench.lab.wait_for("trainer")
    assert bench.lab.call("stop.py", "--now").code == 0
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert rows(bench)[-1] == "discard" and "[stopped at" in (bench.root / "results.tsv").read_text()
    assert gone(client) and bench.lab.processes() == {}
    assert "SCORE = 1.5" in bench.lab.train  # the incumbent's


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_run_in_hand(bench: Start, number: signal.Signals) -> None:
    process, client = begun(bench, FAKE_SLOW="0.3")
    bench.lab.wait_for("trainer")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert rows(bench) == ["keep", "keep"] and "1 experiment: 1 kept" in out
    assert gone(client) and bench.lab.processes() == {}


def test_a_second_signal_leaves_the_run_to_the_next_start(bench: Start) -> None:
    process, client = begun(bench, FAKE_SLOW="5")
    bench.lab.wait_for("trainer")
    process.send_signal(signal.SIGINT)
    while not gone(client):
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert rows(bench) == ["keep"] and "is interrupted, and the next start goes on with it" in out
    assert bench.lab.processes() == {}
    train = bench.root / "runs" / "mar5"
    assert json.loads(bench.lab.call("status.py", "--json").out)["state"] == "interrupted", list(train.iterdir())


def test_a_signal_while_the_model_thinks(bench: Start) -> None:
    process, client = begun(bench, FAKE_STALL="1")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert gone(client) and bench.lab.processes() == {}


def test_a_terminal_that_closes_ends_nothing(bench: Start) -> None:
    process = bench.begin("mar5", "--experiments", "2")
    deadline = time.monotonic() + 40
    while not bench.turns() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert len(rows(bench)) == 3
    assert "2 experiments" in (bench.root / "runs" / "mar5" / "start.log").read_text()


def test_a_second_start_on_the_same_campaign(bench: Start) -> None:
    process, _ = begun(bench, FAKE_STALL="1")
    for tag in ("mar5", "another"):
        answer = bench.run(tag)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert "another scripts/start.sh is at work in this checkout on the campaign mar5" in answer.err
    assert bench.lab.git("rev-parse", "--abbrev-ref", "HEAD") == "autoresearch/mar5"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def test_the_client_of_a_start_that_was_killed_is_ended_by_the_next(bench: Start) -> None:
    process, client = begun(bench, FAKE_STALL="1")
    process.kill()
    process.communicate(timeout=60)
    assert not gone(client)
    assert bench.run("mar5", "--experiments", "1").code == 0
    assert gone(client)


def test_a_model_that_leaves_the_branch_is_brought_back(bench: Start) -> None:
    answer = bench.run("mar5", "--experiments", "2", FAKE_LEAVES="autoresearch/new")
    assert answer.code == 0, answer.out + answer.err
    assert rows(bench) == ["keep", "keep", "discard"]
    assert bench.lab.git("rev-parse", "--abbrev-ref", "HEAD") == "autoresearch/mar5"
    assert any("had been left" in turn["prompt"] for turn in bench.turns())


def test_a_person_who_leaves_the_branch_leaves_no_process(bench: Start) -> None:
    process, client = begun(bench, FAKE_SLOW="0.3")
    bench.lab.wait_for("trainer")
    bench.lab.git("switch", "-q", "--discard-changes", "main")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert gone(client) and bench.lab.processes() == {} and "campaign mar5" in out


def test_a_stop_from_before_is_taken_back_and_one_from_now_on_is_heeded(bench: Start) -> None:
    (bench.root / "STOP").touch()
    os.utime(bench.root / "STOP", (1e9, 1e9))
    assert bench.run("mar5", "--experiments", "1").code == 0
    process = bench.begin("mar5")
    assert process.stdout is not None and process.stdout.readline()
    (bench.root / "STOP").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "a person asked for the end" in out, out + err
    assert len(rows(bench)) == 2


def test_a_client_that_is_killed_while_the_model_is_asked(bench: Start) -> None:
    answer = bench.run("mar5", "--experiments", "1", FAKE_PROBE_KILLED="1")
    assert answer.code == 0, answer.out + answer.err


def test_asked_to_stop_now_while_the_baseline_runs(bench: Start) -> None:
    train = bench.root / "train.py"
    train.write_text(train.read_text().replace("STEP = 0.0", "STEP = 2.0"))
    bench.lab.git("add", "train.py")
    bench.lab.commit("slow")
    process = bench.begin("mar5")
    bench.lab.wait_for("trainer")
    assert bench.lab.call("stop.py", "--now").code == 0
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "run 0000" in out and "stopped" in out and bench.lab.processes() == {} and not bench.turns()


def test_asked_to_stop_now_after_a_signal(bench: Start) -> None:
    process, _ = begun(bench, FAKE_SLOW="3")
    bench.lab.wait_for("trainer")
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert bench.lab.call("stop.py", "--now").code == 0
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert rows(bench) == ["keep", "discard"] and bench.lab.processes() == {}


def test_a_key_that_is_refused(bench: Start) -> None:
    answer = bench.run("mar5", FAKE_REFUSES="Incorrect API key provided")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "Incorrect API key provided" in answer.err and "auth login" in answer.err
    assert not (bench.root / "runs").exists()


def test_an_opencode_of_another_version(bench: Start) -> None:
    answer = bench.run("mar5", "--experiments", "1", FAKE_VERSION="9.9.9")
    assert answer.code == 0 and "opencode 9.9.9; tried was" in answer.out


@pytest.mark.parametrize(
    ("models", "arguments", "wanted"),
    [
        ("opencode/free", [], "no model is configured"),
        ("", [], "no model is configured"),
        ("local/model", ["--model", "local/modle"], "did you mean local/model?"),
    ],
)
def test_without_a_model_nothing_begins(bench: Start, models: str, arguments: list[str], wanted: str) -> None:
    answer = bench.run("mar5", *arguments, FAKE_MODELS=models)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert wanted in answer.err
    assert bench.lab.git("rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert not (bench.root / "runs").exists()


@pytest.fixture
def going(bench: Start, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The client of a campaign that has an experiment; pauses take no time."""
    assert bench.run("mar5", "--experiments", "1").code == 0
    bench.log.unlink()
    for name in ("CRASH_PAUSE", "LOOK_SECONDS"):
        monkeypatch.setattr(research, name, 0.0)
    for name in ("BACK_OFF", "BACK_OFF_MOST", "LOOK"):
        monkeypatch.setattr(continuation, name, 0.01)
    (bench.root / "runs" / "mar5" / "stint.json").unlink()
    environ = {**bench.lab.env, "PWD": str(bench.root), "FAKE_LOG": str(bench.log)}
    return Client(bench.root / ".tools" / "bin" / "opencode", bench.root, environ)


def test_a_model_that_only_talks_is_given_up(bench: Start, going: Client) -> None:
    with pytest.raises(research.GaveUp, match="no experiment in 3 fresh sessions"):
        research.research(replace(going, environ={**going.environ, "FAKE_TALK": "1"}), "mar5", headless=True)
    prompts = [turn["prompt"] for turn in bench.turns()]
    fresh = [number for number, turn in enumerate(bench.turns()) if turn["session"] is None]
    told = continuation.SILENT_MOST + 1
    assert fresh == [0, told, 2 * told, 3 * told] and len(prompts) == 4 * told
    assert all("next: edit train.py" in prompt for number, prompt in enumerate(prompts) if number not in fresh)
    assert "You ended 5 turns without calling a tool" in prompts[told - 1]
    assert "ended with 6 turns in a row without a tool call" in prompts[told]


@pytest.mark.parametrize("crashes", [1, research.CRASHES_MOST])
def test_a_client_that_falls_over_is_launched_again(bench: Start, going: Client, crashes: int) -> None:
    left = bench.root.parent / "crashes"
    left.write_text(str(crashes))
    stint.begin(bench.root, "mar5", {"experiments": "1"}, started_by="client")
    environ = {**going.environ, "FAKE_CRASH": str(left)}
    assert "1 experiment" in research.research(replace(going, environ=environ), "mar5", headless=True)
    assert len(bench.turns()) == crashes + 1
    assert len((bench.root / "results.tsv").read_text().splitlines()) == 4


def test_a_client_that_does_nothing_but_fall_over_is_given_up(bench: Start, going: Client) -> None:
    left = bench.root.parent / "crashes"
    left.write_text("99")
    agent = replace(going, environ={**going.environ, "FAKE_CRASH": str(left)})
    with pytest.raises(research.GaveUp, match="opencode fell over 9 times"):
        research.research(agent, "mar5", headless=True)


def test_uncommitted_work_is_never_touched(bench: Start) -> None:
    (bench.root / "program.md").write_text("mine\n")  # the person's, at any moment
    text = bench.lab.edit(SCORE=1.3)
    answer = bench.run("mar5", "--experiments", "1")
    assert answer.code == 2 and "train.py has uncommitted changes" in answer.err
    bench.lab.git("checkout", "-q", "train.py")
    (bench.root / "notes.md").write_text("mine\n")
    answer = bench.run("mar5", "--experiments", "1")
    assert answer.code == 2 and "notes.md has uncommitted changes" in answer.err
    assert bench.lab.git("rev-parse", "--abbrev-ref", "HEAD") == "main"
    bench.lab.git("checkout", "-q", "notes.md")
    assert bench.run("mar5", "--experiments", "1").code == 0
    bench.lab.git("switch", "-q", "main")
    (bench.root / "train.py").write_text(text)
    answer = bench.run("mar5", "--experiments", "1")
    assert answer.code == 2 and "differs on the branch autoresearch/mar5" in answer.err
    assert (bench.lab.train, (bench.root / "program.md").read_text()) == (text, "mine\n")


def test_a_detached_head_is_a_starting_point(bench: Start) -> None:
    bench.lab.git("switch", "-q", "--detach")
    assert bench.run("mar5", "--experiments", "1").code == 0


def test_a_taken_tag(bench: Start) -> None:
    bench.lab.git("branch", "autoresearch/mar5")
    answer = bench.run("mar5")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "the tag mar5 is taken" in answer.err and "mar5-2" in answer.err


def test_what_a_campaign_has_pinned(bench: Start) -> None:
    assert bench.run("mar5", "--experiments", "1", "--budget", "7s").code == 0
    answer = bench.run("mar5", "--budget", "9s")
    assert answer.code == 2 and "--budget 7s, which stays" in answer.err
    answer = bench.run("may1", "--budget", "nine")
    assert answer.code == 2 and "300s" in answer.err


def test_no_git_repository(bench: Start) -> None:
    (bench.root / ".git").rename(bench.root.parent / "away")
    answer = bench.run("mar5")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "not a git repository" in answer.err


def test_no_terminal_and_not_headless(bench: Start) -> None:
    process = bench.lab.start("start.py", "mar5")
    assert "--headless" in process.communicate(timeout=60)[1]
    assert process.returncode == 2


# ---------------------------------------------------------------------------------------------------


def test_the_demo_sets_back_constants_that_train_py_has() -> None:
    text, before = demo.set_back("A = 1  # why\nBB = 2\n", {"A": "9", "B": "8", "C": "7"})
    assert text == "A = 9  # why\nBB = 2\n"
    assert before == {"A": "1"}


def test_the_demo_leaves_a_persons_settings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "OPENCODE_CONFIG", "AUTORESEARCH_PREPARATION", "GIT_DIR"):
        monkeypatch.setenv(name, "/theirs")
    environ = demo.environment(demo.Place(tmp_path), "9tok")
    assert "/theirs" not in environ.values()
    assert environ["HOME"] == str(tmp_path / ".demo" / "home")
    assert environ["PWD"] == str(tmp_path / ".demo" / "autoresearch")
    config = json.loads(demo.with_model(environ, "http://127.0.0.1:1/v1")["OPENCODE_CONFIG_CONTENT"])
    assert config["provider"]["demo"]["options"]["baseURL"] == "http://127.0.0.1:1/v1"


def test_what_a_killed_demo_left_is_ended(tmp_path: Path) -> None:
    place = demo.Place(tmp_path)
    with demo.only_one(place):
        left = subprocess.Popen(["sleep", "61"])
        demo.remember(place, left.pid)
        gone = subprocess.Popen(["true"])
        gone.wait()
        demo.remember(place, gone.pid)
    with demo.only_one(place):
        assert left.wait(10) == -signal.SIGTERM


def test_the_demo_clones_what_is_committed(bench: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTORESEARCH_CACHE", str(bench.lab.cache))
    monkeypatch.setattr(demo, "SET_BACK", {"SCORE": "1.7"})
    (bench.root / "notes.md").write_text("not committed\n")
    place = demo.Place(bench.root)
    place.folder.mkdir()
    for _ in range(2):  # the second is made afresh
        assert demo.build(place) == {"SCORE": "1.5"}
        assert "SCORE = 1.7 " in (place.clone / "train.py").read_text()
        assert (place.clone / "notes.md").read_text() == "notes\n"
        (place.clone / "train.py").write_text("spoilt")
    assert (place.folder / "cache" / "preparations" / "one" / "meta.json").exists()
    assert bench.lab.git("rev-parse", "--abbrev-ref", "HEAD") == "main"
