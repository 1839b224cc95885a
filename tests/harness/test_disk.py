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

from tests.harness.lab import Answer, Lab

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
    """What must hold wherever it stopped: one row a decision, the edit there, nothing half-made that is believed."""
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
