#!/usr/bin/env python3
"""How fast text becomes tokens and tokens become rows, held against what limits it and against what a GPU eats.

  tokenization   preparation's tokenizing with all cores, beside tiktoken alone on the same text in memory, in turn
  packing        rows from tokenized documents, ours beside the reference's scan of 1,000 documents a placement
  loader         the feeder's process, with a trainer that only takes: what it could deliver at the most
  memory         preparation of made-up text of two sizes: the peak of all its processes together

examples:
  .venv/bin/python benchmarks/data.py --json FILE        1 GB and 4 GB of text: on two idle cores 25 minutes, 7 GB
  .venv/bin/python benchmarks/data.py --short            50 and 200 MB: two minutes
  .venv/bin/python benchmarks/data.py --only packing loader
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.loading import made_up, memory, scan  # noqa: E402
from corpus import Corpus, open_corpus, read_unit, tokenize, train_tokenizer  # noqa: E402
from feeder import Channel, Packer, TokenStore, cpu_seconds  # noqa: E402

H100 = 1.65e6  # tokens a second that training of `full` consumes there, by the reference's published runs
SHAPES = {"full": (128, 2048, 8192), "small": (4, 256, 4096)}  # B, T, vocabulary
WARM = 10_000_000  # tokens that both pack before they are timed
SCAN_SHARE = 8  # the scan is timed on an eighth of the rows
TIMES = 3


@dataclass(frozen=True)
class Tokenization:
    """MB of text a second, and a CPU-second; medians. `tiktoken`: the quicker of its own threads and of threads
    around single documents."""

    ours: float
    tiktoken: float
    ours_cpu: float
    tiktoken_cpu: float
    megabytes: float


@dataclass(frozen=True)
class Packing:
    """Tokens a CPU-second. `scan_lost`: share of the tokens that the scan throws away."""

    shape: str
    ours: float
    scan: float
    scan_lost: float


@dataclass(frozen=True)
class Loader:
    """`step`: wall seconds from one to the next; `step_cpu`: of them, CPU-seconds of the feeder."""

    shape: str
    tokens_per_second: float
    step: float
    step_cpu: float


@dataclass(frozen=True)
class Memory:
    """`peak`: bytes, of all processes of prepare.py together."""

    text: int
    peak: int
    seconds: float


@dataclass(frozen=True)
class Report:
    tokenization: Tokenization | None
    packing: list[Packing]
    loader: list[Loader]
    memory: list[Memory]
    machine: str
    commit: str
    load: float  # over the minute before


def measure_tokenization(folder: Path, megabytes: float) -> Tokenization:
    """On the sample's training text, gone through until that is enough: starting processes must weigh little."""
    sample = open_corpus("sample", 0, folder)
    training = [unit for unit in sample.units if unit.split == "train"]
    with quiet():
        encoding = train_tokenizer(sample, 8192, folder / "tokenizer.json").encoding
    once = [text for unit in training for _, text in read_unit(unit)]
    size = sum(len(text.encode()) for text in once) / 1e6
    times, cores = max(1, round(megabytes / size)), os.cpu_count() or 1
    corpus = Corpus(sample.name, sample.identity, tuple(training * times))
    parts = [once[start : start + 100] for start in range(0, len(once), 100)] * times

    def ours() -> None:
        with quiet():
            tokenize(corpus, folder)

    def batches() -> None:
        for part in parts:
            encoding.encode_ordinary_batch(part, num_threads=cores)

    def threads() -> None:
        with ThreadPoolExecutor(cores) as pool:
            for _ in pool.map(lambda part: [encoding.encode_to_numpy(text) for text in part], parts):
                pass

    took = in_turn({"ours": ours, "batches": batches, "threads": threads}, TIMES)
    megabytes = size * times
    least = [min(took["batches"][of], took["threads"][of]) for of in (0, 1)]
    ours_wall, ours_cpu = took["ours"]
    return Tokenization(
        ours=megabytes / ours_wall, tiktoken=megabytes / least[0],
        ours_cpu=megabytes / ours_cpu, tiktoken_cpu=megabytes / least[1], megabytes=megabytes,
    )  # fmt: skip


