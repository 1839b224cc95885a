"""What set-up decides, without installing anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import setup
from harness import client
from harness.command import ROOT


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("error: Failed to fetch: https://…\n  cause: dns error", "no network"),
        ("npm error code EAI_AGAIN", "no network"),
        ("ERROR: Could not find a version that satisfies the requirement uv (from versions: none)", "no network"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("error: something else", "its last words"),
    ],
)
def test_a_failure_says_what_to_do(said: str, wanted: str) -> None:
    assert wanted in setup.advice(said)
    assert "scripts/setup.sh" in setup.advice(said)


def test_the_locked_version_of_torch() -> None:
    version = setup.locked_version(ROOT / "uv.lock", "torch")
    assert version.split(".")[0] == "2"
    with pytest.raises(setup.SetupError, match="names no ghost"):
        setup.locked_version(ROOT / "uv.lock", "ghost")


def test_the_lock_names_public_addresses_alone() -> None:
    lock = (ROOT / "uv.lock").read_text()
    assert "file://" not in lock and '{ path = "' not in lock
    assert 'registry = "https://pypi.org/simple"' in lock


def test_folders_of_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/a /b")
    monkeypatch.setenv("UV_FIND_LINKS", "/c,/d")
    assert setup.find_links() == ["/c", "/d"]
    monkeypatch.delenv("UV_FIND_LINKS")
    assert setup.find_links() == ["/a", "/b"]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout to set up, with a log to write to."""
    tools = tmp_path / ".tools"
    places = {"ROOT": tmp_path, "TOOLS": tools, "LOG": tools / "setup.log"}
    places["PYTHON"] = tmp_path / ".venv" / "bin" / "python"
    for name, value in places.items():
        monkeypatch.setattr(setup, name, value)
    tools.mkdir()
    (tmp_path / "uv.lock").write_text('[[package]]\nname = "torch"\nversion = "2.13.0"\n')
    return tmp_path


def test_a_failed_command_is_one_line_with_its_last_words(elsewhere: Path, capsys) -> None:
    script = "print('one', flush=True); raise SystemExit('\\x1b[31mtwo: no such thing\\x1b[0m')"
    with pytest.raises(setup.SetupError, match=r"failed.*setup\.log") as failure:
        setup.run([sys.executable, "-c", script])
    assert failure.value.detail == "one\ntwo: no such thing"
    assert "two: no such thing" in setup.LOG.read_text()


def test_a_command_that_is_not_there(elsewhere: Path) -> None:
    with pytest.raises(setup.SetupError, match="cannot be run: No such file"):
        setup.run([str(elsewhere / "nothing")])


@pytest.mark.parametrize("gpu", [False, True])
def test_which_torch(gpu: bool, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CUDA build where there is a GPU, and never where there is none."""
    calls: list[list[str]] = []
    monkeypatch.setattr(setup, "run", lambda command, extra=None: calls.append([str(part) for part in command]))
    monkeypatch.setattr(setup, "has_gpu", lambda: gpu)
    monkeypatch.setattr(setup, "find_uv", lambda: "uv")
    monkeypatch.setattr(setup, "find_links", lambda: ["/none"])
    monkeypatch.setattr("sys.platform", "linux")
    (elsewhere / ".venv").mkdir()
    assert setup.environment()
    lines = [" ".join(call) for call in calls]
    if gpu:
        assert lines == ["uv sync --frozen"]
    else:
        assert any("torch==2.13.0+cpu --torch-backend cpu" in line for line in lines)
        assert all("--no-group torch" in line for line in lines if "sync" in line)
    (elsewhere / ".venv" / "bin").mkdir()
    setup.PYTHON.touch()
    assert not setup.environment()  # and the second time there is nothing to do
    monkeypatch.setattr(setup, "has_gpu", lambda: not gpu)
    assert setup.environment()  # unless the machine has changed


def test_a_wheel_at_hand_is_taken(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    calls: list[list[str]] = []
    monkeypatch.setattr(setup, "run", lambda command, extra=None: calls.append([str(part) for part in command]))
    monkeypatch.setattr(setup, "find_links", lambda: ["/none", str(elsewhere)])
    setup.install_cpu_torch("uv", "2.13.0")
    assert calls[0][-2:] == ["--find-links", str(elsewhere)]


@pytest.mark.parametrize(
    ("version", "used"), [("1.18.40", True), ("2.0.1", True), ("1.9.0", False), ("dev", False)]
)
def test_a_client_on_path_is_used_unless_it_is_old(
    version: str, used: bool, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = elsewhere / "programs"
    programs.mkdir()
    for name in ("opencode", "rg"):
        (programs / name).write_text(f"#!/bin/sh\necho {version}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    assert client.find_program(elsewhere, "rg") == programs / "rg"
    assert setup.is_usable("rg")
    assert setup.is_usable("opencode") is used
    assert setup.is_usable("opencode") is used


def test_bad_use_is_one_line() -> None:
    command = [sys.executable, str(ROOT / "tools" / "setup.py"), "--profile", "large"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("setup: ") and done.stderr.count("\n") == 1
