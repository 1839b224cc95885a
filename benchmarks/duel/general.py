"""A trial of a general trainer: litgpt's own pretraining (`litgpt pretrain`), a Pythia of our size on our text.

    python -m benchmarks.duel.general JOB.json      with a Python that has litgpt, tiktoken, numpy and pyarrow

It counts its budget in tokens. So that it can be held to a clock, its schedule (warm-up, then a cosine) is driven
by the share of the seconds instead of the tokens, and training ends when they are spent. It has our tokenizer and
rows laid out as they are scored; a user would have to bring both.
"""

from __future__ import annotations

import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.duel.text import Text, documents, lay_out
from benchmarks.duel.watch import Scorer, StepWatch, Tokens, Watch
from corpus import Tokenizer
from device import pick_device, settle_numerics

WARMUP = 0.05  # of the budget
FINAL = 0.1  # of the learning rate
BETAS, DECAY = (0.9, 0.95), 0.1  # as its own pretraining recipes have them


class Spent(Exception):
    """The seconds are over."""


def schedule(rate: float, progress: float) -> float:
    """litgpt's get_lr, of the share of the budget; not zero at its first step."""
    if progress < WARMUP:
        return rate * max(progress, 0.01 * WARMUP) / WARMUP
    share = min(1.0, (progress - WARMUP) / (1 - WARMUP))
    return rate * (FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * share)))


def data_module(rows: np.ndarray, seed: int) -> Any:
    """Rows int64 [N, T + 1] as litgpt wants them, in random order."""
    from torch.utils.data import DataLoader

    base: Any = import_module("litgpt.data").DataModule
    all_rows: Any = torch.from_numpy(rows)

    class Rows(base):  # type: ignore[misc]
        def connect(self, tokenizer: Any = None, batch_size: int = 1, **_: Any) -> None:
            self.batch_size = batch_size

        def train_dataloader(self) -> Any:
            order = torch.Generator().manual_seed(seed)
            return DataLoader(all_rows, self.batch_size, shuffle=True, generator=order, drop_last=True)

        def val_dataloader(self) -> Any:
            return DataLoader(all_rows[: 2 * self.batch_size], self.batch_size)

    return Rows()


def flops_per_token(model: torch.nn.Module, T: int) -> float:
    """As train.py's flops_per_token counts; every layer sees the whole context."""
    its: Any = model
    matrices = sum(one.weight.numel() for one in model.modules() if isinstance(one, torch.nn.Linear))
    return float(6 * matrices + 12 * its.config.n_embd * its.config.n_layer * (T + 1) / 2)


def trial(job: dict[str, Any]) -> dict[str, Any]:
    its: Any = import_module("litgpt.pretrain")
    device, told, T = pick_device(), job["setting"], job["sequence_length"]
    settle_numerics(job["seed"])
    text = Text(Path(job["text"]), job["scored_bytes"])
    tokenizer = Tokenizer.load(Path(job["preparation"]) / "tokenizer.json")
    tokens = Tokens(lambda one: tokenizer.encode(one).tolist(), tokenizer.bos_id, tokenizer.token_bytes())
    rows = lay_out((tokens.encode(one) for one in documents(text.train)), tokens.bos, T)
    steps = StepWatch(Watch(job["seconds"], job["points"]), lambda: told["rows"] * T, device.synchronize)
    built: list[Any] = []
    initialize = its.initialize_weights

    def initialized(fabric: Any, model: Any, **sizes: Any) -> None:
        built.append(model)
        initialize(fabric, model, **sizes)

    def by_the_clock(rate: float, *_: object) -> float:
        progress = steps.watch.spent / job["seconds"] if steps.ends else 0.0
        if progress >= 1:
            raise Spent
        return schedule(rate, progress)

    its.initialize_weights, its.get_lr = initialized, by_the_clock
    steps.install()
    dtype = device.compute_dtype
    try:
        its.setup(
            "pythia-14m",
            its.Config.from_name(
                "pythia-14m", n_layer=told["depth"], n_embd=told["width"], n_head=told["width"] // 64,
                head_size=64, n_query_groups=told["width"] // 64, intermediate_size=4 * told["width"],
                block_size=T, vocab_size=tokenizer.vocab_size, padded_vocab_size=tokenizer.vocab_size,
            ),
            out_dir=Path(job["folder"]) / "out",
            precision="bf16-mixed" if dtype == torch.bfloat16 else "32-true",
            data=data_module(rows, job["seed"]),
            train=its.TrainArgs(
                save_interval=None, log_interval=1 << 30, global_batch_size=told["rows"],
                micro_batch_size=told["rows"], max_tokens=1 << 40, max_norm=1.0, max_seq_length=T,
                lr_warmup_steps=1, tie_embeddings=False,
            ),
            eval=its.EvalArgs(interval=1 << 30, max_iters=1, final_validation=False),
            optimizer={
                "class_path": "torch.optim.AdamW",
                "init_args": {"lr": told["rate"], "betas": BETAS, "weight_decay": DECAY},
            },
            devices=1, logger_name="csv", seed=job["seed"],
        )  # fmt: skip
    except Spent:
        steps.stop()
    model = built[0].eval()

    def logits(ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.torch_device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            found: torch.Tensor = model(ids)
        return found

    scorer = Scorer.of(text, tokens, T)
    return {
        **steps.report(scorer, logits, device.torch_device),
        "parameters": sum(p.numel() for p in model.parameters()), "flops_per_token": flops_per_token(model, T),
        "began_training": steps.watch.started_at,
        "said": [
            "get_lr: the same cosine over the share of the seconds, which end training (its budget is in tokens)",
            "data: our tokenizer and text, rows of whole contexts that begin with BOS, in random order",
            f"AdamW {BETAS}, weight decay {DECAY}, warm-up {WARMUP:.0%}, final rate {FINAL:.0%}, {dtype}",
        ],
    }  # fmt: skip


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(job["out"]).write_text(json.dumps(trial(job)), encoding="utf-8")


if __name__ == "__main__":
    main()
