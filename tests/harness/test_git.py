"""The branch's tip is always the incumbent, whatever a person does to it, and no work is ever lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from harness import branch as git_branch
from harness import reconcile, record
from harness.branch import Git

from tests.harness.lab import Lab


def test_nothing_but_the_candidate_is_touched_by_a_run(lab: Lab) -> None:
    """Untracked files, program.md edited and staged: they stay as they are, index and all."""
    (lab.root / "scratch.txt").write_text("mine\n")
    (lab.root / "program.md").write_text("staged\n")
    lab.git("add", "program.md")
    (lab.root / "program.md").write_text("edited after\n")
    lab.edit(SCORE=1.4)
    before = lab.git("status", "--porcelain")
    assert lab.run("-m", "exp: x").code == 0
    assert lab.git("status", "--porcelain") == before
    assert lab.git("diff", "--name-only", "HEAD", lab.refs()["t1/0001"]) == "train.py"
    lab.log()
    assert lab.git("status", "--porcelain").splitlines() == ["MM program.md", "?? scratch.txt"]
    assert lab.git("show", ":program.md") == "staged"


def test_empty_home_no_identity_signing_or_hooks(lab: Lab) -> None:
    hooks = lab.root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "post-checkout"):
        (hooks / name).write_text("#!/bin/sh\necho hooked >> hooked.txt\nexit 1\n")
        (hooks / name).chmod(0o755)
    lab.git("config", "commit.gpgsign", "true")
    lab.git("config", "user.signingkey", "nobody")
    lab.try_idea(SCORE=1.4)
    assert lab.log().out.startswith("verdict: keep\n")
    assert lab.git("log", "-1", "--format=%an %cn") == "autoresearch autoresearch"
    assert not (lab.root / "hooked.txt").exists()


def test_the_users_identity_where_there_is_one(lab: Lab) -> None:
    lab.git("config", "user.name", "Ada")
    lab.git("config", "user.email", "ada@example.org")
    lab.try_idea(SCORE=1.4)
    assert lab.git("log", "-1", "--format=%an <%ae> %cn", lab.refs()["t1/0001"]) == "Ada <ada@example.org> Ada"


def test_a_commit_by_hand_is_taken_as_the_edit(lab: Lab) -> None:
    incumbent = lab.tip
    edited = lab.edit(SCORE=1.4)
    made = lab.commit("my idea", "train.py")
    found = lab.status()
    assert found["state"] == "edited"
    assert made[:7] in found["notes"][0]
    assert lab.tip == incumbent
    assert lab.train == edited
    assert lab.refs()[f"t1/hand/{made[:12]}"] == made
    assert lab.git("status", "--porcelain") == "M train.py"
    assert lab.run("-m", "exp: my idea").code == 0
    lab.log()
    assert lab.git("rev-parse", "HEAD^") == incumbent
    assert lab.status()["notes"] == []


def test_a_commit_by_hand_goes_straight_to_a_run(lab: Lab) -> None:
    incumbent = lab.tip
    lab.edit(SCORE=1.4)
    lab.commit("my idea", "train.py")
    lab.edit(SCORE=1.3)
    lab.commit("and more", "train.py")
    answer = lab.run("-m", "exp: my idea")
    assert answer.code == 0
    assert "made by hand" in answer.out
    assert lab.git("rev-parse", f"{lab.refs()['t1/0001']}^") == incumbent
    assert "SCORE = 1.3" in lab.git("show", f"{lab.refs()['t1/0001']}:train.py")


def test_what_a_hand_commit_changes_elsewhere_stays_on_the_branch(lab: Lab) -> None:
    incumbent = lab.tip
    (lab.root / "notes.md").write_text("written by hand\n")
    (lab.root / "program.md").write_text("steered\n")
    lab.edit(SCORE=1.4)
    made = lab.commit("everything", "train.py", "notes.md", "program.md")
    assert lab.state == "edited"
    assert lab.git("rev-parse", "HEAD^") == incumbent
    assert lab.git("show", "HEAD:notes.md") == "written by hand"
    assert lab.git("diff", "--name-only", incumbent, "HEAD").split() == ["notes.md", "program.md"]
    assert lab.git("status", "--porcelain") == "M train.py"
    assert lab.refs()[f"t1/hand/{made[:12]}"] == made
    assert lab.run("-m", "exp: x").code == 0


def test_hand_commits_on_top_of_steering(lab: Lab) -> None:
    """program.md, then train.py: the branch goes back to the first, which is passed by."""
    (lab.root / "program.md").write_text("steered\n")
    steered = lab.commit("steer", "program.md")
    lab.edit(SCORE=1.4)
    lab.commit("my idea", "train.py")
    assert lab.state == "edited"
    assert lab.tip == steered


@pytest.mark.parametrize("when", ["before", "running", "finished", "logged"])
def test_program_md_at_any_moment(lab: Lab, when: str) -> None:
    """Committed or not, it never blocks and is never lost; a keep lands on top of it."""

    def steer(moment: str) -> None:
        if moment == when:
            (lab.root / "program.md").write_text("committed\n")
            lab.commit("steer", "program.md")
            (lab.root / "program.md").write_text("and edited\n")

    start = lab.tip
    steer("before")
    edited = lab.edit(SCORE=1.4, STEP=0.02)
    assert lab.run("-m", "exp: x", "--wait", "0").code == 75
    steer("running")
    assert lab.run("--wait").code == 0
    steer("finished")
    answer = lab.log()
    assert answer.out.startswith("verdict: keep\n"), answer
    steer("logged")
    assert lab.status()["program_changed"] == (when != "before")
    assert lab.git("show", "HEAD:program.md") == "committed"
    assert lab.git("show", "HEAD:train.py") + "\n" == edited == lab.train
    assert (lab.root / "program.md").read_text() == "and edited\n"
    assert lab.git("status", "--porcelain") == "M program.md"
    assert lab.git("rev-list", "--count", f"{start}..HEAD") == "2"
    assert lab.state == "clean"
    assert lab.revert().code == 0
    assert (lab.root / "program.md").read_text() == "and edited\n"


def test_program_md_is_kept_with_each_run(lab: Lab) -> None:
    (lab.root / "program.md").write_text("steered\n")
    assert lab.status()["program_changed"]
    lab.try_idea(SCORE=1.4)
    assert (lab.path(1) / "program.md").read_text() == "steered\n"
    assert not lab.status()["program_changed"]
    (lab.root / "program.md").unlink()
    assert lab.status()["program_changed"]
    lab.log()
    assert lab.try_idea(SCORE=1.3).code == 0


def test_a_branch_moved_back_by_hand_is_put_right(lab: Lab) -> None:
    """What the plain loop of `git reset --hard HEAD~1` does after a discard."""
    lab.try_idea(SCORE=1.4)
    lab.log()
    kept = lab.tip
    lab.git("reset", "-q", "--hard", "HEAD~1")
    assert lab.state == "edited"
    assert lab.tip == kept
    assert lab.revert().code == 0
    assert "SCORE = 1.4" in lab.train
    assert lab.git("status", "--porcelain") == ""


def test_a_hand_commit_while_a_keep_waits(lab: Lab) -> None:
    lab.edit(SCORE=1.4)
    lab.run("-m", "exp: x")
    edited = lab.edit(SCORE=1.3)
    made = lab.commit("the next idea", "train.py")
    assert lab.log("x").out.startswith("verdict: keep\n")
    assert "SCORE = 1.4" in lab.git("show", "HEAD:train.py")
    assert lab.train == edited
    assert lab.state == "edited"
    assert lab.refs()[f"t1/hand/{made[:12]}"] == made
    assert lab.run("-m", "exp: the next idea").code == 0


@pytest.mark.parametrize("cut", ["before the branch", "before the index", "before the row"])
def test_a_keep_cut_short_is_completed(lab: Lab, cut: str) -> None:
    lab.try_idea(SCORE=1.4)
    lab.log("x")
    path, kept = lab.path(1) / "decision.json", lab.tip
    decision = json.loads(path.read_text())
    path.write_text(json.dumps(decision | {"landed": None}))
    lines = (lab.root / "results.tsv").read_text().splitlines(keepends=True)
    (lab.root / "results.tsv").write_text("".join(lines[:-1]))
    if cut == "before the branch":
        lab.git("update-ref", "refs/heads/autoresearch/t1", "HEAD^")
    if cut != "before the row":
        lab.git("update-index", "--cacheinfo", f"100644,{lab.git('rev-parse', f'{kept}^:train.py')},train.py")
    for _ in range(2):
        assert lab.state == "clean"
        assert lab.tip == kept
        assert lab.git("status", "--porcelain") == ""
        assert [row[4] for row in lab.rows()] == ["baseline", "x"]
    assert json.loads(path.read_text())["landed"] == kept


def test_landing_twice_makes_one_commit(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """On top of a commit of the person's, so that it has to be made: the same one, bit for bit."""
    monkeypatch.setenv("HOME", lab.env["HOME"])
    lab.try_idea(SCORE=1.4)
    candidate = lab.refs()["t1/0001"]
    parent = lab.tip
    (lab.root / "program.md").write_text("steered\n")
    steered = lab.commit("steer", "program.md")
    branch = git_branch.current(lab.root)
    first = git_branch.land(branch, candidate, parent, "m", 1000.0)
    assert git_branch.land(branch, candidate, parent, "m", 1000.0) == first
    lab.git("update-ref", "HEAD", steered)
    assert git_branch.land(branch, candidate, parent, "m", 1000.0) == first
    assert lab.git("rev-parse", f"{first}^") == steered


