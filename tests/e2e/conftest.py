"""What the end-to-end tests share: the client, a small preparation of real text, one campaign."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from .lab import ROOT, Lab, find

DOCUMENTS = 400  # of the embedded corpus: about 0.5 M tokens to train on, and little to score


@pytest.fixture(scope="session")
def programs() -> tuple[Path, Path]:
    """opencode and ripgrep."""
    opencode, ripgrep = find("opencode"), find("rg")
    if opencode is None or ripgrep is None:
        pytest.fail("these tests drive the real client, and opencode or ripgrep is missing: run scripts/setup.sh")
    return opencode, ripgrep


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preparation of a small part of the embedded corpus, made by prepare.py."""
    folder = tmp_path_factory.mktemp("prepared")
    texts = parquet.read_table(ROOT / "data" / "sample" / "shard_00000.parquet")["text"].to_pylist()[:DOCUMENTS]
    (folder / "texts").mkdir()
    (folder / "texts" / "sample.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = [sys.executable, "prepare.py", "--profile", "small", "--source", str(folder / "texts")]
    done = subprocess.run([*command, "--cache", str(folder / "cache")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "cache"


@pytest.fixture(scope="session")
def bare(programs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A checkout with nothing prepared, for what needs no training."""
    lab = Lab(tmp_path_factory.mktemp("bare"), *programs, tmp_path_factory.mktemp("empty"))
    lab.build(lambda train: train)
    return lab
