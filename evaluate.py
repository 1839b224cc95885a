"""
The score of a run: bits per byte of validation text, computed by a process that never runs the model's code.

    python evaluate.py RUN_DIR     # RUN_DIR/work holds the weights, RUN_DIR/train.py (or the one here) the model

Two processes. The *scorer* holds the validation tokens. The *model host* imports train.py, rebuilds the model
from its saved weights, and turns token ids into logits. All that passes between them is ids one way and
logits back, through shared memory; targets, byte lengths and the loss stay with the scorer. So a model cannot
report its own loss, and it cannot pick its own batches.

    val_bpb = sum of -log2 p(target) / sum of bytes(target)      over the scored tokens, BOS left out of both

Bits per byte do not depend on the vocabulary. Lower is better.

What one position predicts must not depend on what comes after it: since the inputs, shifted by one, are the
targets, a model that looks ahead would read the answers. The scorer replaces the end of rows and checks that
earlier logits stay as they were.
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
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch

from corpus import DataError, Tokenizer, first_line, write_whole
from feeder import Channel, shared_file
from prepare import evaluation_rows, load_meta, pick_device, settle_numerics

ROWS = 16  # a batch; fixed, so that no model is scored on batches of its own choosing
REPLY_SECONDS = 600.0  # for one batch; a model that takes longer is stuck
CAUSAL_TOLERANCE = 1e-3  # of a logit, nats: as much as a peek could be worth without being seen


class Refused(Exception):
    """The model cannot be scored. The message is one line that says why."""


class HostKilled(Exception):
    """The model host was killed from outside (memory, a person), which says nothing about the model."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the model's process was killed from outside by {signal.Signals(number).name}")
        self.number = number


# ---------------------------------------------------------------------------------------------------------
# Scorer


@dataclass(frozen=True)
class Score:
    nats: float  # summed over all scored tokens
    bytes: int
    tokens: int

    @property
    def bpb(self) -> float:
        return self.nats / (math.log(2) * self.bytes)


