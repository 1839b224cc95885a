"""One edit of train.py, from its text to its score, in this process.

A run of the bench takes three processes and the import of torch in each. Here the feeder and the model's host
are threads, the preparation is tiny, and torch.compile does nothing: an edit costs about a second. All that the
tests know of prepare.py, feeder.py and evaluate.py is in this file and tests/host.py.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq

import evaluate
import prepare
from feeder import Channel, Clock, Packer, TokenStore, feed
from tests.host import HostInThread

ROOT = Path(__file__).resolve().parents[2]
EDITS = Path(__file__).with_name("edits")
TRAIN = (ROOT / "train.py").read_text()
TINY = prepare.Profile(
    name="small",  # so that train.py takes its SMALL_ constants
    sequence_length=64,
    vocab_size=300,
    budget="6144tok",  # twelve steps of SHRUNK's batch
    eval_tokens=1024,
    source="",
    noise_prior=0.01,
)
# What makes a step cheap. An edit that sets one of these itself keeps its own.
SHRUNK = {"SMALL_TOTAL_BATCH": 2**9, "SMALL_SHORT_WINDOW": 16, "SMALL_WIDTH": 64, "SMALL_HEAD_DIM": 32}


# ---------------------------------------------------------------------------------------------------------
# Edits


@dataclass(frozen=True)
class Edit:
    """A file of edits/: a docstring that says what and whose idea, and EDITS, pairs of old text and new, or of a
    constant's name and its new value."""

    path: Path
    about: str
    pairs: list[tuple[str, str]]

    @classmethod
    def load(cls, path: Path) -> Edit:
        module = ast.parse(path.read_text())
        (assigned,) = (node for node in module.body if isinstance(node, ast.Assign))
        return cls(path, ast.get_docstring(module) or "", ast.literal_eval(assigned.value))

    def apply(self, text: str) -> str:
        """train.py as the edit makes it. AssertionError where the edit does not fit train.py any more."""
        for old, new in self.pairs:
            if re.fullmatch(r"[A-Z][A-Z0-9_]+", old):
                (line,) = re.findall(rf"^{old} = .*$", text, re.MULTILINE)
                old, new = line + "\n", f"{old} = {new}\n"
            found = text.count(old)
            if found != 1:
                raise AssertionError(
                    f"{self.path.relative_to(ROOT)} no longer applies: train.py has {found} times what it "
                    f"replaces, which must be there once. Write it as train.py has it now:\n{old}"
                )
            text = text.replace(old, new)
        return text


def edits() -> dict[str, Edit]:
    return {path.stem: Edit.load(path) for path in sorted(EDITS.glob("*.py"))}


def shrink(text: str) -> str:
    """The same train.py with SHRUNK's sizes, where the text still has the project's own."""
    for name, value in SHRUNK.items():
        (line,) = re.findall(rf"^{name} = .*$", TRAIN, re.MULTILINE)
        text = text.replace(line, f"{name} = {value}")
    return text


# ---------------------------------------------------------------------------------------------------------
# A run


def make_preparation(folder: Path) -> Path:
    """Prepares TINY from a few documents of the sample. Returns the preparation's folder."""
    table = pq.read_table(ROOT / "data" / "sample" / "shard_00004.parquet")
    lines = [json.dumps({"text": str(text)[:1500]}) for text in table.column("text").to_pylist()[:120]]
    (folder / "text").mkdir()
    (folder / "text" / "some.jsonl").write_text("\n".join(lines) + "\n")
    with mock.patch.dict(os.environ, AUTORESEARCH_CACHE=str(folder / "cache")):
        return prepare.prepare(TINY, str(folder / "text"), shards=1)


def run_edit(folder: Path, text: str, preparation: Path) -> dict[str, Any]:
    """Trains and scores train.py `text` in the new folder `folder`. Returns what the scorer wrote.

    Raises evaluate.Refused where the scorer refuses the model, AssertionError where the edit is no good."""
    (folder / "work").mkdir(parents=True)
    (folder / "train.py").write_text(shrink(text))
    with this_process(AUTORESEARCH_PREPARATION=str(preparation), AUTORESEARCH_RUN=str(folder)):
        train(folder)
        assert not (dead := dead_weights(folder)), f"{dead} are still zero: what they multiply was never tried"
        with mock.patch.object(subprocess, "Popen", HostInThread):
            evaluate.evaluate(folder)
    shutil.rmtree(folder / "work")
    score: dict[str, Any] = json.loads((folder / "score.json").read_text())
    return score


def train(folder: Path) -> None:
    """What the runner does with `python train.py`: until run.finish, which ends with exit status 0."""
    ours, theirs = socket.socketpair()  # the run takes a descriptor of its own, so that this one stays in hand
    meta, seed, budget = prepare.run_settings()
    packer = Packer(TokenStore.load(Path(meta["folder"]), "train"), meta["bos_id"], seed)
    clock = Clock(budget, os.getpid())
    feeder = threading.Thread(target=feed, args=(folder, Channel(theirs), packer, clock), daemon=True)
    feeder.start()
    os.environ["AUTORESEARCH_FEED"] = str(os.dup(ours.fileno()))
    try:
        evaluate.import_file(folder / "train.py").main()
        raise AssertionError("train.py ended without run.finish")
    except SystemExit as end:
        assert end.code in (None, 0), f"train.py ended with: {end.code}"
    finally:
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)  # the feeder ends when the trainer is gone
        feeder.join()
        ours.close()
        theirs.close()


def dead_weights(folder: Path) -> list[str]:
    """Of the weights that training left, those that never moved from a start at zero."""
    import torch

    weights: dict[str, Any] = torch.load(folder / "work" / "weights.pt", weights_only=True)
    return [name for name, weight in weights.items() if not weight.any()]


@contextlib.contextmanager
def this_process(**environment: str) -> Iterator[None]:
    """Lends this process to a run, and puts back what a run changes in it: the environment, the seeds, the
    numerics, the garbage collector, and the module `train`. torch.compile does nothing meanwhile."""
    import torch

    environment |= {"TORCHDYNAMO_DISABLE": "1", "AUTORESEARCH_SEED": "42"}
    others, threads, precision = (
        sys.modules.get("train"),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
    )
    python, numpy, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gc.freeze()  # what collects garbage during the run need not walk through torch each time
    with mock.patch.dict(os.environ, environment), mock.patch.object(gc, "freeze"):
        os.environ.pop("AUTORESEARCH_BUDGET", None)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            sys.modules.pop("train", None)
            sys.modules.update({"train": others} if others else {})
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_rng_state(tensors)
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)
            torch.set_flush_denormal(False)
            gc.collect()
            gc.unfreeze()
            gc.enable()
