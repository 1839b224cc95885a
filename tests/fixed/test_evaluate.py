"""The scorer against models whose score is known, and against models that must be refused."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluate
import prepare
from corpus import Tokenizer
from evaluate import ROWS, TOLERANCE, WHOLE
from feeder import MODEL_FILES, plain_sha256
from tests.fixed.conftest import ROOT
from tests.host import HostInThread


@pytest.fixture(autouse=True)
def numerics_as_before() -> Iterator[None]:
    """The scorer flushes denormals to zero, for the whole process; tests that come after want theirs back."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model hosts are threads of this process, and the audit's dice fall the same way every time."""
    monkeypatch.setattr(subprocess, "Popen", HostInThread)
    monkeypatch.setattr(random, "SystemRandom", lambda: random.Random(0))


MODEL = """
import math, os, sys, time
import torch

class Model(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(config["vocab"]))
        self.calls, self.seen = 0, torch.zeros(config["vocab"])

    def forward(self, ids):
        one_hot = torch.nn.functional.one_hot(ids, len(self.bias)).float()
        ahead = torch.cat([one_hot[:, 1:], one_hot[:, :1] * 0], dim=1)  # the targets, but for the last
        plain = self.bias.expand(*ids.shape, -1)
        self.calls += 1
        FORWARD

def build_model(config):
    return Model(config)
"""


def make_run(folder: Path, forward: str = "return plain", bias: np.ndarray | None = None) -> Path:
    """A run directory as training leaves it, with a model whose logits are `forward`."""
    vocab = prepare.load_meta()["vocab_size"]
    work = folder / "work"
    work.mkdir(parents=True)
    (folder / "train.py").write_text(MODEL.replace("FORWARD", forward.replace("\n", "\n        ")))
    described = {"config": {"vocab": vocab}, "peak_memory_mb": 1.0, "depth": 0, "large": 10**400}
    (work / "model.json").write_text(json.dumps(described))
    torch.save({"bias": torch.zeros(vocab) if bias is None else torch.from_numpy(bias)}, work / "weights.pt")
    fed = {
        "seconds": 1.0,
        "cpu_seconds": 1.0,
        "tokens": 10,
        "steps": 1,
        "seed": 1,
        "budget": "10tok",
        "epochs": 0.1,
    }
    fed |= {"cropped_share": 0.0, "overtime": 0.1, "overtime_allowed": 2.0}
    sealed = {name: plain_sha256(work / name) for name in MODEL_FILES}
    (folder / "feed.json").write_text(json.dumps({**fed, "model_sha256": sealed}))
    return folder


def scored(run: Path) -> dict[str, Any]:
    evaluate.evaluate(run)
    score: dict[str, Any] = json.loads((run / "score.json").read_text())
    return score


def run_evaluate(run: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "evaluate.py"), str(run)]
    return subprocess.run(command, capture_output=True, text=True)


# ---------------------------------------------------------------------------------------------------------
# The score


def test_the_score_of_a_unigram_model_by_hand(tiny, tmp_path):
    meta = prepare.load_meta()
    bias = np.random.default_rng(0).normal(size=meta["vocab_size"]).astype(np.float32)
    run = make_run(tmp_path / "run", bias=bias)
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import evaluate; sys.argv = ['', {str(run)!r}];"
    program += "evaluate.main(); assert 'train' not in sys.modules"  # the scorer runs none of the model's code
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    score = json.loads((run / "score.json").read_text())
    # By hand: -log2 softmax(bias) of every target that is not BOS, over the bytes of those targets.
    targets = prepare.evaluation_rows(meta)[:, 1:].flatten()
    targets = targets[targets != meta["bos_id"]]
    wide = bias.astype(np.float64)
    bits = (np.log(np.exp(wide).sum()) - wide[targets]) / math.log(2)
    token_bytes = Tokenizer.load(tiny / "tokenizer.json").token_bytes()
    by_hand = bits.sum() / token_bytes[targets].sum()
    assert score["val_bpb"] == pytest.approx(by_hand, rel=1e-6)
    assert score["tokens"] == len(targets)
    # An honest model does not move at all from one host to the other.
    assert score["audit"]["rounding"] == TOLERANCE
    lines = dict(line.split(":") for line in done.stdout.split("---\n")[1].splitlines())
    assert lines["val_bpb"].strip() == f"{by_hand:.6f}"
    assert list(lines)[:9] == [
        "val_bpb", "training_seconds", "total_seconds", "peak_vram_mb", "mfu_percent",
        "total_tokens_M", "num_steps", "num_params_M", "depth",
    ]  # fmt: skip


