"""A preparation small enough to make in a second: T = 32, a vocabulary of 300, a few documents of the sample."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import prepare

ROOT = Path(__file__).resolve().parents[2]
TINY = prepare.Profile(
    name="tiny",
    sequence_length=32,
    vocab_size=300,
    budget="2000tok",
    eval_tokens=1024,
    source="",
    noise_prior=0.01,
)


@pytest.fixture(scope="session")
def documents() -> list[str]:
    """Real text: the documents of the sample's smallest shard."""
    table = pq.read_table(ROOT / "data" / "sample" / "shard_00004.parquet")
    return [str(text) for text in table.column("text").to_pylist()]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, documents: list[str]) -> Iterator[Path]:
    """The folder of a preparation, which is in force while the tests run."""
    text = tmp_path_factory.mktemp("text")
    lines = [json.dumps({"text": document[:1500]}) for document in documents[:120]]
    (text / "some.jsonl").write_text("\n".join(lines) + "\n")
    before = dict(os.environ)
    os.environ["AUTORESEARCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    folder = prepare.prepare(TINY, str(text), shards=1)
    os.environ["AUTORESEARCH_PREPARATION"] = str(folder)
    yield folder
    os.environ.clear()
    os.environ.update(before)
