"""The score of a run without box and audit, in one process: for where only the number counts.

Copied as evaluate.py into a run's folder, so that run.finish ends in it, beside the real one as `whole_evaluate`.
The rows, the loss and the arithmetic are the real scorer's, so the digits are the same; what is saved is two
processes and the audit, which for a short run take longer than its training.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import whole_evaluate as real  # type: ignore[import-not-found]  # it stands in the run's folder alone


class Host:
    """What `losses_of` asks of a model host, without the host's process."""

    def __init__(self, model: torch.nn.Module, shape: tuple[int, int, int]) -> None:
        self.model, self.shape, self.device = model, shape, torch.device("cpu")

    def logits(self, ids: torch.Tensor) -> Any:
        with torch.inference_mode():
            return real.checked(self.model(ids), (len(ids), *self.shape[1:])).float()


def score(run_dir: Path) -> dict[str, Any]:
    meta = real.load_meta()
    real.check_finish(run_dir, json.loads((run_dir / "feed.json").read_text()))
    real.settle_numerics(seed=0)
    host = Host(real.load_model(run_dir).eval(), (real.ROWS, meta["sequence_length"], meta["vocab_size"]))
    token_bytes = real.Tokenizer.load(Path(meta["folder"]) / "tokenizer.json").token_bytes()
    rows = real.evaluation_rows(meta)
    losses = real.losses_of(host, rows[:, :-1], rows[:, 1:])
    real.require_finite(losses)
    found = real.add_up(losses, rows[:, 1:], token_bytes)
    return {"val_bpb": found.bpb, "tokens": found.tokens, "bytes": found.bytes}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    try:
        said = score(folder)
    except real.Refused as error:
        said = {"refused": str(error)}
    (folder / "score.json").write_text(json.dumps(said))
