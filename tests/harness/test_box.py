"""What a box shows of a checkout that lies among the system's own folders. (That it holds: tests/exploits.)"""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import box
from harness.preparation import Preparation

from tests.exploits.lab import needs_box


def test_a_checkout_below_usr_is_hidden_but_for_what_a_run_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = needs_box()
    checkout, python = tmp_path / "usr/local/app", tmp_path / "usr/lib/python"
    data, venv = checkout / "cache/preparations/one", checkout / ".venv"
    for folder in (data, venv, python):
        folder.mkdir(parents=True)
    (data / "meta.json").write_text("{}")
    (tmp_path / "app").symlink_to(checkout)  # as it may be called
    monkeypatch.setattr(box, "_SYSTEM", [str(tmp_path / "usr")])
    monkeypatch.setattr(box, "pythons_of", lambda _: [venv, python])
    monkeypatch.setenv("AUTORESEARCH_CACHE", str(checkout / "cache"))
    prepared = Preparation(data, "one", "small", "cpu", "1tok", 0.0, 3.6)
    made = box.make(tmp_path / "app", program, "python", prepared, {})
    assert made.hidden == (checkout, checkout / "cache", data)
    assert {venv, data / "meta.json"} <= set(made.shown)
    words = made.around(checkout / "runs/t1/0001-abc", ["train.py"], training=True)
    hides = words.index(str(checkout))
    assert words.index(str(tmp_path / "usr")) < hides < words.index(str(venv))
    assert words[hides - 1] == "--tmpfs"


def test_elsewhere_nothing_needs_to_be_hidden(tmp_path: Path) -> None:
    assert box.among_the_system([tmp_path, Path("/home/me/app")]) == ()
    assert box.among_the_system([Path("/usr/local/app")]) == (Path("/usr/local/app"),)
