"""
The rows a model trains on, and the clock that says for how long.

The feeder is a process of its own. It packs documents into rows, hands them to the trainer through shared
memory, counts them, and ends the stream when the budget is spent. It imports numpy alone, runs none of the
code under test, and keeps the only clock that counts. Whatever the trainer says to it is taken for what an
opponent might say: it is checked, and nothing else of the trainer is believed.

The file reads in the order of that sentence: budget, token files, packing, the clock, the ring, the feeder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import random
import select
import socket
import stat
import tempfile
import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from corpus import DataError, write_whole

if TYPE_CHECKING:
    import torch


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
        self.lookahead = min(self.LOOKAHEAD, self.documents)
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
            while len(self.pool) < self.lookahead:
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


REPEATS = 4  # epochs up to which text is nearly as good as new; beyond, its worth falls fast (arXiv 2305.16264)


def epochs_ahead(tokens: int, progress: float, text: int) -> float | None:
    """How often a text of `text` tokens will be read in the whole budget, from the `tokens` read by `progress`.
    None where that is fine, or too early to say."""
    epochs = tokens / text / progress if progress >= 0.1 else 0.0
    return epochs if epochs > REPEATS else None


# ---------------------------------------------------------------------------------------------------------
# The clock


def tree(pid: int) -> Iterator[int]:
    """Process `pid` and every living one below it, parents first."""
    import psutil

    yield pid
    with contextlib.suppress(psutil.Error, OSError):
        tasks = Path(f"/proc/{pid}/task")
        if tasks.is_dir():  # Linux lists a thread's children: much cheaper than going through all processes
            below: list[int] = []
            for task in tasks.iterdir():
                with contextlib.suppress(OSError):  # a thread that ended; the others count
                    below += map(int, (task / "children").read_text().split())
        else:
            below = [child.pid for child in psutil.Process(pid).children()]
        for child in below:
            yield from tree(child)


def cpu_seconds(pid: int) -> float:
    """Of a process, with the children that it waited for; 0 when it is gone."""
    import psutil

    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def peak_memory_mb(pid: int) -> float:
    """The most that one process of the tree ever held, as Linux counts it; 0 elsewhere."""
    found = [0]
    for below in tree(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{below}/status").read_text().splitlines()
            found += [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]  # kB
    return max(found) / 1024


@dataclass
class TreeClock:
    """CPU-seconds of a process and all that it ever started. Never runs backwards.

    A child that ends hands its time to whoever waits for it. One that nobody waits for (its parent ignores
    SIGCHLD) takes its time along: so what was once seen stays counted, and the feeder looks often.
    """

    pid: int
    total: float = 0.0
    seen: float = 0.0  # at the last look: of the living alone

    def read(self) -> float:
        now = sum(map(cpu_seconds, tree(self.pid)))
        if now < self.seen:  # a child that ended between two lines of the look: once more
            now = sum(map(cpu_seconds, tree(self.pid)))
        self.total += max(0.0, now - self.seen)
        self.seen = now
        return self.total


@dataclass
class Clock:
    """Counts what a run spends, from the moment its first row is served to `stop`."""

    budget: Budget
    pid: int  # the trainer
    on_cpu: bool = True  # the CPU does the work: overtime is in CPU-seconds then, which others cannot stretch
    started: float | None = None
    served: float = 0.0  # when the last step was
    stopped: float | None = None
    cpu_started: float = 0.0
    cpu_served: float = 0.0

    LOOK = 0.1  # seconds between two looks at the trainer's processes

    STARTUP_CPU, STARTUP = 30.0, 180.0  # seconds that imports, building and compiling may take; more is charged

    def __post_init__(self) -> None:
        self.tree = TreeClock(self.pid)
        self.looked = -math.inf
        self.born, self.cpu_born = time.monotonic(), self.tree.read()
        self.charged = 0.0

    def serve(self) -> None:
        """A step is served now; the first one starts the clock."""
        self.served, self.cpu_served = time.monotonic(), self.tree.read()
        if self.started is None:
            self.started, self.cpu_started = self.served, self.cpu_served
            startup = self.cpu_started - self.cpu_born if self.on_cpu else self.started - self.born
            self.charged = max(0.0, startup - (self.STARTUP_CPU if self.on_cpu else self.STARTUP))

    def look(self) -> None:
        """Notes the time of processes that may be gone at the next look. To be called all the time."""
        is_counting = self.on_cpu and self.started is not None and self.stopped is None
        if is_counting and time.monotonic() - self.looked >= self.LOOK:
            self.tree.read()
            self.looked = time.monotonic()

    def stop(self) -> None:
        self.tree.read()
        self.stopped = time.monotonic()

    def seconds(self) -> float:
        return 0.0 if self.started is None else (self.stopped or time.monotonic()) - self.started

    def cpu_seconds(self) -> float:
        if self.started is None:
            return 0.0
        return (self.tree.total if self.stopped else self.tree.read()) - self.cpu_started

    def overtime(self) -> float:
        """Seconds (on a CPU: CPU-seconds) from serving the last step to run.finish."""
        if self.started is None or self.stopped is None:
            return 0.0
        return self.tree.total - self.cpu_served if self.on_cpu else self.stopped - self.served

    def overtime_allowed(self, steps: int) -> float:
        """What the steps in flight and saving may take: four mean steps, of a budget in time at most 10 %; but 2 %
        of it and 2 s in any case."""
        spent = self.cpu_served - self.cpu_started if self.on_cpu else self.served - (self.started or 0.0)
        some_steps = 4 * spent / max(1, steps - 1)
        if self.budget.unit == "tok":
            return max(some_steps, 2.0)
        return max(0.02 * self.budget.amount, min(some_steps, 0.1 * self.budget.amount), 2.0)

    def share(self, tokens: int) -> float:
        """Of the budget, spent; more than 1 when overrun."""
        if self.budget.unit == "tok":
            return tokens / self.budget.amount
        spent = self.seconds() if self.budget.unit == "s" else self.cpu_seconds()
        return (spent + self.charged) / self.budget.amount

    def is_over(self, tokens: int, step_tokens: int) -> bool:
        """Whether the budget has no room for another step. How long one takes nobody knows before, so a budget
        in time may be overrun by one; how many tokens it has is known, so those never are (but by the first)."""
        if self.budget.unit == "tok":
            return tokens > 0 and tokens + step_tokens > self.budget.amount
        return self.share(tokens) >= 1


# ---------------------------------------------------------------------------------------------------------
# The ring: rows through shared memory
#
# Trainer and feeder share a socket and, for each call of run.batches, a ring of slots in memory. A slot holds
# one microbatch. It is filled at the moment that it is served and counted: what is packed ahead stays with the
# feeder, so the trainer never sees a row that it has not paid for. It goes back to the feeder only when the
# trainer says that its copy has been made, so a fast feeder cannot overwrite rows that are still being read.


class ProtocolError(Exception):
    """The other side says what makes no sense. The message is one line."""


class Channel:
    """JSON objects, one a line, over a stream socket; a file descriptor can ride along."""

    LONGEST = 1 << 20  # bytes of a message

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.buffer = b""
        self.descriptor: int | None = None  # that came with what is in the buffer
        self.is_over = False  # the other side is gone

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        data = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next receive says that it is gone
            if descriptor is None:
                self.socket.sendall(data)
            else:
                socket.send_fds(self.socket, [data], [descriptor])

    def receive(self) -> tuple[dict[str, Any] | None, int | None]:
        """The next message and the descriptor that came with it; None for a message when the other side is gone.
        Raises ProtocolError."""
        self.waiting(None)
        descriptor, self.descriptor = self.descriptor, None
        if b"\n" not in self.buffer:
            return None, descriptor
        line, self.buffer = self.buffer.split(b"\n", 1)
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise ProtocolError(f"no JSON: {line[:60]!r}") from None
        if not isinstance(message, dict):
            raise ProtocolError(f"no JSON object: {line[:60]!r}")
        return message, descriptor

    def waiting(self, timeout: float | None) -> bool:
        """Whether `receive` has its answer within `timeout` seconds, None for ever. Half a message is none: who
        never sends the rest must not hold up who waits with a timeout. Raises ProtocolError."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while b"\n" not in self.buffer and not self.is_over:
            left = None if timeout is None else max(0.0, until - time.monotonic())
            if not select.select([self.socket], [], [], left)[0]:
                return False
            self._read()
        return True

    def _read(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 16, 1)
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            if self.descriptor is not None:
                os.close(self.descriptor)
            self.descriptor = descriptor
        self.buffer += data
        self.is_over = not data
        if len(self.buffer) > self.LONGEST:
            raise ProtocolError(f"a message of more than {self.LONGEST} bytes")


