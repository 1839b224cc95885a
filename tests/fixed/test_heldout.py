"""The held-out text is scored as the validation text is, and leaves the run's own score alone."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import prepare
from corpus import Tokenizer
from tests.fixed.conftest import ROOT
from tests.fixed.test_evaluate import make_run, run_evaluate


def test_the_score_of_a_unigram_model_by_hand(tiny, tmp_path):
    meta = prepare.load_meta()
    bias = np.random.default_rng(0).normal(size=meta["vocab_size"]).astype(np.float32)
    run = make_run(tmp_path / "run", bias=bias)
    assert run_evaluate(run).returncode == 0
    before = {name: (run / name).read_bytes() for name in ("score.json", "summary.json")}
    command = [sys.executable, str(ROOT / "evaluate.py"), str(run), "--split", "heldout", "--beat", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {name: (run / name).read_bytes() for name in before} == before
    found, own = json.loads((run / "heldout.json").read_text()), json.loads(before["score.json"])
    rows = prepare.evaluation_rows(meta, "heldout")
    assert rows.size <= meta["splits"]["heldout"]["tokens"] + len(rows), "no text twice"
    targets = rows[:, 1:].flatten()
    targets = targets[targets != meta["bos_id"]]
    wide = bias.astype(np.float64)
    bits = (np.log(np.exp(wide).sum()) - wide[targets]) / math.log(2)
    token_bytes = Tokenizer.load(tiny / "tokenizer.json").token_bytes()
    assert found["heldout_bpb"] == pytest.approx(bits.sum() / token_bytes[targets].sum(), rel=1e-6)
    assert found["tokens"] == len(targets) and found["heldout_bpb"] != own["val_bpb"]
    assert "val_bpb" not in found
    # What the model does with other text was looked at in full on the validation text.
    assert found["audit"]["probes"] < own["audit"]["probes"]


def test_the_texts_are_two(tiny):
    meta = prepare.load_meta()
    rows = [prepare.evaluation_rows(meta, split) for split in ("val", "heldout")]
    assert not {row.tobytes() for row in rows[0]} & {row.tobytes() for row in rows[1]}


def test_a_model_that_is_refused_has_no_held_out_score(tiny, tmp_path):
    run = make_run(tmp_path / "run", "return plain + math.nan")
    command = [sys.executable, str(ROOT / "evaluate.py"), str(run), "--split", "heldout"]
    assert subprocess.run(command, capture_output=True).returncode == 1
    assert json.loads((run / "heldout.json").read_text()) == {"refused": "logits are not finite"}
    assert not (run / "score.json").exists()
