"""The text of the preparation in force, as files that any trainer can read, and the part of it that is scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus import CLIMBMIX_SHARDS, DataError, open_corpus, read_unit

GROUP = 1024  # documents of a row group, as in the shards that the reference downloads
BYTES_A_TOKEN = 4  # about what a token of any of the tokenizers here holds
SCORED_MOST = 1 << 24  # bytes of text that a score is of at most
HEAD_CHARACTERS = 3  # a token of context: the beginnings of documents that fit into a row of any tokenizer
CURVE_SHARE = 0.25  # of the scored text, for a point of the curve


@dataclass(frozen=True)
class Text:
    """Where it lies: `train.parquet` and `val.parquet`, one column `text`, in the order of the preparation."""

    folder: Path
    scored_bytes: int  # of the validation text at most, whole documents from its beginning

    @property
    def train(self) -> Path:
        return self.folder / "train.parquet"

    @property
    def val(self) -> Path:
        return self.folder / "val.parquet"

    def scored(self, share: float = 1.0) -> list[str]:
        """The first validation documents, up to `share` of the bytes that are scored; at least one."""
        chosen: list[str] = []
        left = share * self.scored_bytes
        for document in documents(self.val):
            left -= len(document.encode())
            if chosen and left < 0:
                break
            chosen.append(document)
        return chosen

    def heads(self, T: int) -> list[str]:
        """The beginning of every validation document, as much as fits into a context of T tokens, up to the bytes
        that are scored. A trainer that throws away the ends of what it cuts has learned from these alone."""
        chosen: list[str] = []
        left = self.scored_bytes
        for document in documents(self.val):
            head = document[: HEAD_CHARACTERS * T]
            left -= len(head.encode())
            if chosen and left < 0:
                break
            chosen.append(head)
        return chosen


def documents(path: Path) -> Iterator[str]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield from file.read_row_group(group, columns=["text"]).column("text").to_pylist()


def gather(meta: dict[str, Any], cache: Path, folder: Path) -> Text:
    """Writes the training and the validation documents of a preparation. Raises DataError where the text that is
    there now is not the one that was prepared."""
    text = Text(folder, min(BYTES_A_TOKEN * int(meta["eval_tokens"]), SCORED_MOST))
    if text.train.exists() and text.val.exists():
        return text
    there = len(list((cache / "climbmix").glob("shard_*.parquet"))) - 2  # but for validation and held-out
    corpus = open_corpus(meta["source"], there if there > 0 else CLIMBMIX_SHARDS, cache)
    folder.mkdir(parents=True, exist_ok=True)
    for split, path in (("train", text.train), ("val", text.val)):
        found = (one for unit in corpus.units if unit.split in (split, None) for one in read_unit(unit))
        count = write(path, (document for own, document in found if own == split))
        if count != (prepared := meta["splits"][split]["documents"]):
            path.unlink()
            raise DataError(
                f"{meta['source']} gives {count} {split} documents, the preparation has {prepared}: run prepare.py"
            )
    return text


def write(path: Path, texts: Iterable[str]) -> int:
    """One column `text` in row groups; whole or not at all. Returns how many documents there were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("text", pa.string())])
    half = path.with_suffix(".half")
    count = 0
    with pq.ParquetWriter(half, schema, compression="zstd") as file:
        group: list[str] = []
        for text in texts:
            group.append(text)
            count += 1
            if len(group) == GROUP:
                file.write_table(pa.table({"text": group}, schema))
                group = []
        if group:
            file.write_table(pa.table({"text": group}, schema))
    half.replace(path)
    return count


def lay_out(tokens: Iterable[Sequence[int]], bos: int, T: int) -> np.ndarray:
    """Documents as rows int64 [N, T + 1] that all begin with BOS, as rows in training do. Every token stands in
    exactly one place after the first, so that trainers of different vocabularies are scored on the same bytes.
    The last row is filled up with BOS, which is never scored."""
    rows: list[list[int]] = []
    row = [bos]
    for document in tokens:
        if len(row) > 1:
            row.append(bos)
        start = 0
        while start < len(document):
            if len(row) == T + 1:
                rows.append(row)
                row = [bos]
            taken = min(T + 1 - len(row), len(document) - start)
            row.extend(document[start : start + taken])
            start += taken
        if len(row) == T + 1:
            rows.append(row)
            row = [bos]
    if len(row) > 1 or not rows:
        rows.append(row + [bos] * (T + 1 - len(row)))
    return np.array(rows, np.int64)
