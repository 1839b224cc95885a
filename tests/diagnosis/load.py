"""The recorded curves, as the diagnosis takes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import text
from harness.diagnosis.features import Facts
from harness.diagnosis.trace import Row, rows

CURVES = Path(__file__).with_name("curves")


@dataclass(frozen=True)
class Recorded:
    """One recorded run: see record.py. `how`: in what way it is broken."""

    name: str
    label: str
    half: str
    how: str
    size: str
    rows: tuple[Row, ...]
    facts: Facts


def load() -> list[Recorded]:
    return [one(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(CURVES.glob("*.json"))]


def one(kept: dict[str, Any]) -> Recorded:
    columns = kept["curve"]
    items = [
        {
            name: column[at] if isinstance(column, list) else column.get(str(at))
            for name, column in columns.items()
            if isinstance(column, list) or str(at) in column
        }
        for at in range(len(columns["step"]))
    ]
    log = "\n".join(kept["log"])
    cause = text.last_frames(log)[0].removeprefix("cause: ") if kept["outcome"] == "crashed" else ""
    facts = Facts(
        outcome=kept["outcome"],
        reason=cause,
        val_bpb=kept["val_bpb"],
        budget=kept["budget"],
        epochs=kept["epochs"],
        vocab_size=kept["vocab_size"],
        bytes_per_token=kept["bytes_per_token"],
        cause=cause,
    )
    size = "small" if kept["vocab_size"] > 1000 else "mini"
    return Recorded(kept["name"], kept["label"], kept["half"], kept["how"], size, rows(items), facts)