def in_turn(ways: dict[str, Callable[[], None]], times: int) -> dict[str, tuple[float, float]]:
    """Wall and CPU-seconds (children included) of each way, one after the other, `times` times over; medians."""
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(times):
        for name, way in ways.items():
            began, before = time.monotonic(), sum(os.times()[:4])
            way()
            walls[name].append(time.monotonic() - began)
            cpus[name].append(sum(os.times()[:4]) - before)
    return {name: (statistics.median(walls[name]), statistics.median(cpus[name])) for name in ways}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def measure_packing(folder: Path, shape: str, batches: int) -> Packing:
    """Both from one text that is tokenized already, each in CPU-seconds of this process."""
    B, T, vocab_size = SHAPES[shape]
    made_up.write_preparation(folder, batches * B * T, T, vocab_size)
    store, bos = TokenStore.load(folder, "train"), vocab_size - 1
    packer = Packer(store, bos, seed=1)
    rows = np.empty((B, T + 1), np.uint16)
    ours = scanning = 0.0
    scanner = scan.ScanPacker(as_lists(store, bos), T + 1)
    for _ in range(WARM // T):  # until long documents, which fit nowhere, are as many as they ever get
        packer.fill(rows[0])
        scanner.row()
    for number in range(batches):
        began = time.process_time()
        for row in rows:
            packer.fill(row)
        ours += time.process_time() - began
        if number % SCAN_SHARE == 0:
            began = time.process_time()
            scanner.batch(B)
            scanning += time.process_time() - began
    scanned = -(-batches // SCAN_SHARE) * B * T
    return Packing(shape, batches * B * T / ours, scanned / scanning, scanner.lost / scanner.drawn)


def as_lists(store: TokenStore, bos: int) -> Iterator[list[int]]:
    """Documents of a store, over and over, as lists already: making them is no part of packing."""
    many = min(5_000, len(store.offsets) - 1)
    ready = [
        [bos, *store.tokens[start:end].tolist()]
        for start, end in zip(store.offsets[:many], store.offsets[1 : many + 1], strict=True)
    ]
    return itertools.cycle(ready)


def measure_loader(folder: Path, shape: str, seconds: float) -> Loader:
    """The feeder as a run has it; the trainer, which this process is, takes a step and gives it back at once."""
    B, T, vocab_size = SHAPES[shape]
    made_up.write_preparation(folder, 40_000_000, T, vocab_size)
    run = folder / "run"
    run.mkdir()
    ours, theirs = socket.socketpair()
    command = [sys.executable, str(ROOT / "prepare.py"), "--feed", str(run), "--fd", str(theirs.fileno())]
    environ = os.environ | {"AUTORESEARCH_PREPARATION": str(folder), "AUTORESEARCH_BUDGET": f"{seconds}s"}
    feeder = subprocess.Popen([*command, "--pid", str(os.getpid())], env=environ, pass_fds=[theirs.fileno()])
    theirs.close()
    channel = Channel(ours)

    def ask(**message: object) -> dict[str, Any]:
        channel.send(message)
        reply, descriptor = channel.receive()
        if descriptor is not None:
            os.close(descriptor)
        if reply is None:
            sys.exit("data: the feeder is gone: its last words are above")
        return reply

    ask(op="open", B=B, T=T, accum=1)
    free: list[int] = []
    steps = tokens = 0
    began, spent = time.monotonic(), cpu_seconds(feeder.pid)
    while (reply := ask(op="step", free=free))["slots"] is not None:
        free, steps, tokens = reply["slots"], steps + 1, reply["tokens"]
    took, spent = time.monotonic() - began, cpu_seconds(feeder.pid) - spent
    ours.close()
    feeder.wait()
    return Loader(shape, tokens / took, took / steps, spent / steps)


def measure_memory(folder: Path, size: int) -> Memory:
    """What is written is removed again."""
    try:
        written = made_up.write_shards(folder / "text", size)
        command = [sys.executable, str(ROOT / "prepare.py"), "--profile", "small"]
        command += ["--source", str(folder / "text"), "--cache", str(folder / "cache")]
        peak, seconds = memory.peak_of(command, dict(os.environ))
        return Memory(written, peak, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def room_for(size: int, folder: Path) -> None:
    """Text, and its tokens at two bytes for some three of text."""
    free = shutil.disk_usage(folder).free
    if free < 2 * size:
        sys.exit(f"data: {folder} has {free / 1e9:.1f} GB free, {2 * size / 1e9:.1f} are needed: see --folder")


def measure(parts: list[str], sizes: list[int], place: Path | None, short: bool) -> Report:
    load = os.getloadavg()[0]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    try:
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="data-", dir=place))
    except OSError as error:
        sys.exit(f"data: {place or tempfile.gettempdir()} cannot be written ({error.strerror}): see --folder")
    try:
        if "memory" in parts:
            room_for(max(sizes), folder)
        tokenization = measure_tokenization(folder, 25 if short else 200) if "tokenization" in parts else None
        packing, loader = [], []
        packed = 8_000_000 if short else 40_000_000  # tokens
        for shape, (B, T, _) in SHAPES.items():
            if "packing" in parts:
                packing.append(measure_packing(folder / f"packing-{shape}", shape, packed // (B * T)))
            if "loader" in parts:
                loader.append(measure_loader(folder / f"loader-{shape}", shape, 2.0 if short else 10.0))
        held = [measure_memory(folder / f"memory-{size}", size) for size in sizes if "memory" in parts]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return Report(tokenization, packing, loader, held, machine, commit.stdout.strip(), load)


def table(report: Report) -> list[str]:
    lines = []
    if (t := report.tokenization) is not None:
        lines.append(f"{'tokenization':28}{'ours':>10}{'tiktoken':>10}{'share':>8}")
        rows = (("second", t.ours, t.tiktoken), ("CPU-second", t.ours_cpu, t.tiktoken_cpu))
        for what, ours, limit in rows:
            lines.append(f"{f'MB a {what}':28}{ours:10.1f}{limit:10.1f}{ours / limit:8.0%}")
    if report.packing:
        lines += ["", f"{'packing, Mtok a CPU-second':28}{'ours':>10}{'scan':>10}{'':>8}{'scan throws away':>18}"]
        for p in report.packing:
            ratio = f"{p.ours / p.scan:.0f} x"
            rates = f"{p.ours / 1e6:10.1f}{p.scan / 1e6:10.2f}"
            lines.append(f"{name(p.shape):28}{rates}{ratio:>8}{p.scan_lost:18.0%}")
    if report.loader:
        lines += ["", f"{'loader':28}{'Mtok/s':>10}{'of H100':>10}{'ms, CPU':>8}{'ms a step':>18}"]
        for one in report.loader:
            times = f"{one.tokens_per_second / H100:.1f} x"
            rates = f"{one.tokens_per_second / 1e6:10.1f}{times:>10}"
            lines.append(f"{name(one.shape):28}{rates}{1000 * one.step_cpu:8.2f}{1000 * one.step:18.2f}")
    if report.memory:
        lines += ["", f"{'preparation':28}{'peak MB':>10}{'seconds':>10}{'MB/s':>8}"]
        for m in report.memory:
            rate = m.text / 1e6 / m.seconds
            lines.append(f"{f'{m.text / 1e6:,.0f} MB of text':28}{m.peak / 1e6:10.0f}{m.seconds:10.0f}{rate:8.1f}")
    return [*lines, f"{report.machine}; load {report.load:.1f} before; commit {report.commit}"]


def name(shape: str) -> str:
    B, T, _ = SHAPES[shape]
    return f"{shape}: B={B}, T={T}"


PARTS = ("tokenization", "packing", "loader", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the parts")
    parser.add_argument("--short", action="store_true", help="50 and 200 MB of text, less of everything else")
    parser.add_argument("--folder", type=Path, help="where text is written, and removed again (default: /tmp)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args()
    sizes = [50_000_000, 200_000_000] if given.short else [10**9, 4 * 10**9]
    try:
        report = measure(given.only, sizes, given.folder, given.short)
    except memory.CommandFailed as error:
        sys.exit(f"data: prepare.py failed: {error}")
    print("\n".join(table(report)))
    if given.json:
        given.json.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
