"""Packing, the ring and the clock."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import DataError
from feeder import Budget, Channel, Packer, Ring, TokenStore
from tests.fixed.conftest import ROOT

BOS = 65_535


def store_of(lengths: list[int]) -> TokenStore:
    """Documents whose tokens are all different: 0, 1, 2, … over the whole store."""
    return TokenStore(np.arange(sum(lengths), dtype=np.uint16), np.cumsum([0, *lengths], dtype=np.int64))


def pack(packer: Packer, rows: int, width: int) -> np.ndarray:
    packed = np.empty((rows, width), np.uint16)
    for row in packed:
        packer.fill(row)
    return packed


def pieces_of(rows: np.ndarray) -> list[list[int]]:
    """The pieces of documents in rows, in order: what stands behind each BOS."""
    pieces: list[list[int]] = []
    for token in rows.flatten().tolist():
        if token == BOS:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces


lengths_of_documents = st.lists(st.integers(0, 90), min_size=1, max_size=40).filter(any)


@given(lengths=lengths_of_documents, width=st.integers(2, 64), rows=st.integers(1, 40), seed=st.integers(0, 9))
def test_rows_begin_with_bos_and_hold_every_token_once(lengths, width, rows, seed):
    store = store_of(lengths)
    packer = Packer(store, BOS, seed)
    packed = pack(packer, rows, width)
    assert (packed[:, 0] == BOS).all()
    # What was drawn from the documents is in the rows or still in the look-ahead: none is lost, none is padding.
    drawn = sum(lengths[document] for document in drawn_documents(packer, len(lengths)))
    waiting = sum(length - 1 for length, _, _ in packer.pool)
    assert int((packed != BOS).sum()) + waiting == drawn
    assert packer.served == packed.size
    # Each piece is a run of consecutive tokens of one document.
    for piece in pieces_of(packed):
        if piece:
            assert piece == list(range(piece[0], piece[0] + len(piece)))
            document = np.searchsorted(store.offsets, piece[0], side="right")
            assert piece[-1] < store.offsets[document]
    if packer.drawn <= len(lengths):  # within one epoch no token comes twice
        tokens = packed[packed != BOS]
        assert len(set(tokens.tolist())) == len(tokens)


def drawn_documents(packer: Packer, documents: int) -> list[int]:
    """Which documents a packer has drawn so far, from its own seed."""
    drawn: list[int] = []
    for epoch in range(packer.drawn // documents + 1):
        drawn += packer._epoch_order(epoch).tolist()
    return drawn[: packer.drawn]


def test_cropped_counts_tokens_cut_from_their_beginning():
    packer = Packer(store_of([10]), BOS, seed=0)
    pack(packer, 1, 6)  # BOS and five tokens; five remain, cut off
    assert packer.cropped == 0
    pack(packer, 1, 6)
    assert packer.cropped == 5


@given(
    seed=st.integers(0, 9),
    splits=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=4),
)
@settings(max_examples=30)
def test_order_depends_on_neither_batch_nor_accumulation(seed, splits):
    store = store_of([17, 3, 40, 8, 25, 60, 2, 31])
    served: list[np.ndarray] = []
    packer = Packer(store, BOS, seed)
    for B, accum in splits:
        ring = Ring(packer, B, T=15, accum=accum)
        for _ in range(2):
            slots = ring.take_step()
            while ring.free:  # rows packed ahead, never served from this ring
                ring.pack_one()
            served += [ring.rows[slot].copy() for slot in slots]
            ring.free.extend(slots)
        ring.rewind()
    rows = np.concatenate(served)
    assert (rows == pack(Packer(store, BOS, seed), len(rows), 16)).all()


def test_another_seed_is_another_order():
    store = store_of([17, 3, 40, 8, 25, 60, 2, 31])
    first, second = (pack(Packer(store, BOS, seed), 8, 16) for seed in (1, 2))
    assert (first != second).any()


def test_a_slot_is_not_packed_again_before_it_is_released():
    ring = Ring(Packer(store_of([50, 60]), BOS, 0), B=2, T=7, accum=1)
    held = ring.take_step()[0]
    before = ring.rows[held].copy()
    while ring.free:
        ring.pack_one()
    assert held not in [slot for slot, _ in ring.ready]
    assert (ring.rows[held] == before).all()


@pytest.mark.parametrize(
    ("text", "amount", "unit"), [("300s", 300, "s"), ("1_000tok", 1000, "tok"), ("9.5cpu", 9.5, "cpu")]
)
def test_budgets(text, amount, unit):
    assert Budget.parse(text) == Budget(amount, unit)
    assert Budget.parse(Budget.parse(text).text) == Budget(amount, unit)


@pytest.mark.parametrize("text", ["", "300", "-1s", "0tok", "infs", "nancpu", "5 minutes"])
def test_bad_budgets_are_named(text):
    with pytest.raises(DataError, match="budget"):
        Budget.parse(text)


class Feeder:
    """A real feeder process, and the trainer's end of its socket."""

    def __init__(self, run_dir: Path, **environment: str) -> None:
        self.run_dir = run_dir
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        command = [sys.executable, "prepare.py", "--feed", str(run_dir), "--fd", str(theirs.fileno())]
        self.process = subprocess.Popen(
            [*command, "--pid", str(os.getpid())], cwd=ROOT, pass_fds=[theirs.fileno()],
            env={**os.environ, **environment},
        )  # fmt: skip
        theirs.close()

    def ask(self, **message: Any) -> dict[str, Any]:
        self.channel.send(message)
        reply, _ = self.channel.receive()
        assert reply is not None
        return reply

    def end(self) -> dict[str, Any]:
        self.channel.socket.close()
        assert self.process.wait(timeout=30) == 0
        fed: dict[str, Any] = json.loads((self.run_dir / "feed.json").read_text())
        return fed


