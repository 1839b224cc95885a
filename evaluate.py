"""
The score of a run: bits per byte of validation text, computed by a process that never runs the model's code.

    python evaluate.py RUN_DIR     # RUN_DIR/work holds the weights, RUN_DIR/train.py (or the one here) the model

With `--split heldout` it is the text that no experiment sees, for tools/verify.py.

The *scorer* holds the validation tokens. A *model host* imports train.py, rebuilds the model from its saved
weights, and turns token ids into logits. All that passes between them is ids one way and logits back, through
shared memory; targets, byte lengths and the loss stay with the scorer. So a model cannot report its own loss,
and it cannot pick its own batches.

    val_bpb = sum of -log2 p(target) / sum of bytes(target)      over the scored tokens, BOS left out of both

Bits per byte do not depend on the vocabulary. Lower is better.

The inputs, shifted by one, are the targets. So there is one question on which everything hangs: does what a
position predicts depend on anything but the tokens up to it? A second host, in a process that has seen nothing
of the first one's batches, answers for it: it is given some of the same rows in another order and company, their
ends replaced by other text, and must predict the same up to there. A model that looks ahead, that mixes the
rows of a batch, or that learns while it is scored, cannot.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import mmap
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch

from corpus import DataError, Tokenizer, first_line, write_whole
from device import pick_device, settle_numerics
from feeder import MODEL_FILES, Channel, ProtocolError, TreeClock, is_number, plain_sha256, shared_file
from prepare import evaluation_rows, load_meta

ROWS = 16  # a batch; fixed, so that no model is scored on batches of its own choosing
CHUNK = 1 << 24  # logits that are turned into losses at once: 64 MiB
IMPORT_SECONDS = 600.0  # for a host's process to start and import torch, on the busiest machine
PATIENCE = 60.0  # seconds more than 30 times what a host may spend on an answer: then it sleeps
END_SECONDS = 10.0  # for the processes of a killed host to be gone
SCORE = {"val": "score.json", "heldout": "heldout.json"}  # in the run's folder, by what was scored


class Refused(Exception):
    """The model cannot be scored. The message is one line that says why."""


class HostKilled(Exception):
    """A model host was killed from outside (memory, a person), which says nothing about the model."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the model's process was killed from outside by {signal.Signals(number).name}")
        self.number = number


# ---------------------------------------------------------------------------------------------------------
# The score


@dataclass(frozen=True)
class Score:
    nats: float  # summed over all scored tokens
    bytes: int
    tokens: int

    @property
    def bpb(self) -> float:
        return self.nats / (math.log(2) * self.bytes)