def whole_number(message: dict[str, Any], key: str, most: int) -> int:
    """message[key], an int from 1 to `most`. Raises ProtocolError."""
    value = message.get(key)
    if type(value) is not int or not 1 <= value <= most:
        raise ProtocolError(f"{key}={value!r:.60} is no whole number from 1 to {most}")
    return value


def shared_file(size: int) -> IO[bytes]:
    """A file of `size` bytes in memory, without a name: it goes with the last process that maps it."""
    shm = Path("/dev/shm")
    file = tempfile.TemporaryFile(dir=shm if shm.is_dir() else None)  # noqa: SIM115
    file.truncate(size)
    return file


@dataclass
class Ring:
    """The feeder's side of a ring: microbatches packed ahead, and which slots the trainer holds."""

    packer: Packer
    B: int
    T: int
    accum: int
    free: set[int] = field(default_factory=set)
    ready: deque[tuple[np.ndarray, tuple[Any, ...]]] = field(default_factory=deque)  # rows, packer before them

    LARGEST = 1 << 32  # bytes

    def __post_init__(self) -> None:
        slots = 2 * self.accum + 2
        if (size := slots * self.B * (self.T + 1) * 2) > self.LARGEST:
            raise ProtocolError(f"batches(B={self.B}, T={self.T}, accum={self.accum}) would take {size} bytes")
        self.file = shared_file(size)
        self.slots = np.frombuffer(mmap.mmap(self.file.fileno(), 0), np.uint16).reshape(slots, self.B, self.T + 1)
        self.free.update(range(slots))

    @property
    def is_behind(self) -> bool:
        """Whether there is a step to pack while the trainer computes."""
        return len(self.ready) < 2 * self.accum

    def pack_one(self) -> None:
        before = self.packer.state()
        rows = np.empty(self.slots.shape[1:], np.uint16)
        for row in rows:
            self.packer.fill(row)
        self.ready.append((rows, before))

    def take_step(self) -> list[int]:
        """Fills the slots of one step with the next rows; the trainer holds them until `release`."""
        if len(self.free) < self.accum:
            raise ProtocolError("a step was asked for while the rows of the last ones are held")
        taken = sorted(self.free)[: self.accum]
        for slot in taken:
            if not self.ready:
                self.pack_one()
            self.slots[slot] = self.ready.popleft()[0]
        self.free.difference_update(taken)
        return taken

    def release(self, slots: object) -> None:
        given = set(slots) if isinstance(slots, list) and all(type(slot) is int for slot in slots) else {-1}
        if not given <= set(range(len(self.slots))) - self.free:
            raise ProtocolError(f"free={slots!r:.60} is no list of slots that are held")
        self.free.update(given)

    def rewind(self) -> None:
        """Gives the documents of unserved rows back, so that the next ring begins where this one's trainer was."""
        if self.ready:
            self.packer.restore(self.ready[0][1])


