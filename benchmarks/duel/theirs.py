"""A trial of karpathy/autoresearch: its train.py and prepare.py from a checkout, in this process of their own.

    python -m benchmarks.duel.theirs JOB.json       a trial; what came of it goes where the job says
    python -m benchmarks.duel.theirs --prepare JOB.json     its tokenizer, by its own code, on our text
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.duel import rewrite, standins
from benchmarks.duel.rewrite import Changes, Factor, UnknownFile
from benchmarks.duel.text import Text
from benchmarks.duel.watch import FREE_STEPS, Scorer, StepWatch, Tokens, Watch
from device import device_kind, pick_device, settle_numerics

NAME = "reference_train"  # of its train.py, as a module
CACHE = "its-cache"  # folder beside the text that stands for ~/.cache/autoresearch


def load_prepare(job: dict[str, Any], device: str) -> tuple[Any, list[str]]:
    """Its prepare.py as module `prepare`, which its train.py imports; looks for data beside our text."""
    constants = {
        "CACHE_DIR": str(Path(job["text"]) / CACHE),
        "MAX_SEQ_LEN": job["sequence_length"],
        "TIME_BUDGET": job["seconds"],
        "EVAL_TOKENS": job["eval_tokens"],
    }
    path = Path(job["reference"]) / "prepare.py"
    return rewrite.load("prepare", path, Changes(constants, device=None if device == "cuda" else device))


def prepare_text(job: dict[str, Any]) -> None:
    """Puts our text where it looks for its download, and has it train its tokenizer."""
    theirs, _ = load_prepare(job, device_kind())
    text, data = Text(Path(job["text"]), 0), Path(theirs.DATA_DIR)
    data.mkdir(parents=True, exist_ok=True)
    for ours, its in ((text.train, "shard_00000.parquet"), (text.val, theirs.VAL_FILENAME)):
        if not (data / its).exists():
            (data / its).symlink_to(ours.resolve())
    theirs.train_tokenizer()


def tokens_of(tokenizer: Any) -> Tokens:
    """Its tokenizer with the byte table that its own evaluation gets wrong: raw bytes, not decoded text."""
    import numpy as np

    encoding = tokenizer.enc
    special = {encoding.encode_single_token(name) for name in encoding.special_tokens_set}
    sizes = [0 if i in special else len(encoding.decode_single_token_bytes(i)) for i in range(encoding.n_vocab)]
    return Tokens(encoding.encode_ordinary, tokenizer.get_bos_token_id(), np.array(sizes, np.int64))


def flops_per_token(model: torch.nn.Module) -> float:
    """As train.py's flops_per_token counts: 6 a weight of a matrix, 12 · width · (mean keys seen) a layer."""
    its: Any = model
    T, width = its.config.sequence_len, its.config.n_embd
    matrices = sum(one.weight.numel() for one in model.modules() if isinstance(one, torch.nn.Linear))
    keys = 0.0
    for before, _ in its.window_sizes:
        w = T if before < 0 else min(before + 1, T)
        keys += (w * (w + 1) / 2 + (T - w) * w) / T
    return float(6 * matrices + 12 * width * keys)


def trial(job: dict[str, Any]) -> dict[str, Any]:
    device = device_kind()
    ours = pick_device()
    settle_numerics(job["seed"])
    said = standins.install(device)
    said.append("memory allocator, denormals and TF32 set as for ours, in its favour")
    theirs, changed = load_prepare(job, device)
    said += [*changed, "data: its download folder holds our text; its tokenizer is trained on it by its own code"]
    steps = StepWatch(Watch(job["seconds"], job["points"]), its_batch, ours.synchronize)
    found: dict[str, Any] = {}

    def evaluated(model: Any, tokenizer: Any, batch_size: int) -> float:
        steps.stop()
        plain = getattr(model, "_orig_mod", model)  # what torch.compile wraps
        scorer = Scorer.of(Text(Path(job["text"]), job["scored_bytes"]), tokens_of(tokenizer), theirs.MAX_SEQ_LEN)
        found.update(
            steps.report(scorer, plain, ours.torch_device),
            parameters=sum(p.numel() for p in plain.parameters()), flops_per_token=flops_per_token(plain),
        )  # fmt: skip
        if job["own_evaluation"]:
            began = time.perf_counter()
            found["own_bpb"] = float(own_evaluation(model, tokenizer, batch_size))
            found["own_evaluation_seconds"] = time.perf_counter() - began
        return float(found["bpb"])

    steps.install()
    own_evaluation, theirs.evaluate_bpb = theirs.evaluate_bpb, evaluated
    said += [
        "prepare.evaluate_bpb: our evaluator (its own runs after it, for its time)",
        f"its clock: steps from the second on count, not from the {FREE_STEPS + 1}th (the first one compiles)",
        f"its seed 42 → {job['seed']}",
    ]
    constants = {name: value for name, value in job["setting"].items() if name != "factors"}
    factors = {name: Factor(by) for name, by in job["setting"].get("factors", {}).items()}
    sys.path.insert(0, job["reference"])  # as it stands there when train.py is started
    path = Path(job["reference"]) / "train.py"
    changes = Changes(
        constants | factors,
        device=None if device == "cuda" else device,
        seed=job["seed"],
        compares=(FREE_STEPS - 1, 0),
    )
    _, changed = rewrite.load(NAME, path, changes)
    if "bpb" not in found:
        raise UnknownFile(f"{path} ended without calling evaluate_bpb: it is another version than this knows")
    return {**found, "began_training": steps.watch.started_at, "said": said + changed}


def its_batch() -> int:
    return int(sys.modules[NAME].TOTAL_BATCH_SIZE)


def main() -> None:
    preparing = sys.argv[1] == "--prepare"
    job = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    os.environ.pop("AUTORESEARCH_BUDGET", None)
    try:
        if preparing:
            prepare_text(job)
            return
        found = trial(job)
    except UnknownFile as error:
        sys.exit(f"reference: {error}")
    Path(job["out"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
