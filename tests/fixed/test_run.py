"""The run as train.py sees it, driven by trainers of a few lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import prepare
from feeder import Budget, Channel
from tests.fixed.conftest import ROOT
from vitals import Vitals

TRAINER = """
import prepare
import torch

def build_model(config):
    return torch.nn.Sequential(torch.nn.Embedding(config["vocab"], 8), torch.nn.Linear(8, config["vocab"]))

def main():
    run = prepare.start_run()
    config = {"vocab": run.vocab_size}
    model = build_model(config).to(run.device)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    x, y = run.dummy_batch(4)
    assert x.shape == y.shape == (4, run.sequence_length) and x.dtype == torch.int64
    step = 0
    for microbatches in run.batches(4, accum=2):
        for x, y in microbatches:
            assert (x[:, 0] == run.bos_id).all() and (x[:, 1:] == y[:, :-1]).all()
            loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
            (loss / 2).backward()
        optimizer.step(); optimizer.zero_grad()
        run.log(step, LOSS, lr=0.05)
        step += 1
    assert run.progress == 1.0
    run.finish(model, config, depth=1, flops_per_token=100.0)

if __name__ == "__main__":
    main()
"""


def make_bench(folder: Path, loss: str = "loss") -> Path:
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)
    (folder / "train.py").write_text(TRAINER.replace("LOSS", loss))
    return folder


def train(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "train.py"], cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_a_standalone_run_gives_the_same_digits_twice(tiny, tmp_path):
    bench = make_bench(tmp_path)
    runs = [train(bench, AUTORESEARCH_SEED="7") for _ in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    audit = json.loads((bench / "runs" / "standalone" / "score.json").read_text())["audit"]
    assert audit["rounding"] == 1e-4
    scores = [[line for line in run.stdout.splitlines() if line.startswith("val_bpb:")] for run in runs]
    assert len(scores[0]) == 1 and scores[0] == scores[1]
    standalone = bench / "runs" / "standalone"
    curve = [json.loads(line) for line in (standalone / "curve.jsonl").read_text().splitlines()]
    fed = json.loads((standalone / "feed.json").read_text())
    assert len(curve) == fed["steps"] == 7 and fed["seed"] == 7
    assert fed["finished"] and fed["overtime"] < fed["overtime_allowed"]
    assert curve[-1]["loss"] < curve[0]["loss"]


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("loss * float('nan') if step == 3 else loss", "loss is nan at step 3"),
        ("9.0 + step", "diverged by step 7"),
    ],
)
def test_nan_and_divergence_end_the_run_with_one_line(tiny, tmp_path, loss, said):
    done = train(make_bench(tmp_path, loss=loss), AUTORESEARCH_BUDGET="100000tok")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and said in done.stderr
    assert "val_bpb" not in done.stdout


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AUTORESEARCH_PREPARATION", "/nowhere", "no data is prepared in /nowhere"),
        ("AUTORESEARCH_BUDGET", "soon", "budget 'soon'"),
        ("AUTORESEARCH_SEED", "lucky", "AUTORESEARCH_SEED='lucky'"),
    ],
)
def test_bad_settings_are_one_line(tiny, tmp_path, name, value, said):
    done = train(make_bench(tmp_path), **{name: value})
    assert done.returncode == 2
    assert done.stderr.startswith("prepare: ") and said in done.stderr and done.stderr.count("\n") == 1


def test_changing_batch_and_length_on_the_way(tiny, tmp_path):
    bench = make_bench(tmp_path)
    program = """
import prepare
run = prepare.start_run()
seen = []
for B, T, accum in ((2, 16, 1), (4, 32, 2), (3, 32, 1)):
    for microbatches in run.batches(B, T, accum):
        seen.append((len(microbatches), *microbatches[0][0].shape, run.tokens))
        if len(seen) % 3 == 0:
            break
assert seen[0] == (1, 2, 16, 32) and seen[3] == (2, 4, 32, 96 + 256), seen
assert seen[6] == (1, 3, 32, 96 + 768 + 96), seen
"""
    (bench / "train.py").write_text(program)
    done = train(bench)
    assert done.returncode == 0, done.stderr


def test_a_text_that_is_too_small_for_its_budget_is_told_once(tiny, tmp_path):
    text = prepare.load_meta()["splits"]["train"]["tokens"]
    bench = make_bench(tmp_path)
    program = """
