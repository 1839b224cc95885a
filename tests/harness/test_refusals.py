"""Bad input: one line that says what, where and what to do; exit 2; nothing lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys

import pytest
from harness import branch

from tests.harness.lab import Answer, Lab


def refusal(answer: Answer) -> str:
    """The one line of a refusal."""
    assert answer.code == 2, answer
    assert len(answer.err.splitlines()) == 1, answer.err
    assert re.match(r"(run_experiment|log_result|revert|status): .", answer.err), answer.err
    return answer.err


def attempt(lab: Lab) -> str:
    """The refusal of an experiment that would run otherwise; nothing of it is left."""
    before = (lab.refs(), lab.runs(), lab.train if (lab.root / "train.py").exists() else None)
    line = refusal(lab.run("-m", "exp: x"))
    assert (lab.refs(), lab.runs(), lab.train if (lab.root / "train.py").exists() else None) == before
    return line


@pytest.mark.parametrize(
    "text, told",
    [
        ("def build_model(config):\n    return (\n", "train.py line 2: syntax error"),
        ("def build_model(config):\nreturn 1\n", "train.py line 2: indentation error"),
        ("x = 1\n", "no top-level build_model"),
        ("class A:\n    def build_model(self):\n        pass\n", "no top-level build_model"),
        ("def build_model(config):\n    pass\nx = '\0'\n", "train.py"),
        ("", "no top-level build_model"),
    ],
)
def test_a_train_py_that_cannot_train(lab: Lab, text: str, told: str) -> None:
    (lab.root / "train.py").write_text(text)
    assert told in attempt(lab)


def test_a_train_py_that_is_no_text(lab: Lab) -> None:
    (lab.root / "train.py").write_bytes(b"def build_model(config): pass\nx = '\xff'\n")
    assert "train.py" in refusal(lab.run("-m", "exp: x"))


def test_a_train_py_that_contains_what_it_may_not(lab: Lab) -> None:
    line = lab.train.splitlines().index("import time") + 1
    (lab.root / "train.py").write_text(lab.train.replace("import time\n", "import socket, time\n"))
    assert f"train.py line {line}: imports socket: training has no network; all that it may" in attempt(lab)
    assert lab.state == "edited"
    (lab.root / "train.py").write_text(lab.train.replace("import socket, time\n", "import math, time\n"))
    assert lab.run("-m", "exp: x").code == 0


def test_train_py_is_missing(lab: Lab) -> None:
    (lab.root / "train.py").unlink()
    assert lab.state == "edited"
    assert "tools/revert.py" in attempt(lab)
    assert lab.revert().code == 0
    assert lab.state == "clean"


@pytest.mark.parametrize("staged", [False, True])
def test_another_tracked_file_changed(lab: Lab, staged: bool) -> None:
    lab.edit(SCORE=1.4)
    (lab.root / "notes.md").write_text("precious\n")
    if staged:
        lab.git("add", "notes.md")
    assert "notes.md has uncommitted changes" in attempt(lab)
    lab.revert()
    assert (lab.root / "notes.md").read_text() == "precious\n"


@pytest.mark.parametrize("name", ["prepare.py", "evaluate.py", "tools/harness/verdict.py", "scripts/python.sh"])
def test_the_bench_is_fixed(lab: Lab, name: str) -> None:
    lab.edit(SCORE=1.4)
    with (lab.root / name).open("a") as file:
        file.write("# changed\n")
    line = attempt(lab)
    assert line.startswith(f"run_experiment: {name} is not as campaign t1 pinned it")
    command = re.search(r"git show (\S+) > (\S+),", line)
    assert command is not None
    lab.commit("sneak it in", name)
    assert name in attempt(lab), "nor when it is committed"
    (lab.root / command[2]).write_text(lab.git("show", command[1]) + "\n")
    lab.commit("as it was", name)
    assert lab.run("-m", "exp: x").code == 0, "what the refusal names puts it right"


def test_the_bench_is_fixed_for_the_baseline_too(new: Lab) -> None:
    (new.root / "evaluate.py").write_text("print('val_bpb: 0.1')\n")
    assert "evaluate.py is not as campaign t1 pinned it" in refusal(new.run("--baseline"))
    assert new.state == "new"


def test_an_interrupted_run_does_not_go_on_with_another_bench(lab: Lab) -> None:
    lab.edit(SCORE=1.4, STEP=5.0)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    lab.kill_all()
    with (lab.root / "prepare.py").open("a") as file:
        file.write("# changed\n")
    assert "prepare.py is not as campaign t1 pinned it" in refusal(lab.run("--wait"))
    lab.git("checkout", "--", "prepare.py")
    assert lab.run("--stop").code == 0


def test_what_runs_is_the_pinned_bench(lab: Lab) -> None:
    """Changed under a run in progress: the snapshot is what is trained and scored."""
    lab.edit(SCORE=1.4, STEP=0.05)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    (lab.root / "evaluate.py").write_text("raise SystemExit(3)\n")
    (lab.path(1) / "evaluate.py").write_text("raise SystemExit(3)\n")
    assert lab.run("--wait").code == 0
    assert lab.record(1)["val_bpb"] == 1.4


def test_untracked_files_are_nobodys_business(lab: Lab) -> None:
    lab.edit(SCORE=1.4)
    (lab.root / "scratch.py").write_text("scratch\n")
    assert lab.run("-m", "exp: x").code == 0


def test_detached_head(lab: Lab) -> None:
    lab.edit(SCORE=1.4)
    lab.git("checkout", "-q", "--detach")
    assert "detached HEAD" in attempt(lab)
    assert "detached HEAD" in refusal(lab.call("status.py"))
    lab.git("switch", "-q", "autoresearch/t1")
    assert lab.state == "edited"


@pytest.mark.parametrize("branch", ["main", "feature/x"])
def test_no_campaigns_branch(new: Lab, branch: str) -> None:
    new.git("switch", "-q", *([] if branch == "main" else ["-c"]), branch)
    for command in (
        ["run_experiment.py", "--baseline"],
        ["log_result.py", "-d", "x"],
        ["revert.py"],
        ["status.py"],
    ):
        line = refusal(new.call(*command))
        assert f"the branch {branch} is no campaign's: git switch autoresearch/<tag>" in line


@pytest.mark.parametrize("tag, told", [("a/b", "slash"), ("standalone", "taken")])
def test_tags_that_cannot_be_folders(new: Lab, tag: str, told: str) -> None:
    new.git("switch", "-q", "-c", f"autoresearch/{tag}")
    assert told in refusal(new.run("--baseline"))


def test_not_a_git_repository(new: Lab) -> None:
    shutil.rmtree(new.root / ".git")
    for command in (
        ["run_experiment.py", "--baseline"],
        ["log_result.py", "-d", "x"],
        ["revert.py"],
        ["status.py"],
    ):
        assert "is not a git repository" in refusal(new.call(*command))


def test_inside_another_repository(new: Lab) -> None:
    shutil.rmtree(new.root / ".git")
    new.root = new.root.parent
    new.git("init", "-q", ".")
    new.git("add", "project/train.py")
    new.commit("all")
    new.root = new.root / "project"
    assert "is not a git repository of its own" in refusal(new.call("status.py"))


def test_no_commit_yet(new: Lab) -> None:
    shutil.rmtree(new.root / ".git")
    new.git("init", "-q", ".")
    assert "has no commit yet" in refusal(new.call("status.py"))


def test_no_git(new: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branch, "SYSTEM_GITS", ())
    assert "git is not installed" in refusal(new.call("status.py", PATH="/nowhere"))


def test_no_preparation(new: Lab) -> None:
    (new.cache / "current.json").unlink()
    answer = new.run("--baseline")
    assert "no data prepared" in refusal(answer)
    assert answer.next == "scripts/setup.sh"
    (new.cache / "current.json").write_text('{"prep')
    assert "current.json cannot be read" in refusal(new.run("--baseline"))
    new.prepare("two")
    (new.cache / "preparations/two/meta.json").write_text("{}")
    assert "meta.json cannot be used" in refusal(new.run("--baseline"))
    assert new.state == "new"


def test_the_preparation_is_gone(lab: Lab) -> None:
    lab.edit(SCORE=1.4)
    shutil.rmtree(lab.cache / "preparations/one")
    lab.prepare("two")
    assert "no data prepared in" in attempt(lab), "the pinned one counts, not the one in force"
    meta = lab.prepare("one") / "meta.json"
    meta.write_text(meta.read_text().replace('"key": "one"', '"key": "another"'))
    assert "not those that campaign t1 was started with" in attempt(lab)


def test_a_named_preparation(new: Lab) -> None:
    data = new.prepare("two")
    new.prepare("one")
    assert new.run("--baseline", AUTORESEARCH_PREPARATION=str(data)).code == 0
    pinned = json.loads((new.root / "runs/t1/campaign.json").read_text())
    assert (pinned["preparation"], pinned["preparation_key"]) == (str(data), "two")


@pytest.mark.parametrize("budget", ["5 minutes", "0s", "-1s", "10", "tok"])
def test_a_budget_that_is_none(new: Lab, budget: str) -> None:
    assert repr(budget) in refusal(new.run("--baseline", AUTORESEARCH_BUDGET=budget))


def test_a_budget_is_pinned(new: Lab) -> None:
    assert "budget 7tok" in new.run("--baseline", AUTORESEARCH_BUDGET="7tok").out
    feed = json.loads((new.path(0) / "feed.json").read_text())
    assert feed["budget"] == "7tok"


def test_no_python_to_train_with(lab: Lab) -> None:
    pin = lab.root / "runs/t1/campaign.json"
    pin.write_text(pin.read_text().replace(json.dumps(sys.executable), '"/nowhere/python"'))
    lab.edit(SCORE=1.4)
    line = refusal(lab.run("-m", "exp: x"))
    assert "/nowhere/python cannot be started: run scripts/setup.sh" in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-m", "  "],
        ["--fix"],
        ["--baseline", "-m", "x"],
        ["--baseline", "--confirm"],
        ["-m", "x", "--wait", "soon"],
        ["-m", "x", "y"],
        ["--nonsense"],
    ],
)
def test_bad_use(lab: Lab, arguments: list[str]) -> None:
    assert "run_experiment.sh --help" in refusal(lab.run(*arguments))


def test_bad_use_of_the_others(lab: Lab) -> None:
    assert "-d" in refusal(lab.call("log_result.py"))
    assert "-d is empty" in refusal(lab.log(" "))
    assert "AUTORESEARCH_WAIT='soon'" in refusal(lab.run("--wait", AUTORESEARCH_WAIT="soon"))


@pytest.mark.parametrize("tool", ["run_experiment.py", "log_result.py", "revert.py", "status.py"])
def test_help(new: Lab, tool: str) -> None:
    answer = new.call(tool, "--help")
    assert answer.code == 0
    assert "examples:" in answer.out
    assert "exit codes: 0 done" in answer.out


def test_a_refusal_as_json(lab: Lab) -> None:
    answer = lab.call("log_result.py", "-d", "x", "--json")
    assert answer.code == 2
    found = json.loads(answer.out)
    assert "logged already (keep)" in found["error"]
    assert found["next"].startswith("edit train.py")


def test_a_standalone_run_is_not_logged(lab: Lab) -> None:
    lab.edit(SCORE=1.4)
    alone = lab.root / "runs/standalone"
    alone.mkdir()
    (alone / "summary.json").write_text('{"val_bpb": "0.1", "standalone": true}')
    answer = lab.log()
    assert "`uv run train.py`" in refusal(answer)
    assert answer.next == 'scripts/run_experiment.sh -m "exp: what you try"'


def test_logging_twice(lab: Lab) -> None:
    lab.try_idea(SCORE=1.4)
    assert lab.log().code == 0
    assert "experiment 0001 is logged already (keep)" in refusal(lab.log())
    assert len(lab.rows()) == 2


def test_the_pin_is_damaged(lab: Lab) -> None:
    (lab.root / "runs/t1/campaign.json").write_text("{")
    assert "campaign.json cannot be read" in refusal(lab.call("status.py"))


def test_a_decision_is_damaged(lab: Lab) -> None:
    (lab.path(0) / "decision.json").write_text("{")
    assert "decision.json cannot be read" in refusal(lab.call("status.py"))


def test_a_record_is_damaged(lab: Lab) -> None:
    """It is written again from what the run left."""
    lab.try_idea(SCORE=1.4)
    before = lab.record(1)
    (lab.path(1) / "record.json").write_text('{"outcome": "fin')
    assert lab.state == "interrupted"
    assert lab.run("--wait").code == 0
    assert lab.record(1)["val_bpb"] == before["val_bpb"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(lab: Lab) -> None:
    """What only reads works as always, and the edit runs once the folder may be written again."""
    campaign = lab.root / "runs/t1"
    lab.edit(SCORE=1.4)
    campaign.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert "may be written there" in refusal(lab.run("-m", "exp: x"))
        assert lab.call("status.py").code == 0
    finally:
        campaign.chmod(stat.S_IRWXU)
    assert lab.run("-m", "exp: x").code == 0


def test_a_module_among_the_tools(lab: Lab) -> None:
    """It would be imported in place of Python's own; also where git is told to look away."""
    (lab.root / ".git/info").mkdir(exist_ok=True)
    (lab.root / ".git/info/exclude").write_text("json.py\n")
    (lab.root / "tools/json.py").write_text("")
    lab.edit(SCORE=1.4)
    line = refusal(lab.run("-m", "exp: x"))
    assert "tools/json.py" in line and "move it out" in line
    (lab.root / "tools/json.py").unlink()
    assert lab.run("-m", "exp: x").code == 0


