"""The comparison with another trainer: a made-up reference with the interface of the real one, in a folder."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import reference
from benchmarks.duel import contest, report, rewrite, text, trials
from benchmarks.duel.contest import Entrant, Row, Setting, Tried
from benchmarks.duel.report import OURS, Report
from benchmarks.duel.rewrite import Changes, Factor, UnknownFile
from benchmarks.duel.text import Text, lay_out
from benchmarks.duel.trials import Job, Result, Trials
from benchmarks.figures import jsonable
from corpus import DataError

PREPARE = '''
import math, os
import torch

MAX_SEQ_LEN = 2048
TIME_BUDGET = 300
EVAL_TOKENS = 40 * 524288
CACHE_DIR = os.path.join(os.path.expanduser("~"), ".cache", "autoresearch")
DATA_DIR = os.path.join(CACHE_DIR, "data")
VAL_FILENAME = "shard_06542.parquet"


def train_tokenizer():
    names = sorted(os.listdir(DATA_DIR))
    assert names == ["shard_00000.parquet", VAL_FILENAME], names
    open(os.path.join(CACHE_DIR, "tokenizer"), "w").write("trained")


class Enc:
    n_vocab = 257
    special_tokens_set = {"<|bos|>"}

    def encode_single_token(self, name):
        return 256

    def encode_ordinary(self, text):
        return list(text.encode())

    def decode_single_token_bytes(self, i):
        return bytes([i])


class Tokenizer:
    enc = Enc()

    @classmethod
    def from_directory(cls):
        assert open(os.path.join(CACHE_DIR, "tokenizer")).read() == "trained"
        return cls()

    def get_vocab_size(self):
        return 257

    def get_bos_token_id(self):
        return 256


def make_dataloader(tokenizer, B, T, split):
    import pyarrow.parquet as pq
    name = "shard_00000.parquet" if split == "train" else VAL_FILENAME
    texts = pq.read_table(os.path.join(DATA_DIR, name)).column("text").to_pylist()
    ids = torch.tensor([i for one in texts for i in [256, *one.encode()]] * 50)
    buffer = torch.empty((B, T + 1), dtype=torch.long, device="cuda", pin_memory=True)
    at = 0
    while True:
        at = at if at + B * (T + 1) < len(ids) else 0
        buffer.copy_(ids[at : at + B * (T + 1)].view(B, T + 1))
        at += B * (T + 1)
        yield buffer[:, :-1], buffer[:, 1:], 1


def evaluate_bpb(model, tokenizer, batch_size):
    x, y, _ = next(make_dataloader(tokenizer, batch_size, MAX_SEQ_LEN, "val"))
    return float(model(x, y)) / math.log(2)
'''

TRAIN = '''
import time
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from kernels import get_kernel

assert torch.cuda.get_device_capability() is not None
fa3 = get_kernel("flash").flash_attn_interface
from prepare import MAX_SEQ_LEN, TIME_BUDGET, Tokenizer, make_dataloader, evaluate_bpb


@dataclass
class Config:
    sequence_len: int
    n_embd: int


class GPT(nn.Module):
    def __init__(self, config, vocab):
        super().__init__()
        self.config, self.window_sizes = config, [(config.sequence_len // 2, 0)]
        self.wte = nn.Embedding(vocab, config.n_embd)
        self.head = nn.Linear(config.n_embd, vocab, bias=False)

    def forward(self, idx, targets=None, reduction="mean"):
        x = self.wte(idx)
        q = x.unsqueeze(2)
        x = x + fa3.flash_attn_func(q, q, q, causal=True, window_size=self.window_sizes[0]).squeeze(2)
        logits = self.head(x).float()
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


class Plain(torch.optim.Optimizer):
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.sub_(group["lr"] * p.grad)


ASPECT_RATIO = 16
HEAD_DIM = 16
WINDOW_PATTERN = "SSSL"
TOTAL_BATCH_SIZE = 2**19
EMBEDDING_LR = 0.6
UNEMBEDDING_LR = 0.5
MATRIX_LR = 0.04
DEPTH = 8
DEVICE_BATCH_SIZE = 128

torch.manual_seed(42)
torch.cuda.manual_seed(42)
torch.cuda.synchronize()
device = torch.device("cuda")
tokenizer = Tokenizer.from_directory()
model = GPT(Config(MAX_SEQ_LEN, DEPTH * ASPECT_RATIO), tokenizer.get_vocab_size()).to(device)
optimizer = Plain([dict(params=list(model.parameters()), lr=UNEMBEDDING_LR)], {})
loader = make_dataloader(tokenizer, DEVICE_BATCH_SIZE, MAX_SEQ_LEN, "train")
spent, step = 0.0, 0
while True:
    began = time.time()
    x, y, epoch = next(loader)
    model(x, y).backward()
    optimizer.step()
    model.zero_grad()
    time.sleep(0.2)
    if step > 10:
        spent += time.time() - began
    step += 1
    if step > 10 and spent >= TIME_BUDGET:
        break
val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
'''

T = 32
SECONDS = 1.5


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "its"
    folder.mkdir()
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "train.py").write_text(TRAIN)
    return folder


@pytest.fixture
def words(tmp_path: Path) -> Text:
    folder = tmp_path / "keep" / "text" / "made-up"
    folder.mkdir(parents=True)
    made = Text(folder, 2000)
    text.write(made.train, [f"number {i} follows number {i - 1}. " * 4 for i in range(200)])
    text.write(made.val, [f"number {i} follows number {i - 1}, naïvely. " * 3 for i in range(900, 940)])
    return made


@pytest.fixture
def job(checkout: Path, words: Text) -> Job:
    return Job(
        trainer="theirs", setting={}, seed=1, seconds=SECONDS, points=1, own_evaluation=False,
        code=trials.code_of(checkout, reference.ITS_FILES), text=str(words.folder),
        scored_bytes=words.scored_bytes, sequence_length=T, eval_tokens=1024, more={"reference": str(checkout)},
    )  # fmt: skip


# -- its files with other constants


def test_a_constant_is_changed_in_memory_and_said(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("A = 2**4  # tokens\nB = 0.5\nnested = [A]\n")
    before = path.read_bytes()
    module, said = rewrite.load("rewritten_for_a_test", path, Changes({"A": 8, "B": Factor(0.5)}))
    assert (module.A, module.B, module.nested) == (8, 0.25, [8])
    assert said == ["train.py: A = 2 ** 4 → 8", "train.py: B = 0.5 → 0.5 * 0.5"]
    assert path.read_bytes() == before
    assert sys.modules["rewritten_for_a_test"] is module


def test_devices_pinning_seed_and_clock(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(
        'device = "cuda"\nsaid = "on cuda"\nkeywords = dict(pin_memory=True, other=True)\n'
        "class Torch:\n    def manual_seed(self, seed):\n        self.seed = seed\n"
        "torch = Torch()\ntorch.manual_seed(42)\nstep = 5\ncounts = step > 10\n"
    )
    changes = Changes(device="cpu", seed=7, compares=(10, 0))
    module, said = rewrite.load("rewritten_for_a_test", path, changes)
    assert (module.device, module.said, module.torch.seed, module.counts) == ("cpu", "on cuda", 7, True)
    assert module.keywords == {"pin_memory": False, "other": True}
    assert said == ['train.py: "cuda" → "cpu" in 1 places', "train.py: pin_memory → False in 1 places"]


@pytest.mark.parametrize(
    ("source", "changes", "why"),
    [
        ("A = 1\n", Changes({"B": 2}), "has no constant B"),
        ("A = 1\n", Changes(compares=(10, 0)), "has no `step > 10`"),
        ("A = (\n", Changes(), "cannot be read as Python"),
    ],
)
def test_a_file_of_another_version_is_refused_in_a_line(
    tmp_path: Path, source: str, changes: Changes, why: str
) -> None:
    path = tmp_path / "train.py"
    path.write_text(source)
    with pytest.raises(UnknownFile, match=why) as raised:
        rewrite.rewrite(path, changes)
    assert "\n" not in str(raised.value)


# -- stand-ins


def test_the_stand_in_for_flash_attention_sees_its_window() -> None:
    import torch

    from benchmarks.duel.standins import windowed_attention

    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 16, 3, 8) for _ in range(3))  # [B, T, heads, head_dim]
    for before in (3, 16, -1):
        got = windowed_attention(q, k, v, causal=True, window_size=(before, 0))
        for t in (0, 5, 15):
            first = max(0, t - before) if before >= 0 else 0
            scores = torch.einsum("bhd,bkhd->bhk", q[:, t], k[:, first : t + 1]) / math.sqrt(8)
            expected = torch.einsum("bhk,bkhd->bhd", scores.softmax(-1), v[:, first : t + 1])
            assert torch.allclose(got[:, t], expected, atol=1e-5)


# -- the scored text


@given(st.lists(st.lists(st.integers(0, 9), max_size=40), min_size=1, max_size=12), st.integers(1, 16))
def test_every_token_is_scored_once_and_every_row_begins_with_bos(documents: list[list[int]], width: int) -> None:
    bos = 10
    rows = lay_out(documents, bos, width)
    assert rows.shape[1] == width + 1
    assert (rows[:, 0] == bos).all()
    targets = rows[:, 1:].ravel()
    assert [token for token in targets if token != bos] == [token for one in documents for token in one]


def test_the_scored_text_is_whole_documents_whoever_reads_it(words: Text) -> None:
    everything = list(text.documents(words.val))
    scored = words.scored()
    assert scored == everything[: len(scored)]
    size = sum(len(one.encode()) for one in scored)
    assert size <= words.scored_bytes < size + len(everything[len(scored)].encode())
    assert words.scored(0.25) == scored[: len(words.scored(0.25))]
    assert Text(words.folder, 1).scored() == everything[:1]
    assert words.heads(8) == [one[:24] for one in everything]
    assert len(Text(words.folder, 100).heads(8)) == 4


def test_text_is_gathered_by_split_and_held_against_the_preparation(tmp_path: Path) -> None:
    from corpus import open_corpus, read_unit

    source = tmp_path / "source"
    source.mkdir()
    lines = [json.dumps({"text": f"document {i}"}) for i in range(3000)]
    (source / "some.jsonl").write_text("\n".join(lines))
    corpus = open_corpus(str(source), 1, tmp_path)
    found = [pair for unit in corpus.units for pair in read_unit(unit)]
    splits = {name: {"documents": sum(split == name for split, _ in found)} for name in ("train", "val")}
    meta = {"source": str(source), "eval_tokens": 100, "splits": splits}
    made = text.gather(meta, tmp_path, tmp_path / "text")
    assert list(text.documents(made.val)) == [one for split, one in found if split == "val"]
    assert list(text.documents(made.train)) == [one for split, one in found if split == "train"]
    splits["val"] = {"documents": 1}
    with pytest.raises(DataError, match="the preparation has 1"):
        text.gather(meta, tmp_path, tmp_path / "other")


# -- trials of the made-up reference


def prepared(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "preparing"
    folder.mkdir()
    ended = trials.child("theirs", job, folder, ["--prepare"])
    assert ended.code == 0, ended.log


def test_a_trial_scores_the_reference_by_our_evaluator(job: Job, tmp_path: Path, checkout: Path) -> None:
    before = {path.name: path.read_bytes() for path in checkout.iterdir()}
    prepared(job, tmp_path)
    told = contest.sized(2, 32, 16, 4 * T, T, rate=0.5).told
    result = trials.run(replace(job, setting=told, points=4, own_evaluation=True))
    assert math.isfinite(result.bpb), result.word
    assert 0 < result.bpb < 8.1  # bytes as tokens: 8 bits guess nothing
    size = sum(len(one.encode()) for one in Text(Path(job.text), 2000).scored())
    assert result.scored_bytes == result.scored_tokens == size
    # One clock: the first step is free, the ten after it count; by its own there would be eleven steps and more.
    assert result.seconds >= SECONDS
    assert result.steps <= 8
    assert result.tokens == result.steps * 4 * T
    assert result.free_tokens == 4 * T
    assert [point[0] for point in result.curve] == sorted(point[0] for point in result.curve)
    assert 2 <= len(result.curve) <= 4
    assert result.curve[-1][1] == result.tokens
    assert result.curve[-1][2] < result.curve[0][2]
    assert math.isfinite(result.own_bpb)
    assert 0 < result.heads_bpb < 8.1
    assert result.parameters == 2 * 257 * 32
    keys = sum(min(t + 1, T // 2 + 1) for t in range(T)) / T
    assert result.flops_per_token == pytest.approx(6 * 257 * 32 + 12 * 32 * keys)
    said = "\n".join(result.said)
    for words in ("FlashAttention-3", "torch.cuda", "MAX_SEQ_LEN = 2048 → 32", '"cuda" → "cpu"', "DEPTH = 8 → 2",
                  "UNEMBEDDING_LR = 0.5 → 0.5 * 0.5", "evaluate_bpb", "its clock", "seed 42 → 1"):  # fmt: skip
        assert words in said
    after = {path.name: path.read_bytes() for path in checkout.iterdir() if path.is_file()}
    assert after == before


def test_a_trial_that_fails_has_no_score_but_a_word(job: Job, checkout: Path) -> None:
    (checkout / "train.py").write_text("print('FAIL')\nexit(1)\nstep > 10\n")
    failed = trials.run(job)
    assert math.isnan(failed.bpb)
    assert failed.word == "FAIL"
    (checkout / "train.py").write_text("step = 0\nstep > 10\n")
    unknown = trials.run(job)
    assert math.isnan(unknown.bpb)
    assert "ended without calling evaluate_bpb" in unknown.word


# -- search, meeting and what is said of them, on trials that take no time


def made_up(scores: dict[str, float], seen: list[Job]) -> trials.Run:
    """Trials whose score is their trainer's and setting's, and falls from 3 on the way."""

    def run(job: Job) -> Result:
        seen.append(job)
        name = str(job.setting.get("name", job.trainer))
        factors: Any = job.setting.get("factors", {})
        score = scores[name] + 0.1 * len(factors) + 0.001 * job.seed + 2 / job.seconds
        if not math.isfinite(score):
            return Result(math.nan, word="diverged")
        n = job.points if job.points > 1 else 0
        curve = tuple((job.seconds * (i + 1) / n, i, 3 + (score - 3) * (i + 1) / n) for i in range(n))
        facts: dict[str, Any] = {"seconds": job.seconds, "tokens": 1000, "steps": 10, "foreign": 0.02}
        return Result(score, score - 0.1, curve, free_tokens=5, **facts)

    return run


def setting(name: str) -> Setting:
    return Setting(name, {"name": name})


def entrants(job: Job, names: list[str]) -> tuple[Entrant, Entrant]:
    theirs = Entrant("reference", replace(job, seconds=60.0), [setting(name) for name in names], refine=True)
    return Entrant(OURS, replace(job, trainer="ours", seconds=60.0), [Setting("train.py")]), theirs


def test_the_search_tries_all_and_its_best_at_other_rates(job: Job, tmp_path: Path) -> None:
    seen: list[Job] = []
    run = made_up({"a": 2.0, "b": 1.8, "c": math.nan, "d": 1.9}, seen)
    _, theirs = entrants(job, ["a", "b", "c", "d"])
    found = contest.search(theirs, Trials(tmp_path, run, lambda words: None))
    assert [one.setting.name for one in found.tried][:3] == ["b", "d", "a"]
    assert [one.name for one in found.best] == ["b", "d"]
    refined = [one.setting.name for one in found.tried if "learning rates" in one.setting.name]
    assert refined == ["b, learning rates × 0.5", "b, learning rates × 2"]
    assert found.tried[-1].setting.name == "c"
    assert {one.points for one in seen} == {1}


def test_seeds_are_interleaved_and_what_was_made_is_not_made_again(job: Job, tmp_path: Path) -> None:
    seen: list[Job] = []
    run = made_up({"a": 1.9, "ours": 1.7}, seen)
    ours, theirs = entrants(job, ["a"])
    pairs = [(ours, ours.settings[0]), (theirs, theirs.settings[0])]
    rows = contest.meet(pairs, 3, Trials(tmp_path, run, lambda words: None))
    assert [(one.trainer, one.seed) for one in seen] == [
        (name, seed) for seed in (1, 2, 3) for name in ("ours", "theirs")
    ]
    again = contest.meet(pairs, 3, Trials(tmp_path, run, lambda words: None))
    assert len(seen) == 6
    assert again == rows
    changed = replace(ours, job=replace(ours.job, code="another train.py"))
    contest.meet([(changed, ours.settings[0])], 1, Trials(tmp_path, run, lambda words: None))
    assert len(seen) == 7


def rows_of(job: Job, tmp_path: Path, scores: dict[str, float]) -> list[Row]:
    ours, theirs = entrants(job, ["a", "b"])
    half = replace(ours, job=replace(ours.job, seconds=30.0))
    pairs = [(ours, ours.settings[0]), *((theirs, one) for one in theirs.settings), (half, half.settings[0])]
    return contest.meet(pairs, 2, Trials(tmp_path, made_up(scores, []), lambda words: None))


def report_of(rows: list[Row], **given: Any) -> Report:
    facts: dict[str, Any] = {
        "seconds": 60.0, "seeds": 2, "searched": (contest.Searched("reference", ()),), "rows": tuple(rows),
        "said": {"reference": ["a stand-in"]},
        "load": 0.1, "peak_flops": None, "made": 8, "minutes": 1.0, "machine": "a machine", "text": "some text",
    }  # fmt: skip
    return Report(**facts | given)


def test_the_verdict_is_against_its_best(job: Job, tmp_path: Path) -> None:
    rows = rows_of(job, tmp_path, {"ours": 1.7, "a": 1.95, "b": 1.9})
    shown = "\n".join(report.show(report_of(rows)))
    assert "ours is 0.2000 (± 0.0007) bpb below the best of reference after 60 s" in shown
    assert "on the beginnings of documents alone 0.2000 below" in shown
    # Ours at 30 s: 2 / 30 - 2 / 60 worse than at 60 s.
    assert f"{0.2 - 2 / 60:.4f} bpb below the best of reference after all of it" in shown
    assert "  a stand-in" in shown
    assert "used up to 2% of the machine: idle" in shown


def test_a_defeat_and_a_busy_machine_are_said(job: Job, tmp_path: Path) -> None:
    rows = rows_of(job, tmp_path, {"ours": 2.0, "a": 1.95, "b": 1.9})
    busy = [
        replace(row, tried=replace(row.tried, results=tuple(replace(r, foreign=0.5) for r in row.tried.results)))
        for row in rows
    ]
    shown = "\n".join(report.show(report_of(busy)))
    assert "ours is 0.1000 (± 0.0007) bpb ABOVE the best of reference" in shown
    assert "reaches that score never" in shown
    assert "NOT IDLE" in shown


def test_a_reference_without_a_score_is_no_victory(job: Job, tmp_path: Path) -> None:
    rows = rows_of(job, tmp_path, {"ours": 1.7, "a": math.nan, "b": math.nan})
    shown = "\n".join(report.show(report_of(rows)))
    assert "reference has no score" in shown
    assert "no score: diverged" in shown
    assert "bpb below" not in shown
    assert "the reference has no score at any setting" in "\n".join(report.show(report_of([])))


def test_when_a_curve_reaches_a_score() -> None:
    curve = ((10.0, 1, 2.5), (20.0, 2, 2.2), (30.0, 3, 2.0))
    tried = Tried(Setting("one"), (Result(1.9, curve=curve), Result(1.9, curve=curve)))
    # Its end, 2.0 of a part of the text, is 1.9 of the whole: 2.2 stands for 2.1.
    assert contest.reached(tried, 2.15, tried.bpb) == 20.0
    assert contest.reached(tried, 1.8, tried.bpb) == math.inf


def test_the_picture_and_the_figures_are_written(job: Job, tmp_path: Path) -> None:
    made = report_of(rows_of(job, tmp_path, {"ours": 1.7, "a": 1.95, "b": math.nan}))
    report.plot(made, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_widths_are_what_the_reference_makes_of_the_constants() -> None:
    sizes = [(4, 256)] * 3 + [(3, 192), (2, 256)] + [(2, 128)] * 4 + [(2, 64)] * 2 + [(1, 128)]
    for one, (depth, width) in zip(contest.small_settings(256), sizes, strict=True):
        told: Any = one.told
        base = told["DEPTH"] * told["ASPECT_RATIO"]
        assert told["DEPTH"] == depth
        assert -(-base // told["HEAD_DIM"]) * told["HEAD_DIM"] == width
        assert told["TOTAL_BATCH_SIZE"] == told["DEVICE_BATCH_SIZE"] * 256
    assert len(contest.small_settings(256)) >= 6
    assert contest.full_settings()[0].told == {}


# -- the command


@pytest.mark.parametrize("options", [["--seconds", "0"], ["--seeds", "0"], ["--json", "no/such/folder/file"]])
def test_bad_options_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["reference.py", "--reference", str(tmp_path), *options])
    with pytest.raises(SystemExit) as ended:
        reference.main()
    assert ended.value.code == 2


def test_a_folder_that_is_no_checkout_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reference.py", "--reference", str(tmp_path), "--keep", str(tmp_path)])
    assert reference.main() == 2
    said = capsys.readouterr().err
    assert "has no train.py" in said
    assert len(said.splitlines()) == 1


def test_compare_searches_then_meets(job: Job, tmp_path: Path, checkout: Path) -> None:
    seen: list[Job] = []
    device = reference.Device("cpu", "a CPU", None)
    settings = [setting(name) for name in "abc"]
    plan = reference.Plan(tmp_path, checkout, 60.0, 2, settings, False, replace(job, seconds=60.0), device, "text")
    run = made_up({"a": 2.0, "b": 1.9, "c": 1.8, "ours": 1.5}, seen)
    found = reference.compare(plan, run, lambda words: None)
    assert [(row.entrant, row.seconds) for row in found.rows] == [
        ("ours", 60.0), ("reference", 60.0), ("reference", 60.0), ("ours", 30.0)
    ]  # fmt: skip
    assert [row.tried.setting.name for row in found.rows[1:3]] == ["c", "b"]
    nothing = reference.compare(plan, made_up(dict.fromkeys("abc", math.nan), []), lambda words: None)
    assert len(nothing.rows) == 4  # of the same folder: what was made is not made again
    plan = replace(plan, folder=tmp_path / "anew")
    assert reference.compare(plan, made_up(dict.fromkeys("abc", math.nan), []), lambda words: None).rows == ()


def test_a_general_trainer_is_searched_too_and_has_one_row(job: Job, tmp_path: Path, checkout: Path) -> None:
    seen: list[Job] = []
    device = reference.Device("cpu", "a CPU", None)
    plan = reference.Plan(
        tmp_path, checkout, 60.0, 1, [setting("a")], False, replace(job, seconds=60.0), device, "text",
        "/a/python", (setting("x"), setting("y")),
    )  # fmt: skip
    run = made_up({"a": 2.0, "x": 2.2, "y": 2.1, "ours": 1.5}, seen)
    found = reference.compare(plan, run, lambda words: None)
    general = [row for row in found.rows if row.entrant == "litgpt"]
    assert [row.tried.setting.name for row in general] == ["y"]
    assert {one.more["python"] for one in seen if one.trainer == "general"} == {"/a/python"}
    assert all("python" not in one.more for one in seen if one.trainer != "general")
    assert "ours is 0.6000" in "\n".join(report.show(found))


@pytest.mark.parametrize(("python", "why"), [("no/such/python", "No such file"), (sys.executable, "litgpt")])
def test_a_python_without_litgpt_is_refused(python: str, why: str) -> None:
    with pytest.raises(trials.Failed, match=why):
        reference.python_with_litgpt(Path(python))


def test_the_general_trainers_schedule_is_a_cosine_over_the_budget() -> None:
    from benchmarks.duel import general

    rates = [general.schedule(0.01, share / 100) for share in range(101)]
    assert rates[0] > 0
    assert max(rates) == rates[5] == 0.01
    assert rates[100] == pytest.approx(0.001)
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_figures_can_be_written_as_json() -> None:
    said = jsonable({"a": (math.nan, 1.0), "b": np.inf})
    assert json.loads(json.dumps(said)) == {"a": [None, 1.0], "b": None}
