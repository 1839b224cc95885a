"""A disk that is full, or cannot be written: said in one line, nothing torn, and the next call goes on."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from harness import branch, disk, state, stopping

from tests.harness.lab import Answer, Lab, score_for, unsure

NO_ROOM = str(10**9)  # MB that have to be free, which are not
WRITES = {"os.mkdir", "os.rename", "os.symlink", "os.link"}
GIT_WRITES = {"hash-object", "mktree", "commit-tree", "update-ref", "update-index"}


class Full:
    """Lets so many writes of this process and its git pass, and fails those that come then."""

    def __init__(self) -> None:
        self.left = -1  # below zero: the disk has room
        self.root = "nowhere"
        self.failed = 0
        sys.addaudithook(self.hook)
        self._fsync, self._git = os.fsync, branch.Git._run

    def hook(self, event: str, arguments: Any) -> None:
        if self.left < 0:
            return
        path = str(arguments[0]) if arguments else ""
        writes = event in WRITES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writes and self.root in path and not path.endswith(".lock"):
            self.count()

    def count(self) -> None:
        if self.left == 0:
            self.failed += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.left > 0:
            self.left -= 1

    def fsync(self, descriptor: int) -> None:
        if self.left >= 0:
            self.count()
        self._fsync(descriptor)

    def git(self, git: Any, args: Any, data: Any, env: Any) -> subprocess.CompletedProcess[bytes]:
        if self.left >= 0 and args[0] in GIT_WRITES:
            try:
                self.count()
            except OSError as error:
                return subprocess.CompletedProcess([], 128, b"", f"fatal: unable to write: {error}".encode())
        return self._git(git, args, data, env)

    @contextlib.contextmanager
    def after(self, writes: int, lab: Lab) -> Iterator[None]:
        self.left, self.root, self.failed = writes, str(lab.root), 0

        def run(git: Any, args: Any, data: Any, env: Any) -> subprocess.CompletedProcess[bytes]:
            return self.git(git, args, data, env)

        with (
            mock.patch.object(os, "fsync", self.fsync),
            mock.patch.object(branch.Git, "_run", run),
            mock.patch.object(branch, "_INDEX_PATIENCE", 0.0),
        ):
            try:
                yield
            finally:
                self.left = -1


@pytest.fixture(scope="module")
def full() -> Full:
    return Full()


def one_line(answer: Answer) -> None:
    assert answer.code in (0, 1, 2, 75), answer
    if answer.code == 2:
        assert len(answer.err.splitlines()) == 1, answer.err
        assert "No space left" in answer.err


def settle(lab: Lab) -> None:
    """Do what status says until nothing is in hand."""
    for _ in range(8):
        found = lab.status()
        if found["state"] in ("clean", "edited"):
            return
        line = str(found["next"])
        if line == state.WAIT:
            lab.run("--wait")
        elif line == state.REVERT:
            assert lab.revert().code == 0
        else:
            assert lab.log("an idea").code == 0
    raise AssertionError(found)


def check(lab: Lab, edited: str) -> None:
    """What must hold wherever it stopped: one row a decision, the edit there, nothing half-made."""
    lab.status()  # the ledger follows a decision with whatever command comes next
    assert len(list(lab.root.glob("runs/t1/*/decision.json"))) == len(lab.rows())
    for path in lab.root.glob("runs/t1/[0-9]*/*.json"):
        json.loads(path.read_text())
    if lab.state == "edited":
        assert lab.train == edited
    assert lab.git("fsck", "--no-dangling") == ""
    assert not list(lab.root.glob("runs/**/*.tmp")), "left over"
    assert not list(lab.root.glob(".*.tmp")), "left over"


def cut(lab: Lab, full: Full, what: str, writes: int) -> bool:
    """The disk is full after so many writes of one command; then there is room again. Whether it mattered."""
    edited = lab.edit(SCORE=1.6 if what in ("discard", "revert") else 1.4)
    command = ["run_experiment.py", "-m", "exp: an idea"]
    if what != "run":
        assert lab.run("-m", "exp: an idea").code == 0
        command = ["log_result.py", "-d", "an idea"]
    if what == "revert":
        assert lab.log("an idea").code == 0
        command = ["revert.py"]
    with full.after(writes, lab):
        answer = lab.call(*command)
        failed = full.failed
        one_line(answer)
    lab.settle()
    check(lab, edited)
    settle(lab)
    if lab.state == "edited":
        assert lab.run("-m", "exp: an idea").code == 0
        settle(lab)
    check(lab, edited)
    status = "discard" if what in ("discard", "revert") else "keep"
    assert [row[3] for row in lab.rows()] == ["keep", status], "once, and right"
    assert lab.git("status", "--porcelain") == ""
    return failed > 0


EVERY = os.environ.get("EVERY_WRITE") == "1"  # all of them takes minutes


@pytest.mark.parametrize("what", ["run", "keep", "discard", "revert"])
def test_full_in_the_middle(lab: Lab, full: Full, what: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    instants = range(40) if EVERY else sorted(random.Random(what).sample(range(14), 3))
    for writes in instants:
        copy = lab.copy(tmp_path_factory.mktemp("full") / "lab")
        try:
            if not cut(copy, full, what, writes):
                break
        finally:
            copy.kill_all()


# ---------------------------------------------------------------------------------------------------
# Before anything is torn


def refused(answer: Answer) -> None:
    assert answer.code == 2, answer
    assert len(answer.err.splitlines()) == 1
    assert "MB are free on the disk of " in answer.err
    assert f"a run needs {NO_ROOM} MB (AUTORESEARCH_DISK_RESERVE_MB)" in answer.err
    assert answer.next == "end your turn: there is no room on the disk"


def short(lab: Lab, *command: str) -> None:
    """Refused for want of room, and nothing is touched."""

    def everything() -> list[object]:
        return [lab.train, lab.refs(), lab.tip, lab.runs(), lab.git("count-objects")]

    before = everything()
    refused(lab.run(*command, AUTORESEARCH_DISK_RESERVE_MB=NO_ROOM))
    assert everything() == before


def test_no_room_for_a_baseline(new: Lab) -> None:
    short(new, "--baseline")
    assert not (new.root / "runs/t1").exists()


def test_no_room_for_a_run(lab: Lab) -> None:
    lab.edit(SCORE=score_for(unsure))
    short(lab, "-m", "exp: x")
    answer = lab.call("status.py", AUTORESEARCH_DISK_RESERVE_MB=NO_ROOM)
    assert answer.code == 0
    assert "note: " in answer.out
    assert "a person has to make room there" in answer.out
    assert lab.run("-m", "exp: x").next == state.CONFIRM
    short(lab, "--confirm")
    assert lab.call("log_result.py", "-d", "x", AUTORESEARCH_DISK_RESERVE_MB=NO_ROOM).code == 0


def test_no_room_for_a_fix(lab: Lab) -> None:
    lab.try_idea(CRASH="always")
    lab.edit(CRASH="")
    short(lab, "--fix", "-m", "fix: x")


def test_no_room_to_go_on(lab: Lab) -> None:
    lab.edit(SCORE=1.4, STEP=0.2)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    refused_not = lab.run("--wait", "0", AUTORESEARCH_DISK_RESERVE_MB=NO_ROOM)
    assert refused_not.code == 75, "it runs, so it is waited for"
    lab.kill_all()
    short(lab, "--wait", "0")
    assert lab.state == "interrupted"
    assert lab.run("--stop", AUTORESEARCH_DISK_RESERVE_MB=NO_ROOM).code == 0, "which takes no room"


@pytest.mark.parametrize(
    "value, needed", [("", 500), ("0", 0), ("7.5", 7.5), ("x", 500), ("-1", 500), ("inf", 500)]
)
def test_the_reserve(monkeypatch: pytest.MonkeyPatch, value: str, needed: float) -> None:
    monkeypatch.setenv(disk.VARIABLE, value)
    assert disk.reserve() == needed


def test_shortage(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, reserve, is_short in ((None, "5", False), (4.9, "5", True), (5.0, "5", False), (0.0, "0", False)):
        monkeypatch.setenv(disk.VARIABLE, reserve)
        monkeypatch.setattr(disk, "free", lambda root, free=free: free)
        assert bool(disk.shortage(lab.root)) == is_short
    for free, said, is_full in ((1.0, "shapes", True), (20.0, "shapes", False), (20.0, "No space left", True)):
        monkeypatch.setenv(disk.VARIABLE, "500")
        monkeypatch.setattr(disk, "free", lambda root, free=free: free)
        assert disk.is_full(lab.root, said) == is_full


def test_a_run_that_ends_for_want_of_room_is_not_to_blame(lab: Lab) -> None:
    text = lab.edit(SCORE=1.4, CRASH="OSError: No space left on device".replace(" ", "_"))
    (lab.root / "train.py").write_text(text.replace("_space_left_on_device", " space left on device"))
    with mock.patch.object(disk, "shortage", lambda root: None):  # there was room when it began
        answer = lab.run("-m", "exp: x", AUTORESEARCH_DISK_RESERVE_MB=NO_ROOM)
    assert (answer.code, answer.next) == (75, state.WAIT)
    assert "interrupted: the disk is full: train: OSError:_No space left on device" in answer.out
    lab.settle()
    assert lab.state == "interrupted"
    assert lab.run("--wait").code == 1, "with room enough, it is its own doing"
    assert lab.log().out.startswith("verdict: crash\n")


# ---------------------------------------------------------------------------------------------------
# What the shell of every command says


@pytest.mark.parametrize(
    "number, told",
    [(errno.ENOSPC, "make room there"), (errno.EROFS, "may be written"), (errno.EIO, "check who may write there")],
)
def test_an_error_is_one_line(lab: Lab, number: int, told: str) -> None:
    def fail(*args: Any) -> None:
        raise OSError(number, os.strerror(number), "/some/where")

    with mock.patch("harness.campaign.record.take_lock", fail):
        for tool in ("status.py", "report.py"):
            answer = lab.call(tool)
            assert answer.code == 2
            assert answer.err.count("\n") == 1
            assert "/some/where" in answer.err
            assert told in answer.err
            assert json.loads(lab.call(tool, "--json").out)["error"] in answer.err
        answer = lab.call("stop.py")
        assert answer.code == 0
        assert "STOP is set; where the campaign stands cannot be told: " in answer.out
    assert stopping.asked(lab.root) is not None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_an_output_that_is_full(lab: Lab) -> None:
    with open("/dev/full", "w") as output:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, str(lab.root / "tools/status.py")],
            env=lab.env,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr == "status: No space left on device: make room there, and do it again\n"
