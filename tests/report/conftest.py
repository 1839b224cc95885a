"""A made-up campaign in a small checkout, and a browser where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import made_up
from tests.harness.conftest import bare_lab, begun_lab, lab, new  # noqa: F401  # fixtures
from tests.report import browser
from tests.report.browser import Browser

TRAIN = """\
MATRIX_LR = 0.04  # Muon
HEAD_LR = 0.005
FULL_DEPTH = 8
SMALL_WIDTH = 128


def build_model(config):
    return config
"""
EXPERIMENTS = 30
SEED = 11  # of ideas and noise: with it there are keeps, crashes, confirmations and a stopped run


def checkout(folder: Path) -> Path:
    """A repository with what a snapshot is made of."""
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(TRAIN)
    (folder / "prepare.py").write_text("# fixed\n")
    (folder / "program.md").write_text("# Program\n\n## Goal\n\nThe lowest val_bpb.\n")
    (folder / ".gitignore").write_text("runs/\nresults.tsv\n")
    who = ["-c", "user.name=person", "-c", "user.email=p@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-q", "-m", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The campaign, to be read."""
    root = checkout(tmp_path_factory.mktemp("made") / "project")
    made_up.make(root, EXPERIMENTS, SEED)
    return root


@pytest.fixture
def campaign(made: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="session")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = browser.program()
    if path is None:
        pytest.skip("no Chromium on this machine")
    found = Browser(path, tmp_path_factory.mktemp("browser"))
    yield found
    found.close()


@pytest.fixture
def chromium(one_browser: Browser) -> Browser:
    """Headless Chromium; skips where there is none."""
    one_browser.reset()
    return one_browser
