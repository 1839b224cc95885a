"""A trial of this checkout's train.py, whole: its feeder, its clock, its seeds; only what comes after is ours.

    python -m benchmarks.duel.ours JOB.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prepare

# isort: split
import torch

import train
from benchmarks.duel.text import Text
from benchmarks.duel.watch import Scorer, Tokens, Watch
from corpus import Tokenizer

ROOT = Path(__file__).resolve().parents[2]


def trial(job: dict[str, Any]) -> dict[str, Any]:
    run_dir = Path(job["folder"]) / "run"
    os.environ |= {
        "AUTORESEARCH_SEED": str(job["seed"]), "AUTORESEARCH_BUDGET": f"{job['seconds']:g}s",
        "AUTORESEARCH_RUN": str(run_dir), "AUTORESEARCH_STARTED": repr(time.time()),
    }  # fmt: skip
    watch = Watch(job["seconds"], job["points"])
    built: list[torch.nn.Module] = []
    found: dict[str, Any] = {}
    build, batches, finish = train.build_model, prepare.Run.batches, prepare.Run.finish

    def build_model(config: dict[str, Any]) -> Any:
        built.append(build(config))
        return built[-1]

    def watched(self: prepare.Run, *given: Any, **named: Any) -> Iterator[Any]:
        for step, microbatches in enumerate(batches(self, *given, **named)):
            if step == 0:
                watch.start()
            watch.look(self._done, lambda: weights(built[-1]))  # of the steps before this one
            yield microbatches

    def finished(self: prepare.Run, model: torch.nn.Module, config: dict[str, Any], **facts: float) -> None:
        self.device_info.synchronize()
        watch.stop()
        feeder, self._feeder = self._feeder, None
        try:
            finish(self, model, config, **facts)  # as under the runner: it saves and ends
        except SystemExit as end:
            if end.code:
                raise
        self._channel.socket.close()
        if feeder is not None:
            feeder.wait()
        fed = json.loads((run_dir / "feed.json").read_text())
        plain = getattr(model, "_orig_mod", model).eval()
        scorer = Scorer.of(Text(Path(job["text"]), job["scored_bytes"]), tokens_of(), self.sequence_length)
        found.update(scorer.report(plain, self.device, weights(plain), watch, fed["tokens"]))
        found.update(
            seconds=watch.spent, tokens=fed["tokens"], steps=fed["steps"], free_tokens=0, free_seconds=0.0,
            parameters=sum(p.numel() for p in plain.parameters()),
            flops_per_token=facts.get("flops_per_token", 0.0),
        )  # fmt: skip

    train.build_model = build_model
    prepare.Run.batches = watched  # type: ignore[method-assign]
    prepare.Run.finish = finished  # type: ignore[method-assign, assignment]
    train.main()
    if job["own_evaluation"]:
        began = time.perf_counter()
        subprocess.run([sys.executable, str(ROOT / "evaluate.py"), str(run_dir)], check=True)
        found["own_evaluation_seconds"] = time.perf_counter() - began
        found["own_bpb"] = json.loads((run_dir / "score.json").read_text())["val_bpb"]
    return {**found, "began_training": watch.started_at, "said": []}


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def tokens_of() -> Tokens:
    tokenizer = Tokenizer.load(Path(prepare.load_meta()["folder"]) / "tokenizer.json")
    return Tokens(lambda text: tokenizer.encode(text).tolist(), tokenizer.bos_id, tokenizer.token_bytes())


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = trial(job)
    Path(job["out"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
