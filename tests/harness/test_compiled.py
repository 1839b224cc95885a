"""The compile cache goes from a train.py to itself and to what is built on it. (To no other: tests/exploits.)"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from harness import compiled

from tests.harness.test_audit import PIN, REQUEST


@pytest.fixture(autouse=True)
def texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The train.py of each commit is its own name."""
    monkeypatch.setattr(compiled, "train_text", lambda git, commit: commit.encode())


def run(root: Path, commit: str, parent: str, leaves: str = "") -> set[str]:
    """What a run of `commit` finds; it adds a file."""
    folder, request = root / "runs/t1/0001", replace(REQUEST, commit=commit, parent=parent)
    (folder / "work").mkdir(parents=True)
    compiled.bring(root, PIN, request, folder)
    found = {path.name for path in (folder / compiled.TRAINING).iterdir()}
    if leaves:
        (folder / compiled.TRAINING).rename(folder / compiled.KEPT)
        (folder / compiled.KEPT / leaves).write_text(leaves)
        compiled.take_back(root, PIN, request, folder)
    shutil.rmtree(folder)
    return found


def test_it_goes_down_the_line_alone(tmp_path: Path) -> None:
    assert run(tmp_path, "base", "base", "b") == set()
    assert run(tmp_path, "base", "base") == {"b"}, "a confirmation"
    assert run(tmp_path, "idea", "base", "i") == {"b"}
    assert run(tmp_path, "idea", "base", "again") == {"b", "i"}
    assert run(tmp_path, "other", "base") == {"b"}, "what the idea left is the idea's"
    assert run(tmp_path, "base", "base") == {"b"}
    assert run(tmp_path, "next", "idea") == {"b", "i", "again"}, "which was kept"


def test_a_line_stays_however_many_ideas_are_discarded(tmp_path: Path) -> None:
    run(tmp_path, "base", "base", "b")
    kept = compiled.folder(tmp_path, PIN, "base")
    (kept.parent / "inductor").mkdir()  # as it lay there when there was one cache for all
    for number in range(10):
        for path in kept.parent.iterdir():  # long ago
            os.utime(path, (number, number))
        assert run(tmp_path, f"idea {number}", "base", "i") == {"b"}
        assert len(list(kept.parent.iterdir())) <= compiled.CACHES_MOST
    assert run(tmp_path, "base", "base") == {"b"}


def test_what_is_empty_or_too_large_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST", 2)
    assert run(tmp_path, "base", "base", "long name") == set()
    assert run(tmp_path, "base", "base") == set()