import prepare
run = prepare.start_run()
for B in (ROWS // 4, ROWS):
    for microbatches in run.batches(B, 32):
        if run.progress > 0.5:
            break
"""
    rows = text // 32 + 1
    (bench / "train.py").write_text(program.replace("ROWS", str(rows)))
    done = train(bench, AUTORESEARCH_BUDGET=f"{6 * text}tok")
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("train:")]
    assert said == [
        "train: this budget reads the training text some 6 times: from the fifth on it teaches little "
        "(arXiv 2305.16264): prepare more, or spend less",
        f"train: a step takes {rows * 32:,} tokens, but the whole training text has {text:,}: prepare more, "
        "or make smaller steps",
    ]


def test_a_feeder_that_is_too_slow_is_told_with_its_share(tiny, tmp_path):
    bench = make_bench(tmp_path)
    feeder = (bench / "feeder.py").read_text()
    slow = feeder.replace("before = self.packer.state()", "before = self.packer.state(); time.sleep(0.1)")
    assert slow != feeder
    (bench / "feeder.py").write_text(slow)
    done = train(bench)
    assert done.returncode == 0, done.stderr
    share = re.search(r"^waited_percent: +([\d.]+)$", done.stdout, re.MULTILINE)
    assert share is not None and 5 < float(share[1]) <= 100
    assert re.search(r"^train: \d+% of the time was spent waiting for rows", done.stdout, re.MULTILINE)


def test_only_the_wait_for_rows_counts_and_not_the_first(tiny, tmp_path, monkeypatch):
    """A made-up clock: the feeder takes 7 s for the first step and 2 s for each other one, the model 3 s."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(prepare, "TrainerRing", Ring)
    nobody = Channel(socket.socketpair()[0])
    run = prepare.Run(prepare.load_meta(), 1, Budget(4 * 64, "tok"), nobody, tmp_path)
    replies = iter([64, 128, 192, None])

    def ask(message):
        tokens = next(replies)
        now[0] += 7.0 if tokens == 64 else 2.0
        slots = None if tokens is None else [0]
        return {"slots": slots, "progress": 0.0, "seconds": now[0], "tokens": tokens}

    monkeypatch.setattr(run, "_ask", ask)
    for _ in run.batches(2, 32):
        now[0] += 3.0
    assert run._waited == 3 * 2.0


class Ring:
    def __init__(self, *_):
        pass

    def released(self, accum):
        return []

    def load(self, slot):
        return slot


def test_tensors_go_into_the_curve_and_plain_numbers_are_shown_too(tiny, tmp_path):
    make_bench(tmp_path, "loss, plain=7.0, norm=loss.detach() * 2, lost=loss * float('nan')")
    done = train(tmp_path)
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in (tmp_path / "runs/standalone/curve.jsonl").read_text().splitlines()]
    assert all(point["norm"] == pytest.approx(2 * point["loss"], rel=1e-6) for point in points)
    assert all(point["plain"] == 7.0 and point["lost"] != point["lost"] for point in points)
    waits = [point["wait_s"] for point in points]
    assert waits == sorted(waits)
    assert [at for at, point in enumerate(points) if "memory_mb" in point] == list(range(0, len(points), 10))
    assert "plain 7" in done.stdout
    assert "norm" not in done.stdout



class Odd(torch.nn.Module):
    """What an agent might build: a sparse table, a frozen matrix, a dropout, and two queries to each key."""

    class Attend(torch.nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
            return q * k.repeat_interleave(2, dim=2)

    def __init__(self, shortest: int = 0) -> None:
        super().__init__()
        self.words, self.pairs = torch.nn.Embedding(11, 8), torch.nn.Embedding(50, 8, sparse=True)
        self.attend, self.inner, self.head = self.Attend(), torch.nn.Linear(8, 8), torch.nn.Linear(8, 11)
        self.frozen, self.shortest = torch.nn.Parameter(torch.ones(4, 4), requires_grad=False), shortest

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        if tokens.size(1) < self.shortest:
            raise RuntimeError("this model wants whole rows")
        x = torch.dropout(self.inner(self.words(tokens) + self.pairs(tokens * 3)), 0.5, True)
        heads = x.unsqueeze(2).expand(-1, -1, 4, -1)  # [B, T, heads, head_dim]
        logits: torch.Tensor = self.head(self.attend(heads, heads[:, :, :2]).mean(2))
        return logits


def test_vitals_look_at_any_model_and_change_nothing():
    torch.manual_seed(0)
    model, x = Odd(), torch.randint(11, (2, 16))
    vitals = Vitals(model, Odd.Attend, vocab=11)
    torch.autograd.backward(model(x).square().mean())
    vitals.before_step(0)
    with torch.no_grad():
        model.inner.weight *= 1.5
    state = torch.get_rng_state()
    signs = vitals.after_step(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(signs) == {
        *("grad_embedding", "grad_head", "grad_matrix", "update_embedding", "update_head", "update_matrix"),
        *("dead", "score"),
    }
    assert all(value.ndim == 0 and value.isfinite() for value in signs.values())
    assert signs["update_head"] == 0 < signs["update_matrix"] and signs["score"] > 0
    assert not any(one._forward_pre_hooks for one in model.modules())
    vitals.before_step(1)
    assert vitals.after_step(x) == {}


@pytest.mark.parametrize("attention", [None, torch.nn.Conv1d, Odd.Attend])
def test_vitals_do_without_scores(attention, capsys):
    model, x = Odd(shortest=16), torch.randint(11, (2, 16))
    vitals = Vitals(model, attention, vocab=11)
    for step in (0, Vitals.EVERY):
        vitals.before_step(step)  # before any gradient
        signs = vitals.after_step(x)
        assert set(signs) == {"update_embedding", "update_head", "update_matrix"}
    assert capsys.readouterr().out.count("this model wants whole rows") == (attention is Odd.Attend)
    assert not any(one._forward_pre_hooks for one in model.modules())
