# mypy: ignore-errors
"""A stand-in for evaluate.py: bits per byte of the held-out text, from the saved weights."""

import json
import math
import sys
import time
from pathlib import Path

import numpy as np

import prepare
import train

started = time.monotonic()
folder = Path(sys.argv[1])
told = json.loads((folder / "work/model.json").read_text())
feed = json.loads((folder / "feed.json").read_text())
model = train.build_model({**told["config"], "seed": 0})
model.weights = dict(np.load(folder / "work/weights.pt"))
text, context = prepare.read("val.bin"), told["config"]["context"]
at = np.arange(16, len(text))  # the same bytes whatever the context
logits = model.forward(text[at[:, None] + np.arange(-context, 0)])
logits -= logits.max(1, keepdims=True)
nats = float((np.log(np.exp(logits).sum(1)) - logits[np.arange(len(at)), text[at]]).sum())
score = nats / math.log(2) / len(at)
if not math.isfinite(score):
    (folder / "score.json").write_text(json.dumps({"refused": "the logits are not finite"}))
    raise SystemExit(1)
seconds = time.monotonic() - started
result = {"val_bpb": score, "nats": nats, "bytes": len(at), "tokens": len(at), "causal": True, "seconds": seconds}
lines = {
    "val_bpb": f"{score:.6f}",
    "training_seconds": f"{feed['seconds']:.1f}",
    "total_seconds": f"{feed['seconds'] + seconds:.1f}",
    "peak_vram_mb": f"{told['peak_memory_mb']:.1f}",
    "mfu_percent": "0.00",
    "total_tokens_M": f"{feed['tokens'] / 1e6:.3f}",
    "num_steps": str(feed["steps"]),
    "num_params_M": f"{told['num_params'] / 1e6:.2f}",
    "depth": str(told["depth"]),
}
(folder / "summary.json").write_text(json.dumps(lines))
(folder / "score.json").write_text(json.dumps({**result, "parameters": told["num_params"]}))
print("---")
for key, value in lines.items():
    print(f"{key + ':':<17} {value}")
