"""
The rows a model trains on, and the clock that says for how long.

The feeder is a process of its own. It packs documents into rows, hands them to the trainer through shared
memory, counts them, and ends the stream when the budget is spent. It imports numpy alone, runs none of the
code under test, and keeps the only clock that counts.

The file reads in the order of that sentence: budget, token files, packing, the ring, the feeder.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import random
import select
import socket
import tempfile
import time
from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from corpus import DataError, write_whole


@dataclass(frozen=True)
class Budget:
    """What a run may spend: wall seconds (`s`), CPU-seconds (`cpu`) or training tokens (`tok`)."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        for unit in ("cpu", "tok", "s"):
            if text.endswith(unit):
                with contextlib.suppress(ValueError):
                    amount = float(text[: -len(unit)].replace("_", ""))
                    if 0 < amount < math.inf:
                        return cls(amount, unit)
        raise DataError(f"budget {text!r} is not understood: write for instance 300s, 100cpu or 400000tok")

    @property
    def text(self) -> str:
        """As parse reads it."""
        return f"{self.amount:.15g}{self.unit}"

    def __str__(self) -> str:
        return f"{self.amount:,g}" + {"s": " seconds", "cpu": " CPU-seconds", "tok": " tokens"}[self.unit]


@dataclass(frozen=True)
class TokenStore:
    """A split on disk: tokens uint16 [N] (memory-mapped, without BOS), offsets int64 [documents + 1]."""

    tokens: np.ndarray
    offsets: np.ndarray

    @classmethod
    def load(cls, folder: Path, split: str) -> TokenStore:
        try:
            tokens = np.memmap(folder / f"{split}.tokens", dtype=np.uint16, mode="r")
            offsets = np.fromfile(folder / f"{split}.offsets", dtype=np.int64)
            if offsets[-1] != len(tokens):
                raise ValueError("torn")
            return cls(tokens, offsets)
        except (OSError, ValueError, IndexError):
            raise DataError(f"{folder / split}.tokens cannot be read: run prepare.py to make it again") from None


# ---------------------------------------------------------------------------------------------------------
# Packing: documents into rows


