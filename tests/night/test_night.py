"""A short night with the real client, from scripts/start.sh to the books."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Refused

from benchmarks.simulation import place

ROOT = Path(__file__).parents[2]
EXPERIMENTS = 10
SEED = "232"  # a stubborn model for once, four failures of the endpoint, and nothing that takes long
MINUTES = 15  # a night that takes longer hangs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the night left, and its report in `night.json`."""
    folder = tmp_path_factory.mktemp("night")
    try:
        place.find(folder)
    except Refused as refusal:
        pytest.fail(f"this test drives the real client: {refusal}")
    command = [sys.executable, str(ROOT / "benchmarks" / "night.py"), "--experiments", str(EXPERIMENTS)]
    command += ["--seed", SEED, "--keep", str(folder / "files"), "--json", str(folder / "night.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES)
    assert done.returncode == 0, done.stdout + done.stderr + (folder / "files" / "start.log").read_text()[-3000:]
    return folder


def test_the_books_balance(folder: Path) -> None:
    report = json.loads((folder / "night.json").read_text())
    assert report["imbalances"] == []
    assert report["experiments"] >= EXPERIMENTS and report["logged_once"] == report["experiments"]
    assert report["unknown_commits"] == 0 and report["processes_left"] == 0
    assert report["client_kills"] >= 1 and report["reboots"] >= 1 and report["outages"] == 2
    assert report["compactions"] >= 1
    assert report["steering_seen"]
    assert 0 < report["tokens_per_iteration_p50"] <= report["tokens_per_iteration_p95"]
    assert report["idle_seconds_per_experiment"] > 0 and report["tokenizer"] and report["opencode"]


def test_the_person_finds_the_table_and_a_clean_checkout(folder: Path) -> None:
    repo = folder / "files" / "repo"
    log = (folder / "files" / "start.log").read_text()
    assert "Traceback" not in log
    assert not (repo / "STOP").exists()
    rows = (repo / "results.tsv").read_text().splitlines()
    assert len(rows) >= EXPERIMENTS + 2  # the header, the baseline
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, text=True).stdout
    assert changed.splitlines() in ([], [" M program.md"])


def test_without_the_client_it_says_so(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    code = "import runpy, sys; from harness import client; client.find_program = lambda root, name: None; "
    code += (
        f"sys.argv = ['night.py']; runpy.run_path({str(ROOT / 'benchmarks' / 'night.py')!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert done.returncode == 2 and done.stderr == "night: opencode is not installed: run scripts/setup.sh\n"