def test_a_tool_that_the_index_does_not_look_at(lab: Lab) -> None:
    lab.git("update-index", "--assume-unchanged", "tools/harness/verdict.py")
    (lab.root / "tools/harness/verdict.py").write_text("")
    lab.edit(SCORE=1.4)
    assert "tools/harness/verdict.py is not as campaign t1 pinned it" in refusal(lab.run("-m", "exp: x"))


def test_a_file_that_git_is_told_to_replace(lab: Lab) -> None:
    """`git replace` shows other contents under the same name; the bench does not look through it."""
    was = lab.git("rev-parse", "HEAD:evaluate.py")
    (lab.root / "evil.py").write_text("raise SystemExit(3)\n")
    lab.git("replace", was, lab.git("hash-object", "-w", "evil.py"))
    (lab.root / "evil.py").unlink()
    assert lab.try_idea(SCORE=1.4).code == 0
    assert "SystemExit(3)" not in (lab.path(1) / "evaluate.py").read_text()


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap here")
def test_another_bubblewrap_than_the_campaign_s(lab: Lab) -> None:
    pin = lab.root / "runs/t1/campaign.json"
    assert json.loads(pin.read_text())["sandbox"] == "bubblewrap"
    pin.write_text(re.sub(r'("sandbox_program": "\S+) \w+"', r'\1 0000"', pin.read_text()))
    lab.edit(SCORE=1.4)
    assert "is not the bubblewrap that the campaign began with" in refusal(lab.run("-m", "exp: x"))
