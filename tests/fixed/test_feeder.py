"""Packing, the ring and the clock, and a trainer that lies to the feeder."""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import quota, runner
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import DataError
from feeder import (
    MODEL_FILES,
    Budget,
    Channel,
    Clock,
    Packer,
    ProtocolError,
    Ring,
    TokenStore,
    TreeClock,
    curve_point,
    keep_compiled,
    plain_sha256,
    tree,
)
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
            while ring.is_behind:  # rows packed ahead, some of them never served from this ring
                ring.pack_one()
            served += [ring.slots[slot].copy() for slot in slots]
            ring.release(slots)
        ring.rewind()
    rows = np.concatenate(served)
    assert (rows == pack(Packer(store, BOS, seed), len(rows), 16)).all()


def test_another_seed_is_another_order():
    store = store_of([17, 3, 40, 8, 25, 60, 2, 31])
    first, second = (pack(Packer(store, BOS, seed), 8, 16) for seed in (1, 2))
    assert (first != second).any()


@given(accum=st.integers(1, 3), releases=st.lists(st.integers(0, 2), max_size=12))
@settings(max_examples=40)
def test_a_slot_keeps_its_rows_until_it_is_released(accum, releases):
    ring = Ring(Packer(store_of([50, 60]), BOS, 0), B=2, T=7, accum=accum)
    held: dict[int, np.ndarray] = {}
    for released in [0, *releases]:
        given_back = list(held)[:released]
        ring.release(given_back)
        for slot in given_back:
            del held[slot]
        if len(held) + accum > len(ring.slots):
            with pytest.raises(ProtocolError, match="are held"):
                ring.take_step()
            continue
        taken = ring.take_step()
        assert len(taken) == accum and not held.keys() & set(taken)
        held |= {slot: ring.slots[slot].copy() for slot in taken}
        while ring.is_behind:
            ring.pack_one()
        assert all((ring.slots[slot] == rows).all() for slot, rows in held.items())


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
    """A real feeder process for the trainer `pid` (this process), and the trainer's end of its socket."""

    def __init__(self, run_dir: Path, budget: str = "", pid: int = 0) -> None:
        self.run_dir = run_dir
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        command = [sys.executable, "prepare.py", "--feed", str(run_dir), "--fd", str(theirs.fileno())]
        self.process = subprocess.Popen(
            [*command, "--pid", str(pid or os.getpid())], cwd=ROOT, pass_fds=[theirs.fileno()],
            env={**os.environ, "AUTORESEARCH_BUDGET": budget}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        theirs.close()

    def ask(self, **message: Any) -> dict[str, Any]:
        self.channel.send(message)
        reply, _ = self.channel.receive()
        assert reply is not None
        return reply

    def say(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.channel.socket.sendall(data)

    def gone(self) -> tuple[int, str]:
        """Exit code and last words."""
        self.channel.socket.close()
        said = self.process.communicate(timeout=30)[1]
        return self.process.returncode, said

    def end(self) -> dict[str, Any]:
        assert self.gone() == (0, "")
        fed: dict[str, Any] = json.loads((self.run_dir / "feed.json").read_text())
        return fed


def test_the_stream_ends_between_steps_when_the_tokens_are_spent(tiny, tmp_path):
    feeder = Feeder(tmp_path, "1000tok")
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
    feeder = Feeder(tmp_path, "0.2s")
    feeder.ask(op="open", B=1, T=32, accum=1)
    time.sleep(0.2)  # the feeder is at work already, and must not count this
    asked = time.monotonic()
    reply = feeder.ask(op="step", free=[])
    assert reply["seconds"] <= time.monotonic() - asked
    while reply["slots"] is not None:
        reply = feeder.ask(op="step", free=reply["slots"])
    fed = feeder.end()
    assert fed["seconds"] >= 0.2
    assert not fed["finished"]  # the trainer went away without a word


def test_cpu_seconds_are_the_trainers(tiny, tmp_path):
    feeder = Feeder(tmp_path, "0.3cpu")
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


# ---------------------------------------------------------------------------------------------------------
# A trainer that means ill


def test_no_row_is_in_shared_memory_before_its_step_is_served(tiny, tmp_path):
    feeder = Feeder(tmp_path)
    feeder.channel.send({"op": "open", "B": 2, "T": 32, "accum": 1})
    reply, descriptor = feeder.channel.receive()
    assert reply is not None and descriptor is not None
    slots = np.frombuffer(mmap.mmap(descriptor, 0), np.uint16).reshape(reply["slots"], 2, 33)
    shown: set[int] = set()
    for _ in range(3):
        time.sleep(0.1)  # it packs ahead meanwhile
        assert set(np.flatnonzero(slots.any((1, 2))).tolist()) == shown
        shown |= set(feeder.ask(op="step", free=[])["slots"])
    assert len(shown) == 3
    feeder.end()


OPEN = {"op": "open", "B": 1, "T": 32, "accum": 1}
STEP = {"op": "step", "free": []}
LOG = {"op": "log", "step": 0, "loss": 1.0, "extra": {}}
HOSTILE: dict[str, tuple[list[dict[str, Any] | bytes], str]] = {
    "frees what it does not hold": ([OPEN, STEP, {**STEP, "free": [1]}], "no list of slots that are held"),
    "frees what is no slot": ([OPEN, STEP, {**STEP, "free": [-4]}], "no list of slots that are held"),
    "frees true": ([OPEN, STEP, {**STEP, "free": [False]}], "no list of slots that are held"),
    "frees nothing ever": ([OPEN, *[STEP] * 5], "a step was asked for while the rows of the last ones are held"),
    "a step before open": ([STEP], "is nothing to say now"),
    "an unknown word": ([{"op": ["step"]}], "is nothing to say now"),
    "a huge batch": ([{**OPEN, "B": 1 << 20, "T": 1 << 20}], "would take 8796101410816 bytes"),
    "a batch beyond all numbers": ([{**OPEN, "accum": 10**400}], "is no whole number from 1 to 1048576"),
    "a batch of nothing": ([{**OPEN, "T": 0}], "T=0 is no whole number"),
    "a batch that is no number": ([{**OPEN, "B": math.nan}], "B=nan is no whole number"),
    "a batch of true": ([{**OPEN, "B": True}], "B=True is no whole number"),
    "broken JSON": ([b'{"op": "open"\n'], 'no JSON: b\'{"op"'),
    "deep JSON": ([b"[" * 100_000 + b"\n"], "no JSON: b'[[["),
    "no object": ([b"[1, 2]\n"], "no JSON object"),
    "two megabytes": ([b"0" * (2 << 20)], "a message of more than 1048576 bytes"),
    "a flood of losses": ([OPEN, *[LOG] * 1001], "1001 lines for a curve of 0 steps"),
    "an endless loss": ([b'{"op": "log", "step": 1, "loss": 1e999}\n'], "loss=inf cannot be logged"),
    "a loss beyond all numbers": ([{**LOG, "loss": 10**400}], "cannot be logged"),
    "a step that is no number": ([{**LOG, "step": math.nan}], "step=nan"),
    "the end twice": ([{"op": "finish"}] * 2, "is nothing to say now"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nonsense_ends_the_feeder_with_one_line(tiny, tmp_path, case):
    messages, said = HOSTILE[case]
    feeder = Feeder(tmp_path)
    feeder.say(b"".join(m if isinstance(m, bytes) else json.dumps(m).encode() + b"\n" for m in messages))
    with contextlib.suppress(OSError):
        feeder.channel.socket.shutdown(socket.SHUT_WR)
    while feeder.channel.receive()[0] is not None:
        pass
    code, words = feeder.gone()
    assert code == 2 and words.count("\n") == 1
    assert words.startswith("prepare: train.py spoke to the feeder") and said in words
    assert not (tmp_path / "feed.json").exists()


def test_numbers_beside_the_loss_are_taken_where_they_are_numbers():
    served = [{"progress": 0.0, "seconds": 0.5, "tokens": 7}]
    extra = {"lr": 0.1, "nan": math.nan, "huge": 10**400, "inf": math.inf, "text": "x", "tokens": 5, "y" * 99: 1}
    point = curve_point({"step": 9, "loss": None, "extra": extra}, served)
    assert point.pop("nan") != 0
    assert point == {"lr": 0.1, "y" * 40: 1, "step": 9, "loss": None, **served[0]}


@pytest.mark.skipif(sys.platform != "linux", reason="looks at descriptors in /proc")
def test_descriptors_sent_along_are_closed(tiny, tmp_path):
    feeder = Feeder(tmp_path)
    feeder.ask(**OPEN)
    with (tmp_path / "mine").open("w") as mine:
        for byte in b'{"op": "log", "step": 0, "loss": 1.0}\n' * 2:
            socket.send_fds(feeder.channel.socket, [bytes([byte])], [mine.fileno()])
    feeder.ask(**STEP)
    held = set()
    for descriptor in Path(f"/proc/{feeder.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.add(descriptor.readlink().name)
    assert "curve.jsonl" in held and "mine" not in held
    feeder.end()


def test_after_finish_the_stream_is_over_and_the_model_is_what_it_was(tiny, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    for name in ("weights.pt", "model.json"):
        (work / name).write_text("as trained")
    sealed = {name: plain_sha256(work / name) for name in ("weights.pt", "model.json")}
    feeder = Feeder(tmp_path)
    feeder.ask(**OPEN)
    feeder.ask(**STEP)
    totals = feeder.ask(op="finish")
    (work / "weights.pt").write_text("trained further")
    time.sleep(0.1)
    assert feeder.ask(**STEP)["slots"] is None
    feeder.ask(**OPEN)
    assert feeder.ask(**STEP)["slots"] is None
    feeder.channel.send(LOG)  # the last losses come late
    fed = feeder.end()
    assert (fed["finished"], fed["steps"], fed["tokens"], fed["model_sha256"]) == (True, 1, 32, sealed)
    assert fed["seconds"] == totals["seconds"] and sealed["weights.pt"] != plain_sha256(work / "weights.pt")


def test_the_compile_cache_is_kept_as_it_was_before_the_first_row(tiny, tmp_path):
    cache = tmp_path / "work" / "compile" / "triton"
    cache.mkdir(parents=True)
    feeder = Feeder(tmp_path)
    feeder.ask(**OPEN)
    (cache / "before").write_text("code")
    feeder.ask(**STEP)
    (cache / "after").write_text("weights")
    feeder.ask(**STEP)
    feeder.end()
    assert [path.name for path in (tmp_path / "compiled" / "triton").iterdir()] == ["before"]


def test_of_the_compile_cache_plain_files_alone_are_kept(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("nobody's business")
    cache = tmp_path / "run" / "work" / "compile"
    (cache / "a" / "b").mkdir(parents=True)
    (cache / "a" / "b" / "kernel.so").write_text("code")
    (cache / "file").symlink_to(secret / "key")
    (cache / "folder").symlink_to(secret)
    os.mkfifo(cache / "pipe")
    keep_compiled(tmp_path / "run")
    kept = tmp_path / "run" / "compiled"
    assert [path.relative_to(kept) for path in kept.rglob("*") if not path.is_dir()] == [Path("a/b/kernel.so")]
    other = tmp_path / "other" / "work"
    other.mkdir(parents=True)
    (other / "compile").symlink_to(secret)
    keep_compiled(tmp_path / "other")
    assert not (tmp_path / "other" / "compiled").exists()


@given(sizes=st.lists(st.integers(0, 50), max_size=8), most=st.integers(0, 120))
@settings(max_examples=30, deadline=None)
def test_of_the_compile_cache_no_more_is_kept_than_there_is_room(tmp_path_factory, sizes, most):
    run = tmp_path_factory.mktemp("run")
    for i, size in enumerate(sizes):
        folder = run / "work" / "compile" / str(i % 3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(i)).write_bytes(b"x" * size)
    keep_compiled(run, most)
    kept = [path.stat().st_size for path in (run / "compiled").rglob("*") if path.is_file()]
    assert sum(kept) <= most and (sum(sizes) > most or sorted(kept) == sorted(sizes))


# ---------------------------------------------------------------------------------------------------------
# CPU-seconds

BURN = 0.3  # CPU-seconds
TRAINER = """
import os, signal, sys, threading, time

def child(then):
    if (pid := os.fork()) == 0:
        then()
        os._exit(0)
    return pid

def burn():
    until = time.process_time() + BURN
    while time.process_time() < until:
        pass

wait = sys.stdin.read
sys.stdin.readline()
WORK
print("done", flush=True)
sys.stdin.readline()
"""
WAYS = {
    "itself": "burn()",
    "a thread": "thread = threading.Thread(target=burn); thread.start(); thread.join()",
    "a child that is waited for": "child(burn); os.wait()",
    "a grandchild that lives": """
said, say = os.pipe()
child(lambda: child(lambda: (burn(), os.write(say, b"."), wait())) and wait())
os.read(said, 1)
""",
    "a grandchild whose parent went away": """
import ctypes
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, as the first process of a box is one
child(lambda: child(burn))
os.wait(); os.wait()
""",
    "a child that nobody waits for": """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child(burn)
try: os.wait()
except ChildProcessError: pass
""",
}


class Trainer:
    """A process that spends BURN CPU-seconds in one of these ways when told to."""

    def __init__(self, way: str) -> None:
        program = TRAINER.replace("WORK", WAYS[way]).replace("BURN", str(BURN))
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid

    def work(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        while not select.select([self.process.stdout], [], [], Clock.LOOK / 2)[0]:
            meanwhile()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="children are told apart by /proc")
@pytest.mark.parametrize("way", WAYS)
def test_cpu_seconds_are_those_of_the_whole_tree(way):
    trainer = Trainer(way)
    clock = TreeClock(trainer.pid)
    before = clock.read()
    is_lost = way == "a child that nobody waits for"  # unless it is seen while it lives
    trainer.work(clock.read if is_lost else lambda: None)
    spent = clock.read() - before
    trainer.end()
    assert (0.1 if is_lost else BURN - 0.05) < spent < BURN + 0.3
    assert clock.read() >= before + spent  # when all are gone it is still spent


@pytest.mark.skipif(sys.platform != "linux", reason="children are told apart by /proc")
def test_the_harness_sees_the_same_tree():
    trainer = Trainer("a grandchild that lives")
    trainer.work()
    found = sorted(tree(trainer.pid))
    assert len(found) == 3 and sorted(quota.tree(trainer.pid)) == found
    trainer.end()


def test_the_harness_knows_the_same_model():
    assert runner.MODEL == MODEL_FILES


@pytest.mark.skipif(sys.platform != "linux", reason="children are told apart by /proc")
def test_half_a_message_does_not_blind_the_clock(tiny, tmp_path):
    trainer = Trainer("a child that nobody waits for")
    feeder = Feeder(tmp_path, "100cpu", trainer.pid)
    feeder.ask(**OPEN)
    feeder.ask(**STEP)
    feeder.say(b'{"op": "fin')
    trainer.work()
    feeder.say(b'ish"}\n')
    assert feeder.channel.receive()[0] is not None
    trainer.end()
    fed = feeder.end()
    assert fed["finished"] and fed["cpu_seconds"] > 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="children are told apart by /proc")
def test_a_child_is_not_counted_anew_because_a_thread_of_its_parent_ended():
    program = TRAINER.replace("BURN", str(BURN)).replace(
        "WORK",
        """
child(lambda: (burn(), wait()))
until = time.monotonic() + 1.0
while time.monotonic() < until:
    for thread in [threading.Thread(target=int) for _ in range(20)]:
        thread.start()
        thread.join()
print(time.process_time(), flush=True)
sys.exit()
""",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    clock = TreeClock(process.pid)
    process.stdin.write("\n")
    process.stdin.flush()
    while process.poll() is None:
        clock.read()
        time.sleep(0.002)
    own = float(process.communicate()[0])
    assert clock.total < own + BURN + 0.3


@given(looks=st.lists(st.floats(0, 1e4), min_size=1, max_size=20))
def test_a_tree_clock_never_runs_backwards(looks):
    with pytest.MonkeyPatch.context() as patch:
        clock, totals = TreeClock(pid=1), [0.0]
        for now in looks:
            patch.setattr("feeder.tree", lambda pid: iter([pid]))
            patch.setattr("feeder.cpu_seconds", lambda pid, now=now: now)
            totals.append(clock.read())
    assert totals == sorted(totals)
    assert totals[-1] >= max(looks) - 1e-9 * max(looks)


def test_overtime_on_a_cpu_is_what_the_trainer_spent_after_its_last_step():
    on_cpu, on_gpu = (Clock(Budget(100, "s"), os.getpid(), on_cpu=on_cpu) for on_cpu in (True, False))
    for clock in (on_cpu, on_gpu):
        clock.serve()
    until = time.process_time() + BURN
    while time.process_time() < until:
        pass
    time.sleep(0.5)
    for clock in (on_cpu, on_gpu):
        clock.stop()
    assert BURN - 0.05 < on_cpu.overtime() < BURN + 0.2
    assert on_gpu.overtime() >= BURN + 0.5


@pytest.mark.parametrize(
    ("budget", "steps", "spent", "allowed"),
    [("100cpu", 101, 100.0, 4.0), ("300s", 1001, 300.0, 6.0), ("50s", 1, 0.0, 2.0), ("1000tok", 11, 30.0, 12.0)],
    ids=["four mean steps", "2 % of the budget", "2 s", "tokens"],
)
def test_overtime_allowed(budget, steps, spent, allowed):
    clock = Clock(Budget.parse(budget), pid=1, started=50.0, served=50.0 + spent, cpu_served=spent)
    assert clock.overtime_allowed(steps) == pytest.approx(allowed)