def losses_of(host: ModelHost, inputs: np.ndarray, targets: np.ndarray) -> torch.Tensor:
    """The loss of every target, nats, fp32 [N, T], for inputs and targets uint16 [N, T]; whatever comes of logits
    that are not finite. Raises Refused."""
    N, T = inputs.shape
    losses = torch.empty(-(-N // ROWS), ROWS, T, device=host.device)
    # Some rows at a time: few passes over much memory on a CPU, never a batch's logits twice on a GPU.
    size = max(1, min(ROWS, CHUNK // math.prod(host.shape[1:])))
    scratch = torch.empty(size, *host.shape[1:], device=host.device)
    for start in range(0, N, ROWS):
        batch = np.arange(start, start + ROWS) % N  # the last one filled up: all are of one shape
        ids, wanted = (torch.from_numpy(rows[batch].astype(np.int64)) for rows in (inputs, targets))
        logits, wanted = host.logits(ids), wanted.to(host.device)
        for first in range(0, ROWS, size):
            part = slice(first, min(first + size, ROWS))
            # The host could still write to what it shares: the loss is made from a copy that it cannot reach.
            own = scratch[: part.stop - first].copy_(logits[part])
            losses[start // ROWS, part] = cross_entropy(own, wanted[part])
    return losses.view(-1, T)[:N].cpu()


def require_finite(losses: torch.Tensor) -> None:
    """Raises Refused. (A logit of -inf is an honest way to rule a token out, where the target is another.)"""
    if not torch.isfinite(losses).all():
        raise Refused("logits are not finite")


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-log softmax(logits)[target], nats [B, T]: normalized here, whatever the model calls its output."""
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return loss.view_as(targets)


def add_up(losses: torch.Tensor, targets: np.ndarray, token_bytes: np.ndarray) -> Score:
    """Tokens of no bytes (BOS) count neither as loss nor as text."""
    sizes = torch.from_numpy(token_bytes[targets].astype(np.int64))
    return Score(float(losses[sizes > 0].double().sum()), int(sizes.sum()), int((sizes > 0).sum()))


# ---------------------------------------------------------------------------------------------------------
# The audit
#
# A probe takes a scored row and a cut: the input tokens from the cut on are replaced by those of another row.
# The losses of the row's own targets before the cut must not move. A model that peeks one token ahead at
# position cut - 1 is caught by this cut alone, so what a probe tests is that one position, and a leak on a
# share f of the positions escapes n probes with probability (1 - f)^n. Three kinds of cuts:
#
#   edges      both sides of every power of two and of three times it, and the end of the row: where windows,
#              blocks and convolutions have their edges
#   best       at positions drawn from the best predicted tenth of all, five for each place in a batch. A leak
#              that is worth having puts its positions there: 1 % of all is a tenth of these, and 0.9^80 < 0.001
#   anywhere   at positions drawn from all: 0.99^688 < 0.001, however little the leak is worth. For a score that is
#              better than the one to beat; for others as many as fit into a quarter of the scoring
#
# And some rows are sent whole, to see what order and company alone do: nothing, for almost every model, to the
# last digit, since each row keeps the place in its batch that it was scored in. The dice are the system's: no
# model can have been trained to expect them.

BEST_SHARE, BEST = 0.1, 5
ANYWHERE = 688
WHOLE = 16
TOLERANCE = 1e-4  # nats that a loss may move by; twice what whole rows move by, if that is more
ROUNDING_MOST = 1e-3  # nats that whole rows may move by, in kernels that add in another order


@dataclass(frozen=True)
class Probes:
    """Rows to send to the second host. Shapes: row, cut [n]; inputs uint16 [n, T], the row's own up to the cut."""

    row: np.ndarray
    cut: np.ndarray
    inputs: np.ndarray


def edge_positions(T: int) -> list[int]:
    edges = {T - 1, *(factor << shift for factor in (1, 3) for shift in range(T.bit_length()))}
    return sorted({p for edge in edges for p in (edge - 1, edge, edge + 1) if 1 <= p < T})


def draw_probes(rows: np.ndarray, losses: np.ndarray, thorough: bool, dice: random.Random) -> Probes:
    """Probes for scored rows uint16 [N, T + 1] with losses fp32 [N, T]: whole batches, in random order."""
    N, T = losses.shape
    # The target of position p is the input of p + 1; the last one's is no input, so nobody can peek at it.
    inside = losses[:, :-1].ravel()
    count = max(1, int(BEST_SHARE * inside.size))
    best = np.argpartition(inside, count - 1)[:count]
    # A row, or -1 for any, and a cut.
    pairs = [(-1, cut) for cut in edge_positions(T)] + [(-1, T)] * WHOLE
    for place in range(ROWS):
        own = best[best // (T - 1) % ROWS == place]
        drawn = dice.choices(own, k=BEST) if len(own) else []
        pairs += [(int(i) // (T - 1), int(i) % (T - 1) + 1) for i in drawn]
    anywhere = ANYWHERE if thorough else min(ANYWHERE, max(0, N // 4 - len(pairs)))
    pairs += [(-1, dice.randrange(1, T)) for _ in range(anywhere)]
    return lay_out(rows, pairs, dice)


def lay_out(rows: np.ndarray, pairs: list[tuple[int, int]], dice: random.Random) -> Probes:
    """Each row into the place of a batch that it was scored in, and other ends behind the cuts. Rows that are not
    given go where there is room, and what is left of the last batch is filled with cuts drawn anywhere."""
    N, T = len(rows), rows.shape[1] - 1
    places: list[list[tuple[int, int]]] = [[] for _ in range(min(ROWS, N))]
    for row, cut in sorted(pairs, reverse=True):  # those with a row first
        place = row % ROWS if row >= 0 else min(range(len(places)), key=lambda place: len(places[place]))
        places[place].append((row if row >= 0 else dice.randrange(place, N, ROWS), cut))
    deepest = max(map(len, places))
    for place, chosen in enumerate(places):
        chosen += [(dice.randrange(place, N, ROWS), dice.randrange(1, T)) for _ in range(deepest - len(chosen))]
        dice.shuffle(chosen)
    order = np.array([chosen[batch] for batch in range(deepest) for chosen in places])
    probed, cuts = order[:, 0], order[:, 1]
    inputs = rows[probed, :-1].copy()
    for i, cut in enumerate(cuts):
        for _ in range(20):  # another row may happen to go on with the same token, which would test nothing
            other = dice.randrange(N)
            inputs[i, cut:] = rows[other, cut:-1]
            if cut == T or inputs[i, cut] != rows[probed[i], cut]:
                break
    return Probes(probed, cuts, inputs)


@dataclass(frozen=True)
class Audit:
    """What it came to. `rounding`: nats that a loss was allowed to move by, as seen on the rows sent whole."""

    probes: int
    rounding: float


def audit(host: ModelHost, rows: np.ndarray, losses: torch.Tensor, thorough: bool = True) -> Audit:
    """Holds what the first host predicted for the scored rows against a second one. Raises Refused."""
    before = losses.numpy()
    probes = draw_probes(rows, before, thorough, random.SystemRandom())
    after = losses_of(host, probes.inputs, rows[probes.row, 1:]).numpy()
    change = after - before[probes.row]  # positive: the second host, which lacks the ends, did worse
    change[np.arange(change.shape[1]) >= probes.cut[:, None]] = 0.0  # there, targets do not follow from inputs
    require_finite(torch.from_numpy(change))
    return judge(change, probes.cut)


def judge(change: np.ndarray, cut: np.ndarray) -> Audit:
    """Whether losses that moved by `change`, nats [n, T], zero from `cut` [n] on, are a causal model's."""
    T = change.shape[1]
    whole = float(np.abs(change[cut == T]).max(initial=0.0))
    if whole > ROUNDING_MOST:
        raise Refused(
            f"not the same twice: whole rows change by up to {whole:.3g} nats a token in another process, order "
            "and company. A row must not depend on other rows, on earlier batches or on chance"
        )
    rounding = max(TOLERANCE, 2 * whole)
    i, p = divmod(int(np.abs(change).argmax()), T)
    if (worst := abs(change[i, p])) > rounding:
        hint = " (a Fourier transform's rounding? float64 mends that)" if worst < 0.1 else ""
        raise Refused(f"not causal: other tokens from {cut[i]} on move the loss at {p} by {worst:.3g} nats{hint}")
    # What stays below that everywhere may still add up.
    at_cut = change[cut < T, cut[cut < T] - 1]
    if at_cut.mean() > TOLERANCE / 10 + 5 * at_cut.std() / math.sqrt(len(at_cut)):
        raise Refused(f"not causal: without the tokens after it, a target costs {at_cut.mean():.3g} nats more")
    return Audit(len(cut), rounding)


# ---------------------------------------------------------------------------------------------------------
# Model host, as the scorer sees it


@dataclass(frozen=True)
class Pace:
    """What a host may spend, in CPU-seconds where the CPU does the work, else in seconds. A model could be trained
    in here as well, on rows that its weights remember: so it gets what building and scoring take, and no more."""

    start: float  # to import train.py, build the model and load its weights
    batch: float  # for the logits of one batch
    first: float  # more for the first one

    @classmethod
    def of(cls, fed: dict[str, Any], weights: int, batch_tokens: int, on_cpu: bool) -> Pace:
        """From the feeder's account, and the bytes of the weights. Scoring a token costs about a third of training
        on it; ten times that is allowed."""
        trained = fed["cpu_seconds"] if on_cpu else fed["seconds"]
        expected = batch_tokens * trained / max(1, fed["tokens"]) / 3
        return cls((1.0 if on_cpu else 10.0) + weights / 1e9, 10 * expected + 1.0, 1.0 if on_cpu else 10.0)


class ModelHost:
    """A process that runs the model. Use as a context manager; `logits` is its only service.

    `box` is what its command begins with (a sandbox)."""

    def __init__(
        self, run_dir: Path, shape: tuple[int, int, int], box: Sequence[str], pace: Pace, log: str = "host.log"
    ) -> None:
        self.shape, self.boxed, self.pace = shape, bool(box), pace
        self.batches = 0
        # Of its own: what it is written to can be read again, and no host may read what the other one says.
        self.log = run_dir / log
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        # What the model's code prints goes to a file of its own: it cannot pass for the scorer's words.
        with self.log.open("wb") as said:
            self.process = subprocess.Popen(
                [*box, sys.executable, __file__, str(run_dir), "--host", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip
        theirs.close()
        self.device = torch.device("cuda" if pick_device().torch_device.type == "cuda" else "cpu")  # of the loss
        self.clock = TreeClock(self.process.pid) if pick_device().torch_device.type == "cpu" else None
        self.parameters = 0

    def _offer_memory(self) -> torch.Tensor:
        return shared_tensor(self.channel, {"cuda_handle": None}, self.shape, torch.float32)

    def _offer_device_memory(self) -> torch.Tensor:
        """Memory of the GPU, which the host opens through an IPC handle: logits never leave the device."""
        buffer = torch.empty(self.shape, dtype=torch.float32, device="cuda")
        try:
            parts = buffer.untyped_storage()._share_cuda_()  # type: ignore[no-untyped-call]
        except RuntimeError:  # there is none here (WSL)
            return self._offer_memory()
        handle = [part.hex() if isinstance(part, bytes) else part for part in parts]
        self.channel.send({"cuda_handle": handle})
        return buffer

    def begin(self) -> None:
        """Has the model built and loaded: until now the process runs nothing of train.py. Raises Refused."""
        self.ids = shared_tensor(self.channel, {"shape": self.shape}, self.shape[:2], torch.int64)
        self.buffer = self._offer_device_memory() if self.device.type == "cuda" else self._offer_memory()
        if self._reply(IMPORT_SECONDS, "start").get("opened") is not True:
            print("evaluate: a model host cannot open the GPU's memory here: logits go through the machine's")
            self.buffer = self._offer_memory()
            self._reply(IMPORT_SECONDS, "start")
        self.channel.send({"build": True})
        parameters = self._reply(self.pace.start, "be built and loaded").get("parameters")
        self.parameters = parameters if isinstance(parameters, int) else 0

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """ids int64 [B, T], B at most ROWS → logits fp32 [B, T, vocab], valid until the next call."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()  # the host will overwrite the last logits: nobody may still read them
        self.ids[: len(ids)].copy_(ids)
        self.channel.send({"rows": len(ids)})
        self.batches += 1
        more = self.pace.first if self.batches == 1 else 0.0
        self._reply(self.pace.batch + more, "score a batch, ten times what its training suggests")
        return self.buffer[: len(ids)]

    def _spent(self) -> float:
        return time.monotonic() if self.clock is None else self.clock.read()

    def _reply(self, allowed: float, to: str) -> dict[str, Any]:
        """The host's answer. Raises Refused where it spends more than `allowed` on it, or sleeps."""
        began, patience = self._spent(), time.monotonic() + PATIENCE + 30 * allowed
        try:
            is_there = False
            while not is_there:
                is_there = self.channel.waiting(0.1)
                if self._spent() - began > allowed:
                    unit = "seconds" if self.clock is None else "CPU-seconds"
                    raise Refused(f"the model took over {allowed:.1f} {unit} to {to}")
                if time.monotonic() > patience:
                    raise Refused(f"the model gives no answer: it had {allowed:.1f} s to {to}")
            reply, descriptor = self.channel.receive()
        except ProtocolError as error:
            raise Refused(f"the model's process spoke to the scorer by itself: {error}") from None
        if descriptor is not None:
            os.close(descriptor)  # nothing of the host's is wanted
        if reply is None:
            code = self.process.wait()
            if self.boxed and code > 128:  # the sandbox's word for it
                code = 128 - code
            if code in (-signal.SIGKILL, -signal.SIGTERM):
                raise HostKilled(-code)
            lines = self.log.read_text(errors="replace").strip().splitlines()
            raise Refused(f"the model's process died: {lines[-1][:200] if lines else 'it left no word'}")
        if "error" in reply:
            raise Refused(" ".join(str(reply["error"]).split())[:300])
        return reply

    def __enter__(self) -> ModelHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(ProtocolError, OSError):  # all in its box are gone when none holds the other end
            self.channel.socket.shutdown(socket.SHUT_WR)
            while self.channel.waiting(END_SECONDS) and self.channel.receive()[0] is not None:
                pass
        self.channel.socket.close()


def shared_tensor(
    channel: Channel, message: dict[str, Any], shape: tuple[int, ...], dtype: torch.dtype
) -> torch.Tensor:
    """A tensor in memory that the other side can map: the descriptor goes there with `message`."""
    with shared_file(math.prod(shape) * dtype.itemsize) as file:
        channel.send(message, file.fileno())
        return map_tensor(os.dup(file.fileno()), shape, dtype)


def map_tensor(descriptor: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """A tensor in the memory behind `descriptor`, which is closed."""
    memory = mmap.mmap(descriptor, 0)
    os.close(descriptor)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


# ---------------------------------------------------------------------------------------------------------
# Model host, from within: this is the process that runs the code under test


def serve_model(run_dir: Path, channel: Channel) -> None:
    """Answers ids with logits until the scorer is gone."""
    first, ids_file = channel.receive()
    if first is None or ids_file is None:
        return
    shape = tuple(first["shape"])
    device = pick_device().torch_device
    try:
        settle_numerics(seed=0)
        ids = map_tensor(ids_file, shape[:2], torch.int64)
        while (buffer := open_logits(channel, shape)) is None:
            channel.send({"opened": False})  # the scorer offers something else
        channel.send({"opened": True})
        if device.type == "cuda":
            torch.empty(1, device=device)  # takes a second or two at first, which are none of the model's
        channel.receive()  # the word to begin: its time counts from here
        model = load_model(run_dir).to(device).eval()
        channel.send({"parameters": sum(p.numel() for p in model.parameters())})
        while (request := channel.receive()[0]) is not None:
            rows = request["rows"]
            with torch.inference_mode():
                buffer[:rows].copy_(checked(model(ids[:rows].to(device)), (rows, *shape[1:])))
            if device.type == "cuda":
                torch.cuda.synchronize()
            channel.send({})
    except Exception as error:
        with contextlib.suppress(OSError):
            channel.send({"error": first_line(error) if isinstance(error, Refused) else describe_error(error)})


def open_logits(channel: Channel, shape: tuple[int, ...]) -> torch.Tensor | None:
    """The memory that the scorer offers for logits; None where it cannot be opened from here."""
    offer, descriptor = channel.receive()
    if offer is None:
        raise ConnectionError("the scorer is gone")
    if descriptor is not None:
        return map_tensor(descriptor, shape, torch.float32)
    try:
        parts = [bytes.fromhex(part) if isinstance(part, str) else part for part in offer["cuda_handle"]]
        storage = torch.UntypedStorage._new_shared_cuda(*parts)
        empty = torch.empty(0, dtype=torch.float32, device=storage.device)
        return empty.set_(storage, 0, shape, (shape[1] * shape[2], shape[2], 1))
    except (RuntimeError, TypeError):  # no IPC into a sandbox here
        return None


def checked(logits: object, shape: tuple[int, ...]) -> torch.Tensor:
    """`logits` if they are what a model must return. Raises Refused."""
    if not isinstance(logits, torch.Tensor):
        raise Refused(f"the model must return logits [B, T, vocab] {shape}, not {type(logits).__name__}")
    if tuple(logits.shape) != shape or not logits.is_floating_point():
        got = f"{str(logits.dtype).removeprefix('torch.')} {tuple(logits.shape)}"
        raise Refused(f"the model must return logits [B, T, vocab], floating-point {shape}, not {got}")
    return logits


def describe_error(error: Exception) -> str:
    return f"{type(error).__name__} in the model: {first_line(error)}"


def load_model(run_dir: Path) -> torch.nn.Module:
    """The model of RUN_DIR/train.py (a standalone run has none of its own: then the one beside this file)."""
    own = run_dir / "train.py"
    train = import_file(own if own.exists() else Path(__file__).with_name("train.py"))
    described = json.loads((run_dir / "work" / "model.json").read_text())
    model = train.build_model(described["config"])
    if not isinstance(model, torch.nn.Module):
        raise Refused(f"build_model must return an nn.Module, not {type(model).__name__}")
    weights = torch.load(run_dir / "work" / "weights.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    return model


def import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("train", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train"] = module
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------------------------------------
# The evaluation of a run


def check_finish(run_dir: Path, fed: dict[str, Any]) -> None:
    """Whether training ended when its stream did, and the model is the one it ended with. Raises Refused."""
    if fed["overtime"] > fed["overtime_allowed"]:
        raise Refused(
            f"training went on for {fed['overtime']:.1f} s after its last batch, {fed['overtime_allowed']:.1f} "
            "are allowed: what takes long belongs before the end, where run.progress counts it"
        )
    for name in MODEL_FILES:
        digest = plain_sha256(run_dir / "work" / name)
        if digest is None or digest != fed["model_sha256"].get(name):  # None: no plain file, then or now
            raise Refused(f"work/{name} is not what it was when the clock stopped: run.finish alone writes it")


def said_by_training(run_dir: Path) -> dict[str, float]:
    """The numbers that train.py gave to run.finish. They go into the summary, and decide nothing."""
    said = json.loads((run_dir / "work" / "model.json").read_text())
    return {key: float(value) for key, value in said.items() if is_number(value)}


def summary(run_dir: Path, fed: dict[str, Any], score: Score, parameters: int, sandbox: str) -> dict[str, str]:
    """What a run comes to. Time, tokens and steps are the feeder's counts, the score is the scorer's; memory,
    FLOPs a token, depth and the time that it waited for rows are what the trainer said."""
    said = said_by_training(run_dir)
    peak = pick_device().peak_flops
    flops = said.get("flops_per_token", 0.0) * fed["tokens"]
    mfu = 100 * flops / (fed["seconds"] * peak) if peak and fed["seconds"] > 0 else 0.0
    return {
        "val_bpb": f"{score.bpb:.6f}",
        "training_seconds": f"{fed['seconds']:.1f}",
        "total_seconds": f"{time.time() - float(os.environ['AUTORESEARCH_STARTED']):.1f}",
        "peak_vram_mb": f"{said.get('peak_memory_mb', 0.0):.1f}",
        "mfu_percent": f"{mfu:.2f}",
        "total_tokens_M": f"{fed['tokens'] / 1e6:.3f}",
        "num_steps": str(fed["steps"]),
        "num_params_M": f"{parameters / 1e6:.2f}",
        "depth": f"{said.get('depth', 0.0):.0f}",
        "seed": str(fed["seed"]),
        "budget": fed["budget"],
        "epochs": f"{fed['epochs']:.2f}",
        "cropped_percent": f"{100 * fed['cropped_share']:.1f}",
        "waited_percent": f"{100 * said.get('waited_seconds', 0.0) / max(1e-9, fed['seconds']):.1f}",
        "sandbox": sandbox,
    }


def evaluate(run_dir: Path, box: Sequence[str] = (), beat: float = math.inf, split: str = "val") -> None:
    """Scores the run and writes score.json and summary.json; on held-out text heldout.json alone. A score below
    `beat` is audited in full. Raises Refused, HostKilled, DataError."""
    started = time.monotonic()
    meta = load_meta()
    fed = json.loads((run_dir / "feed.json").read_text())
    check_finish(run_dir, fed)
    settle_numerics(seed=0)
    shape = (ROWS, meta["sequence_length"], meta["vocab_size"])
    on_cpu = pick_device().torch_device.type == "cpu"
    pace = Pace.of(fed, (run_dir / "work" / "weights.pt").stat().st_size, math.prod(shape[:2]), on_cpu)
    # Both processes start at once, since importing is work for one core each. But the second one begins with the
    # model when the first is gone: no lock, file or load of the machine can tell it what the first one saw.
    with ModelHost(run_dir, shape, box, pace, "audit.log") as second:
        with ModelHost(run_dir, shape, box, pace) as first:
            token_bytes = Tokenizer.load(Path(meta["folder"]) / "tokenizer.json").token_bytes()
            rows = evaluation_rows(meta, split)
            first.begin()
            losses = losses_of(first, rows[:, :-1], rows[:, 1:])
            require_finite(losses)
            score = add_up(losses, rows[:, 1:], token_bytes)
            scored = time.monotonic()
        second.begin()
        thorough = score.bpb < beat
        audited = audit(second, rows, losses, thorough)
    result = {
        f"{split}_bpb": score.bpb, "nats": score.nats, "bytes": score.bytes, "tokens": score.tokens,
        "causal": True, "parameters": first.parameters, "audit": asdict(audited),
        "audit_seconds": time.monotonic() - scored, "seconds": time.monotonic() - started,
        "machine": {"torch": torch.__version__, "device_name": pick_device().name},
    }  # fmt: skip
    if split != "val":
        write_whole(run_dir / SCORE[split], json.dumps(result, indent=1))
        print(f"{split}_bpb: {score.bpb:.6f}")
        return
    lines = summary(run_dir, fed, score, first.parameters, "bubblewrap" if box else "none")
    write_whole(run_dir / "summary.json", json.dumps(lines, indent=1))
    write_whole(run_dir / SCORE[split], json.dumps(result, indent=1))
    print("---")
    for key, value in lines.items():
        print(f"{key + ':':18}{value}")


def refuse(run_dir: Path, reason: str, split: str) -> NoReturn:
    write_whole(run_dir / SCORE[split], json.dumps({"refused": reason}))
    print(f"evaluate: refused: {reason}", file=sys.stderr)
    raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Score the weights of a run. train.py and the runner call it.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--beat", type=float, default=math.inf, help="audit in full only what scores below this")
    parser.add_argument("--split", choices=SCORE, default="val", help="heldout: for tools/verify.py alone")
    parser.add_argument("--box", type=json.loads, default=[], help=argparse.SUPPRESS)  # a host's command begins so
    parser.add_argument("--host", type=int, help=argparse.SUPPRESS)  # be a model host, on this descriptor
    options = parser.parse_args()
    run_dir = options.run_dir.resolve()
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        os.environ.pop(name, None)  # expandable segments cannot be shared with another process
    if options.host is not None:
        serve_model(run_dir, Channel(socket.socket(fileno=options.host)))
        return
    for name in ("feed.json", "work/model.json", "work/weights.pt"):
        if not (run_dir / name).exists():
            print(f"evaluate: {run_dir / name} is missing: the run did not reach run.finish", file=sys.stderr)
            raise SystemExit(2)
    try:
        evaluate(run_dir, options.box, options.beat, options.split)
    except Refused as error:
        refuse(run_dir, str(error), options.split)
    except HostKilled as error:
        print(f"evaluate: {error}", file=sys.stderr, flush=True)
        os.kill(os.getpid(), error.number)  # so that who waits for this process sees what happened
    except (DataError, torch.OutOfMemoryError) as error:
        print(f"evaluate: {first_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
