"""A diagnosis in words: some twenty lines for a reader, or an object for a program."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from harness import show, text

from .causes import Named, Terms
from .features import Features
from .subject import Diagnosis

MOST = 3  # causes that are told
EVIDENCE = 3  # lines for each


def page(found: Diagnosis) -> list[str]:
    """At most 25 lines."""
    f, run = found.features, found.run
    lines = [show.shorten(f"run {run.name} {text.said(run.request.message)}: {_outcome(f)}")]
    if f.facts.outcome in ("crashed", "refused"):
        lines.append(f"cause: {text.said(f.facts.reason or f.facts.cause)}")
    lines.append(_curve(f))
    if found.rival is not None and found.rival_features is not None:
        lines.append(f"held against run {found.rival.name}: {_curve(found.rival_features)}")
    if found.terms.changed:
        changes = [f"{name} {old} to {new}" for name, (old, new) in found.terms.changed.items()]
        lines.append(show.shorten(f"it changed: {'; '.join(changes)}"))
    for place, named in enumerate(found.named[:MOST], 1):
        lines += _told(place, named, f, found.rival_features, found.terms)
    if len(found.named) > MOST:
        lines.append("also: " + ", ".join(named.cause.name for named in found.named[MOST:]))
    if not found.named:
        lines += _nothing(f)
    return lines


def facts(found: Diagnosis) -> dict[str, Any]:
    """The same for programs, with every feature."""
    f, r = found.features, found.rival_features
    return {
        "run": found.run.name,
        "outcome": f.facts.outcome,
        "held_against": found.rival.name if found.rival else None,
        "changed": found.terms.changed,
        "causes": [
            {
                "name": named.cause.name,
                "title": named.cause.title,
                "strength": round(named.finding.strength, 2),
                "evidence": list(named.finding.evidence),
                "experiment": found.terms.named(named.cause.experiment),
                "fix": named.cause.fix(f, r, found.terms),
            }
            for named in found.named
        ],
        "features": asdict(f),
    }


def _outcome(f: Features) -> str:
    score = f", val_bpb {f.facts.val_bpb:.6f}" if f.facts.val_bpb is not None else ""
    return f"{f.facts.outcome}{score}"


def _curve(f: Features) -> str:
    if f.first is None or f.last is None:
        return "no loss was logged" if f.not_finite is None else "no finite loss was logged"
    line = f"{f.points} points to {100 * f.progress:.0f} % of the budget, loss {_nats(f.first)} to {_nats(f.last)}"
    if f.lowest is not None and f.last - f.lowest > 0.1:
        line += f" (lowest {_nats(f.lowest)})"
    return line


def _nats(loss: float) -> str:
    return f"{loss:.3f}" if abs(loss) < 1e4 else f"{loss:.1e}" if math.isfinite(loss) else "no number"


def _told(place: int, named: Named, f: Features, r: Features | None, terms: Terms) -> list[str]:
    cause, finding = named.cause, named.finding
    return [
        f"{place}. {cause.title} ({cause.name}, {finding.strength:.2f})",
        *(f"   seen: {line}" for line in finding.evidence[:EVIDENCE]),
        f"   to tell: {terms.named(cause.experiment)}",
        f"   fix: {cause.fix(f, r, terms)}",
    ]


def _nothing(f: Features) -> list[str]:
    if f.facts.outcome in ("crashed", "refused"):
        return ["the curve shows no other cause: ask why until the answer is a line of train.py, and mend that"]
    if f.points < 24:
        return [f"{f.points} points are too few to say anything of the curve's shape"]
    return ["nothing is wrong that the curve shows: a worse score is the idea's own"]