floats = st.floats(-100, 100, width=32)


@given(
    logits=st.lists(st.one_of(floats, st.just(-math.inf)), min_size=1, max_size=8),
    target=floats,
    lift=st.sampled_from([0.0, -1e4, 1e4, 1e8, 1e20, 3e38]),
)
def test_a_loss_is_that_of_softmax_and_never_negative_however_far_the_logits_are_lifted(logits, target, lift):
    row = torch.tensor([target, *logits]) + lift
    loss = float(evaluate.cross_entropy(row[None, None], torch.tensor([[0]])))
    wide = row.double()
    assert loss >= 0
    wide -= wide.max()
    assert loss == pytest.approx(float(wide.exp().sum().log() - wide[0]), rel=1e-4, abs=1e-5)


def test_what_a_host_writes_after_its_reply_reaches_no_loss(tiny, tmp_path, in_threads, monkeypatch):
    meta, honest = prepare.load_meta(), evaluate.cross_entropy
    rows = prepare.evaluation_rows(meta)
    shape = (ROWS, meta["sequence_length"], meta["vocab_size"])

    def meanwhile(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        host.buffer.fill_(-1e9).scatter_(2, targets[..., None], 1e9)  # as if it had guessed the targets
        return honest(logits, targets)

    with evaluate.ModelHost(make_run(tmp_path / "run"), shape, (), evaluate.Pace(60.0, 60.0, 60.0)) as host:
        host.begin()
        before = evaluate.losses_of(host, rows[:, :-1], rows[:, 1:])
        monkeypatch.setattr(evaluate, "cross_entropy", meanwhile)
        after = evaluate.losses_of(host, rows[:, :-1], rows[:, 1:])
    assert torch.equal(before, after) and float(before.min()) > 5


HONEST = {
    "lifted by a constant": "return plain + 1e6",
    "half precision": "return plain.bfloat16()",
    "rules tokens out that are never a target": "out = plain.clone(); out[..., NEVER] = -math.inf; return out",
    "rules out what never comes next": "out = plain.clone()\n"
    "for a, b in NEXT: out[ids == a] = torch.where(torch.tensor(b), 0.0, -math.inf)\n"
    "return out",
    "looks back over the whole row": "return plain + one_hot.cumsum(1)",
}


@pytest.mark.parametrize("case", HONEST)
def test_honest(tiny, tmp_path, in_threads, case):
    rows = prepare.evaluation_rows(prepare.load_meta())
    vocab = prepare.load_meta()["vocab_size"]
    never = sorted(set(range(vocab)) - set(rows[:, 1:].flatten().tolist()))
    follows = np.zeros((vocab, vocab), bool)
    follows[rows[:, :-1], rows[:, 1:]] = True
    some = [(a, follows[a].tolist()) for a in (int(rows[0, 1]), int(rows[1, 2]))]
    forward = HONEST[case].replace("NEVER", str(never)).replace("NEXT", str(some))
    assert never
    audit = scored(make_run(tmp_path / "run", forward))["audit"]
    assert audit["rounding"] == TOLERANCE


# ---------------------------------------------------------------------------------------------------------
# What is refused

REFUSED = {
    "looks one token ahead": ("return plain + 5 * ahead", "not causal"),
    "looks ahead at a window's edge only": (
        "edge = torch.zeros(ids.shape[1], 1); edge[15] = 5; return plain + ahead * edge",
        "not causal: other tokens from 16 on move the loss at 15",
    ),
    "looks ahead at one position in a hundred, by content": (
        "chosen = (ids * 7919 + ids.roll(1, 1) * 104729) % 97 == 0; return plain + 9 * ahead * chosen[..., None]",
        "not causal",
    ),
    "looks ahead after its first batch": ("return plain + 5 * ahead * (self.calls > 1)", "not the same twice"),
    "looks ahead a little everywhere": ("return plain + 6e-5 * ahead", "not causal: without the tokens after it"),
    "mean over the whole row": ("return plain + one_hot.mean(1, True)", "not causal"),
    "mean over the batch": ("return plain + one_hot[:, 1:2].mean(0, True)", "not the same twice"),
    "counts its batches": ("return plain + self.calls * one_hot", "not the same twice"),
    "remembers earlier rows": (
        "out = plain + self.seen.log1p(); self.seen += one_hot.sum((0, 1)); return out",
        "not the same twice",
    ),
    "trains while it is scored": (
        "p = plain.softmax(-1); self.bias.data += (ahead - p).mean((0, 1)); return plain.clone()",
        "not the same twice",
    ),
    "rolls dice": ("return plain + 0.1 * torch.randn(one_hot.shape)", "not the same twice"),
    "not a number": ("return plain * float('nan')", "not finite"),
    "infinite": ("return plain + torch.inf", "not finite"),
    "rules out a target": ("out = plain.clone(); out[..., int(ids[0, 3])] = -math.inf; return out", "not finite"),
    "whole numbers": ("return one_hot.long()", "must return logits"),
    "a shape of its own": ("return plain[:, 1:]", "must return logits"),
    "a loss instead of logits": ("return torch.zeros(())", "must return logits .*, not float32"),
    "no tensor": ("return None", "must return logits .*, not NoneType"),
    "an exception": ("raise ValueError('no luck')", "ValueError in the model: no luck"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tiny, tmp_path, in_threads, case):
    forward, said = REFUSED[case]
    run = make_run(tmp_path / "run", forward)
    with pytest.raises(evaluate.Refused, match=said):
        evaluate.evaluate(run)
    assert not (run / "score.json").exists()


def test_too_slow(tiny, tmp_path, in_threads, monkeypatch):
    pace = evaluate.Pace(start=60.0, batch=0.2, first=0.1)
    monkeypatch.setattr(evaluate.Pace, "of", lambda *_: pace)
    run = make_run(tmp_path / "run", "[math.sqrt(i) for i in range(5_000_000)]; return plain")
    with pytest.raises(evaluate.Refused, match=r"took over 0\.3 CPU-seconds to score a batch, ten times"):
        evaluate.evaluate(run)


def test_a_model_that_is_trained_while_it_is_built(tiny, tmp_path, in_threads, monkeypatch):
    """On rows that its weights remember, say: no clock of training runs there."""
    monkeypatch.setattr(evaluate.Pace, "of", lambda *_: evaluate.Pace(start=0.2, batch=60.0, first=0.0))
    run = make_run(tmp_path / "run")
    text = (run / "train.py").read_text()
    (run / "train.py").write_text(
        text.replace("return Model", "[math.sqrt(i) for i in range(9_000_000)]; return Model")
    )
    with pytest.raises(evaluate.Refused, match=r"took over 0\.2 CPU-seconds to be built and loaded"):
        evaluate.evaluate(run)


def test_a_model_that_sleeps(tiny, tmp_path, in_threads, monkeypatch):
    # It may spend a second and sleep for half of one; a busy machine takes its polling no further than that.
    monkeypatch.setattr(evaluate, "PATIENCE", 0.5 - 30)
    monkeypatch.setattr(evaluate.Pace, "of", lambda *_: evaluate.Pace(start=60.0, batch=1.0, first=0.0))
    run = make_run(tmp_path / "run", "time.sleep(3); return plain")
    with pytest.raises(evaluate.Refused, match="gives no answer"):
        evaluate.evaluate(run)


def test_what_a_host_may_spend():
    fed = {"seconds": 300.0, "cpu_seconds": 100.0, "tokens": 1_000_000}
    small, full = evaluate.Pace.of(fed, 10**7, 4096, True), evaluate.Pace.of(fed, 10**7, 4096, False)
    assert small.batch == pytest.approx(10 * 4096 * 1e-4 / 3 + 1) and full.batch == pytest.approx(
        10 * 4096 * 3e-4 / 3 + 1
    )
    assert small.start == pytest.approx(1.01)


def test_a_pickle_for_weights_is_not_run(tiny, tmp_path, in_threads):
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "was run"),)

    run = make_run(tmp_path / "run")
    (run / "work" / "weights.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    seal(run)
    with pytest.raises(evaluate.Refused, match="UnpicklingError in the model"):
        evaluate.evaluate(run)
    assert not (tmp_path / "was run").exists()


def seal(run: Path, **changes: object) -> None:
    """Takes what is in work/ for what was there at run.finish."""
    fed = json.loads((run / "feed.json").read_text())
    fed["model_sha256"] = {name: plain_sha256(run / "work" / name) for name in MODEL_FILES}
    (run / "feed.json").write_text(json.dumps({**fed, **changes}))


def link_weights(run: Path) -> Path:
    weights = run / "work" / "weights.pt"
    weights.rename(run / "elsewhere.pt")
    weights.symlink_to(run / "elsewhere.pt")
    return run


AFTER_THE_END: dict[str, tuple[Callable[[Path], object], str]] = {
    "training went on": (lambda run: seal(run, overtime=2.5), "went on for 2.5 s after its last batch, 2.0"),
    "other weights": (
        lambda run: torch.save({}, run / "work" / "weights.pt"),
        "work/weights.pt is not what it was",
    ),
    "another configuration": (
        lambda run: (run / "work" / "model.json").write_text("{}"),
        "work/model.json is not",
    ),
    "a link to the same weights": (link_weights, "work/weights.pt is not what it was"),
    "a link, then as now": (lambda run: seal(link_weights(run)), "work/weights.pt is not what it was"),
    "no word of the weights": (lambda run: seal(run, model_sha256={}), "work/weights.pt is not what it was"),
}


@pytest.mark.parametrize("case", AFTER_THE_END)
def test_what_is_done_after_the_clock_stopped_is_refused(tiny, tmp_path, case):
    change, said = AFTER_THE_END[case]
    run = make_run(tmp_path / "run")
    evaluate.check_finish(run, json.loads((run / "feed.json").read_text()))
    change(run)
    with pytest.raises(evaluate.Refused, match=said):
        evaluate.evaluate(run)


WORDS = {
    b"nonsense\n": "spoke to the scorer by itself: no JSON",
    b"[1]\n": "spoke to the scorer by itself: no JSON object",
    b'{"parameters"': "gives no answer",  # half a line keeps nobody waiting
    b"0" * (2 << 20): "spoke to the scorer by itself: a message of more",
}


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[:12])
def test_a_host_that_talks_to_the_scorer_by_itself(tiny, tmp_path, monkeypatch, words):
    class Talker(HostInThread):
        def speak(self) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.channel.socket.sendall(words)
                while self.channel.socket.recv(1 << 16):
                    pass

    monkeypatch.setattr(subprocess, "Popen", Talker)
    monkeypatch.setattr(evaluate, "PATIENCE", 0.2 - 30 * evaluate.IMPORT_SECONDS)
    with pytest.raises(evaluate.Refused, match=WORDS[words]):
        evaluate.evaluate(make_run(tmp_path / "run"))


