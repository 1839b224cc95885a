"""The run that is diagnosed, and the one it is held against: what their folders tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Refused, text
from harness.campaign import Campaign
from harness.record import Run

from . import trace
from .causes import Named, Terms, rank
from .features import Facts, Features, measure

_TAIL = 200_000  # bytes of a log that are looked at


@dataclass(frozen=True)
class Diagnosis:
    """What is found of one run. `rival`: what it is held against."""

    run: Run
    features: Features
    rival: Run | None
    rival_features: Features | None
    named: tuple[Named, ...]
    terms: Terms


def choose(runs: Sequence[Run], wanted: str | None) -> Run:
    """The run numbered `wanted`, else the newest. Raises Refused."""
    if not runs:
        raise Refused("no run yet in this campaign, so there is nothing to diagnose: run an experiment first")
    if wanted is None:
        return runs[-1]
    number = Path(wanted.rstrip("/")).name.partition("-")[0]
    found = next((run for run in runs if number.isdigit() and run.request.number == int(number)), None)
    if found is None:
        raise Refused(f"no run {wanted!r:.40} in this campaign: they are numbered up to {runs[-1].name}")
    return found


def diagnose(run: Run, runs: Sequence[Run], campaign: Campaign) -> Diagnosis:
    """The run, held against the newest scored run of the commit that it builds on."""
    parent = run.request.parent
    others = [one for one in runs if one.scored and one.request.commit == parent and one.path != run.path]
    rival = others[-1] if others else None
    features = measured(run, campaign)
    theirs = measured(rival, campaign) if rival else None
    terms = Terms.of(_source(run), campaign.profile, _source(rival) if rival else "")
    return Diagnosis(run, features, rival, theirs, rank(features, theirs), terms)


def measured(run: Run, campaign: Campaign) -> Features:
    return measure(trace.read(run.path / "curve.jsonl"), facts(run, campaign))


def facts(run: Run, campaign: Campaign) -> Facts:
    """What is around the curve of `run`."""
    meta = text.read_json(Path(campaign.preparation) / "meta.json") or {}
    fed = text.read_json(run.path / "feed.json") or {}
    record = run.record
    outcome = record.outcome if record else "running" if run.alive else "interrupted"
    return Facts(
        outcome=outcome,
        reason=text.said(record.reason) if record else "",
        val_bpb=record.val_bpb if record else None,
        budget=campaign.budget,
        epochs=_number(fed.get("epochs")),
        vocab_size=int(_number(meta.get("vocab_size")) or 0) or None,
        bytes_per_token=_bytes_per_token(meta),
        cause=_cause(run.path / "run.log") if outcome == "crashed" else "",
    )


def _source(run: Run) -> str:
    try:
        return (run.path / "train.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _bytes_per_token(meta: dict[str, Any]) -> float | None:
    try:
        train = meta["splits"]["train"]
        return float(train["bytes"]) / float(train["tokens"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _cause(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            return text.last_frames(file.read().decode("utf-8", "replace"))[0].removeprefix("cause: ")
    except OSError:
        return ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
