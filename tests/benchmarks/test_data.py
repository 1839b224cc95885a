"""The data benchmark's own parts: made-up text, the scan that ours is held against, and what is printed."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import data
from benchmarks.loading import made_up, memory, scan
from feeder import Packer, TokenStore


def best_fit(lengths: list[int], room: int) -> int:
    """Index of the document to place, by the rule in words; negative where it is to be cut."""
    fitting = [length for length in lengths if length <= room]
    return lengths.index(max(fitting)) if fitting else -1 - lengths.index(min(lengths))


sizes = st.lists(st.integers(1, 30), min_size=1, max_size=12)


@given(lengths=sizes, width=st.integers(2, 24), rows=st.integers(1, 9))
def test_the_scan_places_by_best_fit_and_cuts_the_shortest(lengths, width, rows):
    numbered = itertools.count(0, 100)  # the tokens of a document say which it is: 300, 301, 302 …
    documents = (list(range(start, start + size)) for start, size in zip(numbered, itertools.cycle(lengths)))
    packer = scan.ScanPacker(documents, width)
    packed = packer.batch(rows)
    assert packed.shape == (rows, width)

    again = ([size, start] for start, size in zip(itertools.count(0, 100), itertools.cycle(lengths)))
    waiting = list(itertools.islice(again, scan.BUFFER))
    lost = 0
    for row in packed.tolist():
        expected: list[int] = []
        while len(expected) < width:
            waiting += itertools.islice(again, scan.BUFFER - len(waiting))
            room = width - len(expected)
            index = best_fit([size for size, _ in waiting], room)
            size, start = waiting.pop(index if index >= 0 else -1 - index)
            expected += range(start, start + min(size, room))
            lost += max(0, size - room)
        assert row == expected
    assert packer.lost == lost


def test_ours_throws_nothing_away_where_the_scan_does(tmp_path):
    made_up.write_preparation(tmp_path / "it", 100_000, sequence_length=64, vocab_size=500)
    store = TokenStore.load(tmp_path / "it", "train")
    scanner = scan.ScanPacker(data.as_lists(store, 499), 65)
    scanner.batch(50)
    assert scanner.lost > 0
    packer, row = Packer(store, 499, seed=1), np.empty(65, np.uint16)
    for _ in range(50):
        packer.fill(row)
    assert row[0] == 499 and packer.served == 50 * 65


def test_made_up_text_is_what_was_asked_for_and_the_same_again(tmp_path):
    for name in ("one", "two"):
        written = made_up.write_shards(tmp_path / name, 300_000, seed=3)
    files, again = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    texts = [json.loads(line)["text"] for file in files for line in file.read_text().splitlines()]
    assert 300_000 <= written == sum(map(len, texts)) < 300_000 + 12 * made_up.LONGEST
    assert len(set(texts)) == len(texts)


def test_the_peak_is_of_all_processes_at_once():
    child = "import time; held = bytearray(60_000_000); time.sleep(1)"
    both = "import subprocess, sys; held = bytearray(60_000_000); "
    both += f"subprocess.run([sys.executable, '-c', {child!r}])"
    peak, seconds = memory.peak_of([sys.executable, "-c", both], dict(os.environ))
    assert 115e6 < peak < 250e6 and seconds >= 1


def test_a_command_that_fails_is_told_with_its_last_words():
    with pytest.raises(memory.CommandFailed, match="no such thing"):
        memory.peak_of([sys.executable, "-c", "raise SystemExit('no such thing')"], dict(os.environ))


def test_too_full_a_disk_is_said_before_anything_is_written(tmp_path, capsys):
    with pytest.raises(SystemExit, match="GB free"):
        data.room_for(10**18, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_table_says_ratios():
    report = data.Report(
        data.Tokenization(15.0, 20.0, 8.0, 10.0, 200.0),
        [data.Packing("full", 100e6, 4e6, 0.3)],
        [data.Loader("full", 16.5e6, 0.016, 0.003)],
        [data.Memory(10**9, 500 * 10**6, 100.0)],
        "a machine", "abc", 0.1,
    )  # fmt: skip
    text = "\n".join(data.table(report))
    for expected in ("75%", "80%", "25 x", "10.0 x", "1,000 MB of text", "500", "commit abc"):
        assert expected in text


def test_the_loader_is_a_real_feeder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(data.SHAPES, "tiny", (2, 16, 300))
    monkeypatch.setattr(made_up, "LONGEST", 100)
    found = data.measure_loader(tmp_path / "it", "tiny", seconds=0.2)
    assert found.tokens_per_second > 0 and found.step > 0