class TrainerRing:
    """The trainer's side of a ring: takes rows to the device, and remembers until when each slot is read.

    The one part of this file that runs in the trainer, and the one that needs torch."""

    def __init__(self, channel: Channel, B: int, T: int, accum: int, device: torch.device) -> None:
        import torch

        channel.send({"op": "open", "B": B, "T": T, "accum": accum})
        reply, descriptor = channel.receive()
        if reply is None or descriptor is None:
            raise SystemExit("train: the feeder is gone: its last words are above")
        memory = mmap.mmap(descriptor, 0)
        os.close(descriptor)
        self.rows = torch.frombuffer(memory, dtype=torch.int16).view(reply["slots"], B, T + 1)
        self.device = device
        self.asynchronous = device.type == "cuda"
        self.in_flight: deque[tuple[int, Any]] = deque()

    def load(self, slot: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The uint16 rows, widened to int64 on the device."""
        import torch

        rows = self.rows[slot]
        if self.asynchronous:
            # Through page-locked memory of PyTorch's, which knows by itself when the copy engine is done with it.
            rows = rows.pin_memory()
        rows = rows.to(self.device, non_blocking=self.asynchronous)
        copied: Any = torch.cuda.Event() if self.asynchronous else None  # type: ignore[no-untyped-call]
        if copied:
            copied.record()
        wide = rows.to(torch.int64).bitwise_and_(0xFFFF)  # int16 holds the bits of a uint16
        self.in_flight.append((slot, copied))
        return wide[:, :-1], wide[:, 1:]

    def released(self, accum: int) -> list[int]:
        """Slots whose copy has been made. Waits for the step before last: so the host is never more than two
        steps ahead of the device."""
        done = []
        while self.in_flight:
            slot, copied = self.in_flight[0]
            if copied is not None and not copied.query():
                if len(self.in_flight) <= accum:
                    break
                copied.synchronize()
            self.in_flight.popleft()
            done.append(slot)
        return done


# ---------------------------------------------------------------------------------------------------------
# What the trainer leaves in its folder, taken as plain files alone: a link could lead anywhere


MODEL_FILES = ("weights.pt", "model.json")


def open_plain(name: str | Path, folder: int | None = None) -> IO[bytes] | None:
    """The regular file `name` for reading, in the open `folder` if given; None where it is none, or a link."""
    with contextlib.suppress(OSError):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    return None


def plain_sha256(path: Path) -> str | None:
    """sha256 of a regular file, hexadecimal; None where there is none."""
    file = open_plain(path)
    if file is None:
        return None
    digest = hashlib.sha256()
    with file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def keep_compiled(run_dir: Path, most: int = 1 << 30) -> None:
    """Copies the compile cache, work/compile, to compiled/ beside it: at most `most` bytes.

    It is what later runs begin with. Copied before the first row is served, it holds code but nothing that
    was learned: a cache that is written after it dies with its run, or weights could ride along in it.
    """
    source = run_dir / "work" / "compile"
    if not source.is_dir() or source.is_symlink():
        return
    for folder, _, names, descriptor in os.fwalk(source):
        target = run_dir / "compiled" / Path(folder).relative_to(source)
        for name in names:
            file = open_plain(name, descriptor)
            if file is None:
                continue
            with file:
                data = file.read(most + 1)
            most -= len(data)
            if most < 0:
                return
            target.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(data)


# ---------------------------------------------------------------------------------------------------------
# The feeder


def feed(run_dir: Path, channel: Channel, packer: Packer, clock: Clock) -> None:
    """The feeder's life: serve until the trainer is gone, write curve.jsonl meanwhile, leave feed.json.

    Raises ProtocolError where the trainer says what train.py has no business to say."""
    ring: Ring | None = None
    tokens, steps, logged, finished = 0, 0, 0, False
    model: dict[str, str | None] = {}
    peak = 0.0
    served: list[dict[str, float]] = []  # progress, seconds and tokens when each step was served
    totals = {"seconds": 0.0, "cpu_seconds": 0.0, "share": 0.0}

    def measure() -> None:
        totals.update(seconds=clock.seconds(), cpu_seconds=clock.cpu_seconds(), share=clock.share(tokens))

    with (run_dir / "curve.jsonl").open("w") as curve:
        flushed = time.monotonic()
        while True:
            clock.look()
            if ring and ring.is_behind and not channel.waiting(0):
                ring.pack_one()  # while the trainer computes
                continue
            if not channel.waiting(clock.LOOK):
                continue
            message, descriptor = channel.receive()
            if descriptor is not None:
                os.close(descriptor)  # nothing of the trainer's is wanted
            if message is None:
                break
            if message.get("op") == "open":
                if ring:
                    ring.rewind()
                B, T, accum = (whole_number(message, key, 1 << 20) for key in ("B", "T", "accum"))
                ring = Ring(packer, B, T, accum)
                channel.send({"slots": len(ring.slots)}, ring.file.fileno())
            elif message.get("op") == "step" and ring:
                ring.release(message.get("free"))
                if clock.started is None:
                    keep_compiled(run_dir)
                    clock.serve()
                measure()
                step_tokens = ring.B * ring.T * ring.accum
                if finished or clock.is_over(tokens, step_tokens):
                    channel.send({"slots": None, "progress": 1.0, "seconds": totals["seconds"], "tokens": tokens})
                    continue
                slots = ring.take_step()
                clock.serve()
                tokens += step_tokens
                steps += 1
                mark = {"progress": totals["share"], "seconds": totals["seconds"], "tokens": tokens}
                served.append(mark)
                channel.send({"slots": slots, **mark})
            elif message.get("op") == "log":
                logged += 1
                if logged > 4 * steps + 1000:
                    raise ProtocolError(f"{logged} lines for a curve of {steps} steps")
                curve.write(json.dumps(curve_point(message, served)) + "\n")
                if time.monotonic() - flushed > 0.5:
                    curve.flush()
                    flushed = time.monotonic()
            elif message.get("op") == "finish" and not finished:
                # From here on the model is what it is: evaluate.py scores no other. Hashing counts, since what
                # stands behind much padding could still be learned while the padding is read.
                model = {name: plain_sha256(run_dir / "work" / name) for name in MODEL_FILES}
                clock.stop()
                measure()
                finished = True
                peak = peak_memory_mb(clock.pid)
                channel.send({**totals, "tokens": tokens, "steps": steps})
            else:
                raise ProtocolError(f"{str(message)[:80]} is nothing to say now")
    if not finished:
        measure()
    report = {
        **{key: totals[key] for key in ("seconds", "cpu_seconds", "share")},
        "tokens": tokens, "steps": steps, "budget": clock.budget.text, "seed": packer.seed,
        "overrun": max(0.0, totals["share"] - 1), "finished": finished, "model_sha256": model,
        "startup_charged": clock.charged, "peak_memory_mb": peak,
        "overtime": clock.overtime(), "overtime_allowed": clock.overtime_allowed(steps),
        "epochs": packer.served / max(1, len(packer.tokens)),
        "cropped_share": packer.cropped / max(1, packer.served),
    }  # fmt: skip
    write_whole(run_dir / "feed.json", json.dumps(report, indent=1))


def curve_point(message: dict[str, Any], served: list[dict[str, float]]) -> dict[str, Any]:
    """A line of curve.jsonl: where in the budget the step was (ours), loss and other numbers (the trainer's)."""
    step, loss, extra = message.get("step"), message.get("loss"), message.get("extra")
    if type(step) is not int or not (loss is None or is_number(loss)):
        raise ProtocolError(f"step={step!r:.40}, loss={loss!r:.40} cannot be logged")
    numbers = extra.items() if isinstance(extra, dict) and len(extra) <= 64 else ()
    theirs = {name[:40]: value for name, value in numbers if is_number(value)}
    mark = served[step] if 0 <= step < len(served) else served[-1] if served else {}
    return {**theirs, "step": step, **mark, "loss": loss}


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and (value != value or abs(value) < 1e300)  # no int is too long for <
