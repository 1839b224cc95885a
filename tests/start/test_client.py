"""Launching, following and ending a client."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import client, turn
from harness.client import Client

LISTING = """\
    1     0 /sbin/init
   10     1 opencode run
   11    10 sh -c scripts/run_experiment.sh
   12    11 python3 tools/run_experiment.py -m x
   13    12 python3 -m harness.runner runs/t/0001-abc
   14    13 python3 train.py
   20     1 somebody else
   21    10 rg
"""


def test_a_run_of_the_bench_is_not_the_clients_to_lose() -> None:
    assert sorted(client.descendants(10, LISTING)) == [11, 12, 21]
    assert list(client.descendants(20, LISTING)) == []


def speaking(tmp_path: Path, script: str) -> Client:
    """A client that is a Python script."""
    program = tmp_path / "opencode"
    program.write_text(f"#!{sys.executable}\nimport json, os, subprocess, sys, time\n{script}")
    program.chmod(0o755)
    return Client(program, tmp_path, {**os.environ, "PWD": str(tmp_path)}, "a/b")


def test_ending_a_client_ends_what_it_started(tmp_path: Path) -> None:
    agent = speaking(
        tmp_path,
        """
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(json.dumps({"type": "text", "part": {"text": str(child.pid)}}), flush=True)
time.sleep(60)
""",
    )
    pids: list[int] = []
    began = time.monotonic()
    process = agent.turn("go", None)
    turn.follow(process, lambda event: pids.append(int(event["part"]["text"])), lambda: bool(pids))
    assert time.monotonic() - began < 30
    assert process.returncode is not None
    assert not client.alive(pids[0]) or "defunct" in status_of(pids[0])


def status_of(pid: int) -> str:
    return subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout


def test_models(tmp_path: Path) -> None:
    listing = speaking(tmp_path, 'print("anthropic/claude-x\\nopencode/free\\n\\nnoise")')
    assert listing.models() == ["anthropic/claude-x", "opencode/free"]
    with pytest.raises(OSError, match="bad config"):
        speaking(tmp_path, 'sys.exit("bad config")').models()


def test_the_environment_lets_one_command_wait_for_a_whole_run(tmp_path: Path) -> None:
    environ = client.environment(tmp_path)
    assert environ["PWD"] == str(tmp_path)
    assert environ["PATH"].split(os.pathsep)[:2] == [str(tmp_path / ".venv/bin"), str(tmp_path / ".tools/bin")]
    assert int(environ["AUTORESEARCH_WAIT"]) * 1000 < int(environ["OPENCODE_EXPERIMENTAL_BASH_DEFAULT_TIMEOUT_MS"])


@pytest.mark.parametrize(
    ("system", "machine", "package"),
    [
        ("darwin", "arm64", "opencode-darwin-arm64@"),
        ("darwin", "x86_64", "opencode-darwin-x64-baseline@"),
        ("linux", "aarch64", "opencode-linux-arm64"),
    ],
)
def test_packages(system, machine, package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    found = client.packages()
    assert found["opencode"].startswith(package) and found["opencode"].endswith(client.OPENCODE_VERSION)
    assert found["rg"].startswith(f"@vscode/ripgrep-{system}-")


def test_no_package_for_this_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(LookupError, match="riscv64"):
        client.packages()
