"""What checked the incumbent's number: every layer has holes, and a number is as good as all that it passed."""

from __future__ import annotations

from dataclasses import dataclass

from .. import box
from ..experiment import Incumbent
from ..framework import OVERRUN_MARKED
from ..headline import Use


@dataclass(frozen=True)
class Layer:
    """`held`: True passed, False failed, None not applied (yet)."""

    name: str
    held: bool | None
    told: str


def of(best: Incumbent, disagreeing: dict[str, str], use: Use | None) -> list[Layer]:
    """The layers of `best`. `disagreeing`: its runs whose files do not agree, and why; `use`: of the held-out
    text, where this page may show that."""
    measured = [(run.request.beat, run.record) for run in best.runs if run.record]
    records = [one for _, one in measured]
    boxed = sum(one.sandbox == box.NAME for one in records)
    overrun = max((one.budget_overrun for one in records), default=0.0)
    audited = sum(beat is None or (one.val_bpb or 0.0) < beat for beat, one in measured)
    count, error = len(records), best.decision.error
    seeds = len({one.seed for one in records})
    layers = [
        Layer("guard", True, "train.py was read before it ran, and passed"),
        Layer("box", boxed == count, f"{boxed} of {count} runs had no network, home, git or validation text"),
        Layer("clock", overrun <= OVERRUN_MARKED, f"kept by the feeder; {overrun:+.1%} of the budget at most"),
        Layer("scorer", all(one.causal for one in records), "computed from logits by a process of the bench"),
        Layer("audit", audited == count, f"causality and independence probed in full, {audited} of {count} runs"),
        Layer("records", not disagreeing, "; ".join(f"run {n}: {why}" for n, why in disagreeing.items())
              or "agree with git, the campaign's pin and the scorer's word"),
        Layer("seeds", seeds > 1 or None, f"{seeds} seed{'s' * (seeds != 1)}"),
    ]  # fmt: skip
    if error is not None:
        layers.append(Layer("luck", error < 0.5, f"{error:.1%} chance that it gained nothing, when it was kept"))
    if use is not None:
        same = use.incumbent == best.commit
        told = f"{len(use.whole)} pairs on held-out text" if same else "of an earlier incumbent"
        layers.append(Layer("held-out", True if same and use.whole else None, told))
    else:
        layers.append(Layer("held-out", None, "tools/verify.py shows what it is worth on text that chose nothing"))
    return layers
