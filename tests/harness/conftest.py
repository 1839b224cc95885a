"""Checkouts to try the bench in, made once and copied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import source

from tests.harness.lab import Lab


@pytest.fixture(scope="session")
def bare_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab.build(tmp_path_factory.mktemp("bare") / "lab")


@pytest.fixture(scope="session")
def begun_lab(bare_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = bare_lab.copy(tmp_path_factory.mktemp("begun") / "lab")
    assert lab.run("--baseline").code == 0
    assert lab.log("baseline").code == 0
    return lab


@pytest.fixture
def new(bare_lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    """Before the baseline."""
    lab = bare_lab.copy(tmp_path / "lab")
    yield lab
    lab.kill_all()


@pytest.fixture
def lab(begun_lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    """With its baseline (val_bpb 1.5) logged."""
    lab = begun_lab.copy(tmp_path / "lab")
    yield lab
    lab.kill_all()


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any train.py runs: for what must hold whatever the static guard overlooks."""
    monkeypatch.setattr(source, "check", lambda text, incumbent: None)
