# mypy: ignore-errors
"""A stand-in for evaluate.py: reads the score out of the model."""

import json
import sys
import time
from pathlib import Path

folder = Path(sys.argv[1])
model = json.loads((folder / "work/model.json").read_text())
config = model["config"]
time.sleep(config.get("slow", 0.0))
if config.get("refuse"):
    (folder / "score.json").write_text(json.dumps({"refused": config["refuse"]}))
    raise SystemExit(1)
score = config["score"] + config["noise"] * (model["seed"] % 1000 / 500 - 1)
if "--split" in sys.argv:  # held-out text: harder for all, and half of what `tuned` gains is lost on it
    assert sys.argv[sys.argv.index("--split") + 1] == "heldout"
    score += 0.1 + config.get("tuned", 0.0)
    (folder / "heldout.json").write_text(json.dumps({"heldout_bpb": score}))
    raise SystemExit(0)
memory = f"{config.get('memory', 512.0):.1f}"
lines = {"val_bpb": f"{score:.6f}", "training_seconds": "0.1", "peak_vram_mb": memory, "mfu_percent": "1.50"}
(folder / "summary.json").write_text(json.dumps(lines))
result = {"val_bpb": score, "nats": 1.0, "bytes": 1, "tokens": 1, "causal": True, "seconds": 0.01}
(folder / "score.json").write_text(json.dumps(result))
print("---")
for key, value in lines.items():
    print(f"{key}: {value}")