def test_the_stream_ends_between_steps_when_the_tokens_are_spent(tiny, tmp_path):
    feeder = Feeder(tmp_path, AUTORESEARCH_BUDGET="1000tok")
    feeder.ask(op="open", B=4, T=32, accum=2)
    steps = 0
    released: list[int] = []
    while (reply := feeder.ask(op="step", free=released))["slots"] is not None:
        released = reply["slots"]
        assert len(released) == 2
        assert reply["progress"] == pytest.approx(steps * 256 / 1000)
        steps += 1
        feeder.channel.send({"op": "log", "step": steps - 1, "loss": 1.5, "extra": {"lr": 0.1}})
    feeder.ask(op="finish")
    fed = feeder.end()
    assert steps == 3  # a fourth would not fit: 4 x 256 tokens
    assert (fed["steps"], fed["tokens"], fed["finished"], fed["overrun"]) == (3, 768, True, 0.0)
    curve = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == [0, 1, 2]
    assert curve[-1]["tokens"] == 768 and curve[-1]["loss"] == 1.5 and curve[-1]["lr"] == 0.1


def test_seconds_count_from_the_first_row(tiny, tmp_path):
    feeder = Feeder(tmp_path, AUTORESEARCH_BUDGET="0.2s")
    feeder.ask(op="open", B=1, T=32, accum=1)
    reply = feeder.ask(op="step", free=[])
    assert reply["progress"] < 0.5
    while (reply := feeder.ask(op="step", free=reply["slots"]))["slots"] is not None:
        pass
    fed = feeder.end()
    assert fed["seconds"] >= 0.2
    assert not fed["finished"]  # the trainer went away without a word


def test_cpu_seconds_are_the_trainers(tiny, tmp_path):
    feeder = Feeder(tmp_path, AUTORESEARCH_BUDGET="0.3cpu")
    feeder.ask(op="open", B=1, T=32, accum=1)
    reply = feeder.ask(op="step", free=[])
    while (reply := feeder.ask(op="step", free=reply["slots"]))["slots"] is not None:
        sum(i * i for i in range(100_000))  # this process is the trainer
    feeder.ask(op="finish")
    fed = feeder.end()
    assert fed["cpu_seconds"] >= 0.3
    assert fed["finished"]


def test_the_feeder_ends_with_its_trainer(tiny, tmp_path):
    feeder = Feeder(tmp_path)
    assert feeder.end()["steps"] == 0