def score_rows(host: ModelHost, rows: np.ndarray, token_bytes: np.ndarray) -> Score:
    """Scores rows, uint16 [N, T + 1]. Tokens of no bytes (BOS) count neither as loss nor as text."""
    nats, size, tokens = 0.0, 0, 0
    lengths = torch.from_numpy(token_bytes).to(host.device)
    for start in range(0, len(rows), ROWS):
        batch = torch.from_numpy(rows[start : start + ROWS].astype(np.int64))
        logits = host.logits(batch[:, :-1])
        targets = batch[:, 1:].to(host.device)
        loss = cross_entropy(logits, targets)
        scored = lengths[targets] > 0
        nats += float(loss[scored].double().sum())
        size += int(lengths[targets].sum())
        tokens += int(scored.sum())
    return Score(nats, size, tokens)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-log softmax(logits)[target], nats, fp32 [B, T]: normalized here, whatever the model calls its output."""
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return loss.view_as(targets)


def probe_positions(T: int) -> list[int]:
    """Where rows are cut to look for a peek ahead: the end of the row, and both sides of every power of two
    and of its multiples by three, since that is where attention windows, convolutions and blocks have edges."""
    edges = {T - 1, *(factor << shift for factor in (1, 3) for shift in range(T.bit_length()))}
    return sorted({p for edge in edges for p in (edge - 1, edge, edge + 1) if 1 <= p < T})


def check_causality(host: ModelHost, rows: np.ndarray, vocab_size: int) -> None:
    """For each position p: other tokens from p on must leave the logits before p as they were.

    The same ids give the same digits on all the kernels that are usual here. Where they do not (atomic additions,
    say), what two passes over the same ids differ by is allowed for."""
    T = rows.shape[1] - 1
    tolerance = 0.0
    dice = random.SystemRandom()  # drawn now, so that no model can have been trained to expect it
    positions = probe_positions(T)
    for start in range(0, len(positions), ROWS):
        cuts = positions[start : start + ROWS]
        original = torch.from_numpy(np.stack([dice.choice(rows)[:-1] for _ in cuts]).astype(np.int64))
        altered = original.clone()
        for row, cut in zip(altered, cuts, strict=True):
            row[cut:] = torch.tensor([dice.randrange(vocab_size) for _ in range(T - cut)])
        before = host.logits(original).clone()  # the next call overwrites the shared logits
        if not tolerance:
            rounding = float((host.logits(original) - before).abs().max())
            tolerance = max(CAUSAL_TOLERANCE, 4 * rounding)
        after = host.logits(altered)
        for i, cut in enumerate(cuts):
            change = float((after[i, :cut] - before[i, :cut]).abs().max())
            if not change <= tolerance:
                raise Refused(f"not causal: changing tokens from {cut} on moves earlier logits by {change:.3g}")


# ---------------------------------------------------------------------------------------------------------
# Model host, as the scorer sees it


class ModelHost:
    """The process that runs the model. Use as a context manager; `logits` is its only service."""

    def __init__(self, run_dir: Path, sequence_length: int, vocab_size: int) -> None:
        self.shape = (ROWS, sequence_length, vocab_size)
        self.log = run_dir / "work" / "host.log"
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        # What the model's code prints goes to a file of its own: it cannot pass for the scorer's words.
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(run_dir), "--host", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        theirs.close()
        self.ids, ids_file = shared_tensor(self.shape[:2], torch.int64)
        self.buffer, message, buffer_file = shared_logits(self.shape, pick_device().torch_device)
        self.device = self.buffer.device  # where the loss is computed
        self.channel.send({"shape": self.shape}, ids_file)
        self.channel.send(message, buffer_file)
        self.parameters = int(self._reply()["parameters"])

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """ids int64 [B, T], B at most ROWS → logits fp32 [B, T, vocab], valid until the next call."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()  # the host will overwrite the last logits: nobody may still read them
        self.ids[: len(ids)].copy_(ids)
        self.channel.send({"rows": len(ids)})
        self._reply()
        logits = self.buffer[: len(ids)]
        if not torch.isfinite(logits).all():
            raise Refused("logits are not finite")
        return logits

    def _reply(self) -> dict[str, Any]:
        if not self.channel.waiting(REPLY_SECONDS):
            raise Refused(f"the model gave no answer within {REPLY_SECONDS:.0f} s")
        reply, _ = self.channel.receive()
        if reply is None:
            code = self.process.wait()
            if code in (-signal.SIGKILL, -signal.SIGTERM):
                raise HostKilled(-code)
            lines = self.log.read_text(errors="replace").strip().splitlines()
            raise Refused(f"the model's process died: {lines[-1][:200] if lines else 'it left no word'}")
        if "error" in reply:
            raise Refused(str(reply["error"])[:300])
        return reply

    def __enter__(self) -> ModelHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def shared_tensor(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[torch.Tensor, int]:
    """A tensor in memory that another process can map, and the descriptor to hand it."""
    with shared_file(math.prod(shape) * dtype.itemsize) as file:
        descriptor = os.dup(file.fileno())
    return map_tensor(descriptor, shape, dtype), descriptor


def map_tensor(descriptor: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    return torch.frombuffer(mmap.mmap(descriptor, 0), dtype=dtype).view(shape)


def shared_logits(
    shape: tuple[int, int, int], device: torch.device
) -> tuple[torch.Tensor, dict[str, Any], int | None]:
    """The scorer's buffer for logits, and the message (and descriptor) that lets the host write into it.

    On CUDA it is device memory, opened by the host through an IPC handle; logits never leave the GPU. Elsewhere
    it is memory of the machine, read by a scorer on the CPU."""
    if device.type == "cuda":
        try:
            buffer = torch.empty(shape, dtype=torch.float32, device=device)
            parts = buffer.untyped_storage()._share_cuda_()  # type: ignore[no-untyped-call]
            handle = [part.hex() if isinstance(part, bytes) else part for part in parts]
            return buffer, {"cuda_handle": handle}, None
        except RuntimeError as error:  # no IPC here (WSL), or no room
            print(f"evaluate: no device memory to share ({first_line(error)}); using the machine's, slower")
    buffer, descriptor = shared_tensor(shape, torch.float32)
    return buffer, {"cuda_handle": None}, descriptor


# ---------------------------------------------------------------------------------------------------------
# Model host, from within: this is the process that runs the code under test


def serve_model(run_dir: Path, channel: Channel) -> None:
    """Answers ids with logits until the scorer is gone."""
    first, ids_file = channel.receive()
    second, buffer_file = channel.receive()
    if first is None or second is None or ids_file is None:
        return
    shape = tuple(first["shape"])
    device = pick_device().torch_device
    try:
        settle_numerics(seed=0)
        ids = map_tensor(ids_file, shape[:2], torch.int64)
        buffer = open_logits(second["cuda_handle"], buffer_file, shape)
        model = load_model(run_dir).to(device).eval()
        channel.send({"parameters": sum(p.numel() for p in model.parameters())})
        while (request := channel.receive()[0]) is not None:
            rows = request["rows"]
            with torch.inference_mode():
                logits = model(ids[:rows].to(device))
                if not isinstance(logits, torch.Tensor) or logits.shape != (rows, *shape[1:]):
                    got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
                    raise Refused(f"the model must return logits [B, T, vocab] {(rows, *shape[1:])}, not {got}")
                buffer[:rows].copy_(logits)
            if device.type == "cuda":
                torch.cuda.synchronize()
            channel.send({})
    except Exception as error:
        with contextlib.suppress(OSError):
            channel.send({"error": first_line(error) if isinstance(error, Refused) else describe_error(error)})


def describe_error(error: Exception) -> str:
    return f"{type(error).__name__} in the model: {first_line(error)}"


def open_logits(handle: list[Any] | None, descriptor: int | None, shape: tuple[int, ...]) -> torch.Tensor:
    if handle is None:
        assert descriptor is not None
        return map_tensor(descriptor, shape, torch.float32)
    parts = [bytes.fromhex(part) if isinstance(part, str) else part for part in handle]
    storage = torch.UntypedStorage._new_shared_cuda(*parts)
    strides = (shape[1] * shape[2], shape[2], 1)
    empty = torch.empty(0, dtype=torch.float32, device=storage.device)
    return empty.set_(storage, 0, shape, strides)


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
# Summary


def summary(run_dir: Path, score: Score, parameters: int) -> dict[str, Any]:
    """What a run comes to. Time, tokens and steps are the feeder's counts, the score is the scorer's; memory,
    FLOPs a token and depth are what train.py said."""
    fed = json.loads((run_dir / "feed.json").read_text())
    said = json.loads((run_dir / "work" / "model.json").read_text())
    peak = pick_device().peak_flops
    flops = float(said.get("flops_per_token", 0)) * fed["tokens"]
    mfu = 100 * flops / (fed["seconds"] * peak) if peak and fed["seconds"] > 0 else 0.0
    return {
        "val_bpb": f"{score.bpb:.6f}",
        "training_seconds": f"{fed['seconds']:.1f}",
        "total_seconds": f"{time.time() - float(os.environ['AUTORESEARCH_STARTED']):.1f}",
        "peak_vram_mb": f"{said['peak_memory_mb']:.1f}",
        "mfu_percent": f"{mfu:.2f}",
        "total_tokens_M": f"{fed['tokens'] / 1e6:.3f}",
        "num_steps": str(fed["steps"]),
        "num_params_M": f"{parameters / 1e6:.2f}",
        "depth": str(said.get("depth", 0)),
        "seed": str(fed["seed"]),
        "budget": fed["budget"],
        "epochs": f"{fed['epochs']:.2f}",
        "cropped_percent": f"{100 * fed['cropped_share']:.1f}",
    }


def evaluate(run_dir: Path) -> None:
    started = time.monotonic()
    meta = load_meta()
    token_bytes = Tokenizer.load(Path(meta["folder"]) / "tokenizer.json").token_bytes()
    rows = evaluation_rows(meta)
    settle_numerics(seed=0)
    with ModelHost(run_dir, meta["sequence_length"], meta["vocab_size"]) as host:
        check_causality(host, rows, meta["vocab_size"])
        score = score_rows(host, rows, token_bytes)
    result = {
        "val_bpb": score.bpb, "nats": score.nats, "bytes": score.bytes, "tokens": score.tokens, "causal": True,
        "parameters": host.parameters, "seconds": time.monotonic() - started,
    }  # fmt: skip
    lines = summary(run_dir, score, host.parameters)
    write_whole(run_dir / "summary.json", json.dumps(lines, indent=1))
    write_whole(run_dir / "score.json", json.dumps(result, indent=1))
    print("---")
    for key, value in lines.items():
        print(f"{key + ':':18}{value}")


def refuse(run_dir: Path, reason: str) -> NoReturn:
    write_whole(run_dir / "score.json", json.dumps({"refused": reason}))
    print(f"evaluate: refused: {reason}", file=sys.stderr)
    raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Score the weights of a run. train.py and the runner call it.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--host", type=int, help=argparse.SUPPRESS)  # be the model host, on this descriptor
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
        evaluate(run_dir)
    except Refused as error:
        refuse(run_dir, str(error))
    except HostKilled as error:
        print(f"evaluate: {error}", file=sys.stderr, flush=True)
        os.kill(os.getpid(), error.number)  # so that who waits for this process sees what happened
    except (DataError, torch.OutOfMemoryError) as error:
        print(f"evaluate: {first_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
