"""The scorer against models whose score is known, and against models that must be refused."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import evaluate
import prepare
from corpus import Tokenizer
from feeder import Channel
from tests.fixed.conftest import ROOT


@pytest.fixture(autouse=True)
def numerics_as_before() -> Iterator[None]:
    """The scorer flushes denormals to zero, for the whole process; tests that come after want theirs back."""
    import torch

    yield
    torch.set_flush_denormal(False)


MODEL = """
import torch

class Model(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(config["vocab"]))

    def forward(self, ids):
        one_hot = torch.nn.functional.one_hot(ids, len(self.bias)).float()
        {forward}

def build_model(config):
    return Model(config)
"""
UNIGRAM = "return self.bias.expand(*ids.shape, -1)"


def make_run(folder: Path, vocab: int, forward: str = UNIGRAM, bias: np.ndarray | None = None) -> Path:
    """A run directory as training leaves it, with a model whose logits are `forward`."""
    import torch

    (folder / "work").mkdir(parents=True)
    (folder / "train.py").write_text(MODEL.format(forward=forward))
    described = {"config": {"vocab": vocab}, "peak_memory_mb": 1.0, "depth": 0}
    (folder / "work" / "model.json").write_text(json.dumps(described))
    fed = {"seconds": 1.0, "tokens": 10, "steps": 1, "seed": 1, "budget": "10tok"}
    fed |= {"epochs": 0.1, "cropped_share": 0.0}
    (folder / "feed.json").write_text(json.dumps(fed))
    weights = torch.zeros(vocab) if bias is None else torch.from_numpy(bias).float()
    torch.save({"bias": weights}, folder / "work" / "weights.pt")
    return folder


def run_evaluate(run: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "evaluate.py"), str(run)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_score_of_a_unigram_model_by_hand(tiny, tmp_path):
    meta = prepare.load_meta()
    bias = np.random.default_rng(0).normal(size=meta["vocab_size"]).astype(np.float32)
    run = make_run(tmp_path / "run", meta["vocab_size"], bias=bias)
    digits = [run_evaluate(run).stdout for _ in range(2)]
    scores = [json.loads((run / "score.json").read_text())]
    # By hand: -log2 softmax(bias) of every target that is not BOS, over the bytes of those targets.
    targets = prepare.evaluation_rows(meta)[:, 1:].flatten()
    targets = targets[targets != meta["bos_id"]]
    wide = bias.astype(np.float64)
    bits = (np.log(np.exp(wide).sum()) - wide[targets]) / math.log(2)
    token_bytes = Tokenizer.load(tiny / "tokenizer.json").token_bytes()
    by_hand = bits.sum() / token_bytes[targets].sum()
    assert scores[0]["val_bpb"] == pytest.approx(by_hand, rel=1e-6)
    assert scores[0]["tokens"] == len(targets)
    assert all(f"val_bpb:          {by_hand:.5f}" in printed for printed in digits)
    keys = [line.split(":")[0] for line in digits[0].split("---\n")[1].splitlines()]
    assert keys[:9] == [
        "val_bpb", "training_seconds", "total_seconds", "peak_vram_mb", "mfu_percent",
        "total_tokens_M", "num_steps", "num_params_M", "depth",
    ]  # fmt: skip


def test_lifting_all_logits_changes_nothing(tiny, tmp_path, monkeypatch):
    """Logits are normalized by the scorer: a constant added to all of them changes nothing."""
    monkeypatch.setattr(subprocess, "Popen", HostInThread)
    vocab = prepare.load_meta()["vocab_size"]
    plain = make_run(tmp_path / "plain", vocab)
    lifted = make_run(tmp_path / "lifted", vocab, "return (self.bias + 100.0).expand(*ids.shape, -1)")
    for run in (plain, lifted):
        evaluate.evaluate(run)
    first, second = (json.loads((run / "score.json").read_text())["val_bpb"] for run in (plain, lifted))
    assert first == pytest.approx(second, rel=1e-6)


AHEAD = "torch.cat([one_hot[:, 1:], one_hot[:, :1] * 0], dim=1)"
REFUSED = {
    "looks one token ahead": (f"return self.bias + 5 * {AHEAD}", "not causal"),
    "looks ahead at a window's edge only": (
        f"edge = torch.zeros(ids.shape[1], 1); edge[15] = 5; return self.bias + {AHEAD} * edge",
        "not causal",
    ),
    "mean over the whole row": ("return self.bias + one_hot.mean(1, True).expand_as(one_hot)", "not causal"),
    "not a number": ("return self.bias.expand(*ids.shape, -1) * float('nan')", "not finite"),
    "infinite": ("return self.bias.expand(*ids.shape, -1) + torch.inf", "not finite"),
    "a shape of its own": ("return self.bias.expand(ids.shape[0], ids.shape[1] - 1, -1)", "must return logits"),
    "a loss instead of logits": ("return torch.zeros(())", "must return logits"),
    "an exception": ("raise ValueError('no luck')", "ValueError in the model: no luck"),
    "sudden death": ("import os; print('last words', flush=True); os._exit(3)", "died: last words"),
}


class HostInThread:
    """Stands in for the host's process where a test needs no process, and saves it the import of torch."""

    def __init__(self, command: list[str], **_: object) -> None:
        channel = Channel(socket.socket(fileno=os.dup(int(command[-1]))))
        self.thread = threading.Thread(target=evaluate.serve_model, args=(Path(command[2]), channel), daemon=True)
        self.thread.start()

    def kill(self) -> None:
        pass

    def wait(self) -> None:
        pass


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tiny, tmp_path, case, monkeypatch):
    forward, said = REFUSED[case]
    if case != "sudden death":
        monkeypatch.setattr(subprocess, "Popen", HostInThread)
    run = make_run(tmp_path / "run", prepare.load_meta()["vocab_size"], forward=forward)
    with pytest.raises(evaluate.Refused, match=said):
        evaluate.evaluate(run)
    assert not (run / "score.json").exists()


def test_a_refusal_is_recorded_and_said_in_one_line(tiny, tmp_path):
    run = make_run(tmp_path / "run", prepare.load_meta()["vocab_size"])
    (run / "train.py").write_text("# no model in here\n")
    done = run_evaluate(run)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "build_model" in done.stderr
    assert "build_model" in json.loads((run / "score.json").read_text())["refused"]


def test_a_host_that_is_killed_from_outside_is_no_refusal(tiny, tmp_path):
    forward = "import os; os.kill(os.getpid(), 9)"
    run = make_run(tmp_path / "run", prepare.load_meta()["vocab_size"], forward=forward)
    done = run_evaluate(run)
    assert done.returncode == -signal.SIGKILL
    assert "killed from outside" in done.stderr and not (run / "score.json").exists()


def test_a_run_that_never_finished_is_no_run(tiny, tmp_path):
    done = run_evaluate(tmp_path)
    assert done.returncode == 2
    assert "did not reach run.finish" in done.stderr and done.stderr.count("\n") == 1


def test_the_scorer_never_imports_train(tiny, tmp_path):
    run = make_run(tmp_path / "run", prepare.load_meta()["vocab_size"])
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import evaluate; from pathlib import Path;"
    program += f"evaluate.evaluate(Path({str(run)!r})); assert 'train' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ}, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("T", [2, 32, 256, 2048])
def test_probes_cover_the_end_and_both_sides_of_every_power_of_two(T):
    positions = evaluate.probe_positions(T)
    assert T - 1 in positions
    assert all(1 <= p < T for p in positions)
    for edge in (2**k for k in range(T.bit_length()) if 2**k < T):
        assert edge in positions and (edge == 1 or edge - 1 in positions)