def test_an_executable_train_py_stays_one(lab: Lab) -> None:
    lab.try_idea(SCORE=1.6)
    lab.log()
    (lab.root / "train.py").chmod(0o755)
    lab.git("config", "core.fileMode", "true")
    assert lab.revert().code == 0
    assert os.access(lab.root / "train.py", os.X_OK)


def test_windows_line_ends_are_no_edit(lab: Lab) -> None:
    """git's own filters apply to what is compared, committed and restored."""
    (lab.root / ".git/info/attributes").write_text("train.py text eol=crlf\n")
    text = lab.train
    (lab.root / "train.py").write_bytes(text.replace("\n", "\r\n").encode())
    assert lab.state == "clean"
    (lab.root / "train.py").write_bytes(text.replace("1.5 ", "1.6 ").replace("\n", "\r\n").encode())
    assert lab.state == "edited"
    lab.revert()
    assert (lab.root / "train.py").read_bytes() == text.replace("\n", "\r\n").encode()


def test_somebody_holds_the_index(lab: Lab) -> None:
    """A keep does not fail for it; what git shows is put right by the next one."""
    lab.try_idea(SCORE=1.4)
    (lab.root / ".git/index.lock").touch()
    assert lab.log().out.startswith("verdict: keep\n")
    (lab.root / ".git/index.lock").unlink()
    assert lab.state == "clean"


def test_linked_worktree(lab: Lab, tmp_path: Path) -> None:
    lab.git("switch", "-q", "main")
    place = tmp_path / "lab" / "other"
    lab.git("worktree", "add", "-q", str(place), "autoresearch/t1")
    lab.root = place
    assert lab.state == "new", "a checkout has its own runs"
    assert lab.run("--baseline").code == 0


def test_reconciling_is_idempotent(lab: Lab) -> None:
    lab.try_idea(SCORE=1.4)
    lab.log()
    runs = [run for path in lab.root.glob("runs/t1/[0-9]*") if (run := record.read(path))]
    branch = git_branch.current(lab.root)
    tree = {path: path.read_bytes() for path in lab.root.glob("runs/t1/*/*.json")}
    assert reconcile.finish(branch, runs) == runs
    assert {path: path.read_bytes() for path in lab.root.glob("runs/t1/*/*.json")} == tree


def test_git_says_no_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(git_branch.GitFailed, match="git rev-parse failed in"):
        Git(tmp_path).run("rev-parse", "HEAD")