class Packer:
    """Fills rows of any length with documents, each behind a BOS, without padding and without loss.

    A look-ahead of documents is kept, sorted by length. A row begins with a random one of them and is filled
    up with the longest that still fits. When none fits, the shortest is cut: its head completes the row, the
    rest returns to the look-ahead behind a BOS of its own. (The reference throws that rest away, a third of
    the tokens at T=2048.) The random start keeps the pieces of a long document out of neighbouring rows.

    The rows depend on nothing but the documents, the seed and the lengths asked for.
    """

    LOOKAHEAD = 1024  # documents; more packs hardly tighter

    def __init__(self, store: TokenStore, bos_id: int, seed: int) -> None:
        self.tokens, self.offsets, self.bos_id, self.seed = store.tokens, store.offsets, bos_id, seed
        self.documents = len(self.offsets) - 1
        self.rng = random.Random(seed)
        self.pool: list[tuple[int, int, bool]] = []  # length with BOS, first token, cut off its beginning; sorted
        self.drawn = 0  # documents, over all epochs
        self.served = 0  # tokens handed out in rows, every BOS included
        self.cropped = 0  # of them, tokens whose document begins in another row
        self.order = self._epoch_order(0)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.documents)

    def _draw(self) -> None:
        epoch, place = divmod(self.drawn, self.documents)
        if place == 0 and epoch > 0:
            self.order = self._epoch_order(epoch)
        document = self.order[place]
        start, end = int(self.offsets[document]), int(self.offsets[document + 1])
        self.drawn += 1
        if end > start:
            insort(self.pool, (1 + end - start, start, False))

    def fill(self, row: np.ndarray) -> None:
        """Fills `row`, uint16 [n]; row[0] is BOS."""
        position = 0
        while position < len(row):
            while len(self.pool) < min(self.LOOKAHEAD, self.documents):
                self._draw()
            room = len(row) - position
            if position == 0:
                index = int(self.rng.random() * len(self.pool))
            else:  # the longest that fits, or else the shortest
                index = max(0, bisect_right(self.pool, (room, math.inf)) - 1)
            length, start, cut = self.pool.pop(index)
            taken = min(length, room)
            row[position] = self.bos_id
            row[position + 1 : position + taken] = self.tokens[start : start + taken - 1]
            if taken < length:
                insort(self.pool, (length - taken + 1, start + taken - 1, cut or taken > 1))
            self.cropped += taken - 1 if cut else 0
            position += taken
        self.served += len(row)

    def state(self) -> tuple[Any, ...]:
        return list(self.pool), self.rng.getstate(), self.drawn, self.served, self.cropped

    def restore(self, state: tuple[Any, ...]) -> None:
        pool, rng, drawn, self.served, self.cropped = state
        self.pool, self.drawn = list(pool), drawn
        self.rng.setstate(rng)
        self.order = self._epoch_order(max(0, drawn - 1) // self.documents)


# ---------------------------------------------------------------------------------------------------------
# The feeder: rows through shared memory, and the clock
#
# Trainer and feeder share a socket and, for each call of run.batches, a ring of slots in memory. A slot holds
# one microbatch. A slot goes back to the feeder only when the trainer says that its copy has been made, so a
# fast feeder can never overwrite rows that the device is still reading.


class Channel:
    """JSON objects, one a line, over a stream socket; a file descriptor can ride along."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.buffer = b""

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        data = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next receive says that it is gone
            if descriptor is None:
                self.socket.sendall(data)
            else:
                socket.send_fds(self.socket, [data], [descriptor])

    def receive(self) -> tuple[dict[str, Any] | None, int | None]:
        """The next message and the descriptor that came with it; (None, None) when the other side is gone."""
        descriptor = None
        while b"\n" not in self.buffer:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 16, 1)
            except OSError:
                return None, None
            if not data:
                return None, None
            self.buffer += data
            descriptor = descriptors[0] if descriptors else descriptor
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line), descriptor

    def waiting(self, timeout: float | None) -> bool:
        return b"\n" in self.buffer or bool(select.select([self.socket], [], [], timeout)[0])


@dataclass
class Clock:
    """Counts what a run spends, from the moment its first row is served."""

    budget: Budget
    pid: int  # the trainer
    started: float | None = None
    cpu_started: float = 0.0
    cpu_last: float = 0.0  # the last reading while the trainer lived

    def _cpu(self) -> float:
        import psutil

        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self.pid).cpu_times()
            self.cpu_last = float(times.user + times.system + times.children_user + times.children_system)
        return self.cpu_last

    def start(self) -> None:
        if self.started is None:
            self.cpu_started = self._cpu()
            self.started = time.monotonic()

    def seconds(self) -> float:
        return 0.0 if self.started is None else time.monotonic() - self.started

    def cpu_seconds(self) -> float:
        return 0.0 if self.started is None else self._cpu() - self.cpu_started

    def share(self, tokens: int) -> float:
        """Of the budget, spent; more than 1 when overrun."""
        if self.budget.unit == "tok":
            return tokens / self.budget.amount
        return (self.seconds() if self.budget.unit == "s" else self.cpu_seconds()) / self.budget.amount

    def is_over(self, tokens: int, step_tokens: int) -> bool:
        """Whether the budget has no room for another step. How long one takes nobody knows before, so a budget
        in time may be overrun by one; how many tokens it has is known, so those never are (but by the first)."""
        if self.budget.unit == "tok":
            return tokens > 0 and tokens + step_tokens > self.budget.amount
        return self.share(tokens) >= 1


def shared_file(size: int) -> IO[bytes]:
    """A file of `size` bytes in memory, without a name: it goes with the last process that maps it."""
    shm = Path("/dev/shm")
    file = tempfile.TemporaryFile(dir=shm if shm.is_dir() else None)  # noqa: SIM115
    file.truncate(size)
    return file


@dataclass
class Ring:
    """The feeder's side of a ring: which slots are free, which hold rows that were not yet served."""

    packer: Packer
    B: int
    T: int
    accum: int
    free: deque[int] = field(default_factory=deque)
    ready: deque[tuple[int, tuple[Any, ...]]] = field(default_factory=deque)  # slot, packer before it

    def __post_init__(self) -> None:
        slots = 2 * self.accum + 2
        self.file = shared_file(slots * self.B * (self.T + 1) * 2)
        self.rows = np.frombuffer(mmap.mmap(self.file.fileno(), 0), np.uint16).reshape(slots, self.B, self.T + 1)
        self.free.extend(range(slots))

    def pack_one(self) -> None:
        slot = self.free.popleft()
        before = self.packer.state()
        for row in self.rows[slot]:
            self.packer.fill(row)
        self.ready.append((slot, before))

    def take_step(self) -> list[int]:
        while len(self.ready) < self.accum:
            self.pack_one()
        return [self.ready.popleft()[0] for _ in range(self.accum)]

    def rewind(self) -> None:
        """Gives the documents of unserved rows back, so that the next ring begins where this one's trainer was."""
        if self.ready:
            self.packer.restore(self.ready[0][1])


def feed(run_dir: Path, channel: Channel, packer: Packer, clock: Clock) -> None:
    """The feeder's life: serve until the trainer is gone, write curve.jsonl meanwhile, leave feed.json."""
    ring: Ring | None = None
    tokens, steps, finished = 0, 0, False
    served: list[dict[str, float]] = []  # progress, seconds and tokens when each step was served
    totals = {"seconds": 0.0, "cpu_seconds": 0.0, "share": 0.0}

    def measure() -> None:
        totals.update(seconds=clock.seconds(), cpu_seconds=clock.cpu_seconds(), share=clock.share(tokens))

    with (run_dir / "curve.jsonl").open("w") as curve:
        flushed = time.monotonic()
        while True:
            if ring and ring.free and not channel.waiting(0):
                ring.pack_one()  # while the trainer computes
                continue
            message, _ = channel.receive()
            if message is None:
                break
            if message["op"] == "open":
                if ring:
                    ring.rewind()
                ring = Ring(packer, message["B"], message["T"], message["accum"])
                channel.send({"slots": len(ring.rows)}, ring.file.fileno())
            elif message["op"] == "step" and ring:
                ring.free.extend(message["free"])
                slots = ring.take_step()
                clock.start()
                measure()
                step_tokens = ring.B * ring.T * ring.accum
                if clock.is_over(tokens, step_tokens):
                    channel.send({"slots": None, "progress": 1.0, "seconds": totals["seconds"], "tokens": tokens})
                    continue
                tokens += step_tokens
                steps += 1
                mark = {"progress": totals["share"], "seconds": totals["seconds"], "tokens": tokens}
                served.append(mark)
                channel.send({"slots": slots, **mark})
            elif message["op"] == "log":
                step = int(message["step"])
                mark = served[step] if 0 <= step < len(served) else served[-1] if served else {}
                curve.write(json.dumps({"step": step, **mark, "loss": message["loss"], **message["extra"]}) + "\n")
                if time.monotonic() - flushed > 0.5:
                    curve.flush()
                    flushed = time.monotonic()
            elif message["op"] == "finish":
                measure()
                finished = True
                channel.send({**totals, "tokens": tokens, "steps": steps})
    if not finished:
        measure()
    report = {
        **{key: totals[key] for key in ("seconds", "cpu_seconds", "share")},
        "tokens": tokens, "steps": steps, "budget": clock.budget.text, "seed": packer.seed,
        "overrun": max(0.0, totals["share"] - 1), "finished": finished,
        "epochs": packer.served / max(1, len(packer.tokens)),
        "cropped_share": packer.cropped / max(1, packer.served),
    }  # fmt: skip
    write_whole(run_dir / "feed.json", json.dumps(report, indent=1))
