"""Text and tokens that nobody wrote, as much as is asked for, with the lengths and word counts of real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

WORDS = 50_000  # of the language; the n-th most frequent comes 1/n as often as the first (Zipf)
MEAN, SPREAD = 6.0, 1.0  # of the logarithm of a document's words: 665 on average, half below 400
LONGEST = 20_000
SHARD = 1 << 26  # bytes of a file, about
LETTERS = np.frombuffer(b"eeeeetttaaaoooiiinnnsshhrrdlcumwfgypbvk", np.uint8)


def language(seed: int) -> np.ndarray:
    """Words of 2 to 11 letters and a space, frequent ones first and shorter."""
    dice = np.random.default_rng(seed)
    lengths = np.clip(2 + dice.poisson(np.linspace(1, 6, WORDS)), 2, 11)
    letters = dice.choice(LETTERS, lengths.sum()).tobytes().decode()
    ends = np.cumsum(lengths)
    return np.array([letters[end - size : end] for end, size in zip(ends, lengths, strict=True)], dtype=object)


def document_lengths(count: int, dice: np.random.Generator) -> np.ndarray:
    return np.clip(dice.lognormal(MEAN, SPREAD, count), 20, LONGEST).astype(np.int64)


def documents(words: np.ndarray, dice: np.random.Generator) -> Iterator[str]:
    """For ever."""
    weights = 1 / np.arange(1, WORDS + 1)
    cumulated = np.cumsum(weights / weights.sum())
    while True:
        lengths = document_lengths(1000, dice)
        drawn = np.searchsorted(cumulated, dice.random(lengths.sum())).clip(max=WORDS - 1)
        for part in np.split(words[drawn], np.cumsum(lengths)[:-1]):
            yield " ".join(part.tolist()) + "."


def write_shards(folder: Path, size: int, seed: int = 0) -> int:
    """About `size` bytes of text in .jsonl files; returns how many bytes of text they are."""
    folder.mkdir(parents=True)
    source, written, number = documents(language(seed), np.random.default_rng(seed)), 0, 0
    while written < size:
        with (folder / f"{number:05d}.jsonl").open("w", encoding="ascii") as file:
            until = min(size, written + SHARD)
            while written < until:
                text = next(source)
                file.write(json.dumps({"text": text}) + "\n")
                written += len(text)
        number += 1
    return written


def write_preparation(folder: Path, tokens: int, sequence_length: int, vocab_size: int, seed: int = 0) -> None:
    """A preparation of random tokens, as far as the feeder looks at it."""
    folder.mkdir(parents=True)
    dice = np.random.default_rng(seed)
    lengths = document_lengths(max(1, tokens // 665), dice)
    dice.integers(0, vocab_size - 1, lengths.sum(), dtype=np.uint16).tofile(folder / "train.tokens")
    np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64).tofile(folder / "train.offsets")
    meta = {"format": 1, "budget": "1s", "bos_id": vocab_size - 1, "device": "cuda"}
    meta |= {"sequence_length": sequence_length, "vocab_size": vocab_size}
    (folder / "meta.json").write_text(json.dumps(meta))
