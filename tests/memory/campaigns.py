"""Campaigns made up on disk, with the files that runs leave, and none of the runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import record
from harness.record import Decision, Record, Request

PROJECT = Path(__file__).resolve().parents[2]
BASE = (PROJECT / "train.py").read_text(encoding="utf-8")


def setting(name: str, value: object, text: str = BASE) -> str:
    """train.py with a constant at another value."""
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
    lines[at] = f"{name} = {value}"
    return "\n".join(lines)


class Campaign:
    """runs/<tag> of a made-up checkout; the baseline is experiment 0."""

    def __init__(self, root: Path, tag: str = "t1", base: str = BASE) -> None:
        self.root, self.folder = root, root / "runs" / tag
        self.folder.mkdir(parents=True)
        (self.folder / "campaign.json").write_text(json.dumps({"profile": "small", "tag": tag}))
        self.incumbent = commit(0)
        self.number = 0
        self.add(base, kind="baseline", status="keep", description="baseline")

    def add(self, text: str, kind: str = "candidate", status: str = "discard", **said: Any) -> Path:
        """One more experiment of one run, decided; a keep is the incumbent from then on."""
        number, self.number = self.number, self.number + 1
        path = self.folder / f"{number:04d}-{commit(number)[:7]}"
        path.mkdir()
        (path / "train.py").write_text(text, encoding="utf-8", errors="surrogatepass")
        record.write(path, request(number, kind, self.incumbent, said.pop("message", f"exp: {number}")))
        record.write(path, measured(said.pop("outcome", "finished"), said.pop("reason", "")))
        record.write(path, decision(number, status, **said))
        if status == "keep":
            self.incumbent = commit(number)
        return path

    def touch(self, path: Path, seconds: float) -> None:
        """Let a decision look as if it was written later."""
        file = path / "decision.json"
        at = file.stat().st_mtime + seconds
        os.utime(file, (at, at))


def commit(number: int) -> str:
    return f"{number + 1:07x}".ljust(40, "0")


def request(number: int, kind: str, parent: str, message: str) -> Request:
    return Request(
        number=number,
        experiment=number,
        attempt=1,
        kind=kind,
        commit=commit(number),
        parent=parent,
        seed=number,
        message=message,
        created=1.0,
    )


def measured(outcome: str, reason: str) -> Record:
    return Record(
        outcome=outcome,
        reason=reason,
        val_bpb=2.0 if outcome == "finished" else None,
        causal=True,
        seconds=60.0,
        total_seconds=70.0,
        share=1.0,
        budget_overrun=0.0,
        tokens=1000,
        steps=10,
        peak_memory_mb=400.0,
        mfu_percent=0.0,
        num_params=1000,
        depth=2,
        seed=1,
        restarts=0,
    )


def decision(
    number: int, status: str, description: str = "an idea", note: str = "", error: float | None = 0.99
) -> Decision:
    return Decision(
        status=status,
        val_bpb=None if status == "crash" else 2.0,
        memory_gb=0.4,
        description=description,
        note=note,
        reasons=[],
        framework=[],
        composite=50,
        band="stop",
        runs=[number],
        logged_at=1.0,
        gain=-0.004,
        gain_sd=0.002,
        error=error,
    )