# ---------------------------------------------------------------------------------------------------------
# With real processes

TELLS_ITS_TWIN = """
# The first host prints its rows; the second finds them in its standard output, if that is the same file.
if self.calls == 1:
    with open("/proc/self/fd/1") as said:
        self.told = [[int(word) for word in line.split()] for line in said]
for i, row in enumerate(ids.tolist()):
    if not self.told:
        print(*row, flush=True)
    whole = next((told for told in self.told if told[:4] == row[:4]), row)
    ahead[i, :-1] = torch.nn.functional.one_hot(torch.tensor(whole[1:]), len(self.bias))
ahead[:, :4] = 0
return plain + 9 * ahead
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for what it printed")
def test_hosts_share_no_words_and_a_refusal_is_recorded_and_said_in_one_line(tiny, tmp_path):
    run = make_run(tmp_path / "run", TELLS_ITS_TWIN.strip())
    done = run_evaluate(run)
    assert done.returncode == 1
    assert done.stderr.startswith("evaluate: refused: not causal") and done.stderr.count("\n") == 1
    assert json.loads((run / "score.json").read_text())["refused"].startswith("not causal")
    assert not (run / "summary.json").exists()


def test_sudden_death_leaves_its_last_words(tiny, tmp_path):
    run = make_run(tmp_path / "run")
    (run / "train.py").write_text("import os; print('last words', flush=True); os._exit(3)")
    with (
        evaluate.ModelHost(run, (ROWS, 32, 300), (), evaluate.Pace(60.0, 60.0, 60.0)) as host,
        pytest.raises(evaluate.Refused, match="died: last words"),
    ):
        host.begin()


def test_a_host_that_is_killed_from_outside_is_no_refusal(tiny, tmp_path):
    done = run_evaluate(make_run(tmp_path / "run", "os.kill(os.getpid(), 9)"))
    assert done.returncode == -signal.SIGKILL
    assert "killed from outside" in done.stderr and not (tmp_path / "run" / "score.json").exists()


def test_a_run_that_never_finished_is_no_run(tiny, tmp_path):
    done = run_evaluate(tmp_path)
    assert done.returncode == 2
    assert "did not reach run.finish" in done.stderr and done.stderr.count("\n") == 1


# ---------------------------------------------------------------------------------------------------------
# The audit's arithmetic


@pytest.mark.parametrize("T", [2, 32, 256, 2048])
def test_edges_are_the_end_and_both_sides_of_every_power_of_two_and_of_three_times_it(T):
    positions = evaluate.edge_positions(T)
    assert T - 1 in positions and all(1 <= p < T for p in positions)
    for edge in (factor << k for factor in (1, 3) for k in range(T.bit_length())):
        assert {p for p in (edge - 1, edge, edge + 1) if 1 <= p < T} <= set(positions)


@given(N=st.integers(ROWS, 90), T=st.integers(3, 80), thorough=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_probes(N, T, thorough, seed):
    rows = np.arange(N * (T + 1), dtype=np.uint16).reshape(N, T + 1)  # no token occurs twice
    losses = np.random.default_rng(seed).gamma(3, 2, (N, T)).astype(np.float32)
    probes = evaluate.draw_probes(rows, losses, thorough, random.Random(seed))
    row, cut = probes.row, probes.cut
    # Whole batches, in which each row has the place that it was scored in.
    assert len(cut) % ROWS == 0 and (row % ROWS == np.arange(len(row)) % ROWS).all()
    # Up to the cut the row's own tokens, then those of another row at the same positions.
    assert ((cut >= 1) & (cut <= T)).all()
    own = probes.inputs == rows[row, :-1]
    assert (own == (np.arange(T) < cut[:, None])).all()
    ends = probes.inputs[cut < T]
    other = ends[:, -1] // (T + 1)
    assert ((ends == rows[other, :-1]) == (np.arange(T) >= cut[cut < T, None])).all()
    # Every edge, some rows whole, each place's best predicted positions, and many of all where it is thorough.
    assert set(evaluate.edge_positions(T)) <= set(cut.tolist())
    assert (cut == T).sum() == WHOLE
    tenth = np.sort(losses[:, :-1], axis=None)[max(1, N * (T - 1) // 10) - 1]
    is_best = losses[row, cut - 1] <= tenth
    best = losses[:, :-1].min(1) <= tenth
    for place in range(ROWS):
        assert is_best[place::ROWS].sum() >= evaluate.BEST * best[place::ROWS].any()
    drawn = len(cut) - len(evaluate.edge_positions(T)) - WHOLE
    assert drawn >= evaluate.ANYWHERE if thorough else drawn < N // 4 + ROWS * (evaluate.BEST + 1)


def probed(cut: np.ndarray, T: int, moves: np.ndarray | float = 0.0) -> np.ndarray:
    """Changes [n, T] of probes whose position before the cut moves by `moves`."""
    change = np.zeros((len(cut), T), np.float32)
    change[np.arange(len(cut)), cut - 1] = np.where(cut < T, moves, 0.0)
    return change


def test_judging_an_audit():
    T = 64
    cut = np.array([T] * WHOLE + list(range(1, T)))
    n = len(cut)
    assert evaluate.judge(probed(cut, T), cut) == evaluate.Audit(n, TOLERANCE)
    one = np.arange(n) == 30
    for moves in (2 * TOLERANCE * one, -0.5 * one):  # a single one, for better or worse
        with pytest.raises(
            evaluate.Refused, match=f"other tokens from {cut[30]} on move the loss at {cut[30] - 1} "
        ):
            evaluate.judge(probed(cut, T, moves), cut)
    with pytest.raises(evaluate.Refused, match="a target costs 5e-05 nats more"):
        evaluate.judge(probed(cut, T, 5e-5), cut)
    # Rounding that depends on a row's company is allowed for, to a point.
    noise = np.random.default_rng(0).normal(size=(n, T)).astype(np.float32)
    assert 4e-4 < evaluate.judge(1e-4 * noise, cut).rounding < 1e-3
    with pytest.raises(evaluate.Refused, match="not the same twice"):
        evaluate.judge(0.1 * noise, cut)


@pytest.mark.parametrize(
    ("N", "T", "thorough", "audits", "missed"),
    [(512, 256, False, 300, 1), (512, 256, True, 100, 1), (1024, 2048, True, 12, 0)],
    ids=["small", "small, thorough", "full"],
)
def test_a_leak_on_one_position_in_a_hundred_is_caught_in_999_audits_of_1000(N, T, thorough, audits, missed):
    """A leak that predicts its targets: it escapes the 80 draws from the best tenth with 0.9^80 = 0.0002."""
    numbers = np.random.default_rng(0)
    rows = numbers.integers(0, 4096, (N, T + 1)).astype(np.uint16)
    losses = numbers.gamma(3, 1.7, (N, T)).astype(np.float32)  # as spread as a small model's, 5 nats
    escaped = 0
    for dice in map(random.Random, range(audits)):
        leaks = numbers.integers(0, N * T, N * T // 100)
        gain = np.zeros((N, T), np.float32)
        gain.ravel()[leaks] = 0.99 * losses.ravel()[leaks]
        probes = evaluate.draw_probes(rows, losses - gain, thorough, dice)
        try:
            evaluate.judge(probed(probes.cut, T, gain[probes.row, probes.cut - 1]), probes.cut)
            escaped += 1
        except evaluate.Refused:
            pass
    assert escaped <= missed


def test_a_model_that_makes_itself_unstable_is_refused():
    """One loss in 500 moves by 0.05 to 0.3 nats with the company of its row: leaks could hide among them."""
    N, T = 512, 256
    numbers = np.random.default_rng(0)
    probes = evaluate.draw_probes(
        np.zeros((N, T + 1), np.uint16), np.ones((N, T), np.float32), False, random.Random(0)
    )
    size = (len(probes.cut), T)
    flips = numbers.uniform(0.05, 0.3, size) * numbers.choice([-1, 1], size) * (numbers.random(size) < 0.002)
    flips[np.arange(T) >= probes.cut[:, None]] = 0.0
    with pytest.raises(evaluate.Refused, match="not the same twice"):
        evaluate.judge(flips.astype(np.float32), probes.cut)
