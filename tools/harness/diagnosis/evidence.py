"""What speaks for each cause: a test of the features of a run, beside those of the incumbent's where there is one.

A test says how strongly the features speak for its cause, 0 to 1, and in which numbers; None where they do not.
The strengths are ranks, not probabilities. The thresholds were set on one half of the recorded runs in
tests/diagnosis, and benchmarks/diagnosis.py holds them against the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .features import Features

LEAST = 0.5  # strength from which a cause is named
EARLY = 0.3  # share of the budget: what blows up before it does so from the start
BUMP = 0.15  # nats above the first loss, in the beginning; of healthy runs it never rises
SHAPED = 24  # points from which the shape of a curve says something

# |update| / |weights| of a healthy run, where there is no incumbent to be held against: median, and at the start.
USUAL_UPDATE = {"matrix": 0.028, "head": 0.028, "embedding": 0.042}
USUAL_START = {"matrix": 0.037, "head": 0.068, "embedding": 0.085}
# Times the usual from which an update is too large or too small; alone, sizes of models scatter more.
LARGE, LARGE_ALONE = 1.6, 2.2
SMALL, SMALL_ALONE = 0.35, 0.25


@dataclass(frozen=True)
class Finding:
    """`strength`: 0 to 1; `evidence`: a line each."""

    strength: float
    evidence: tuple[str, ...]


# ---------------------------------------------------------------------------------------------------
# What several tests ask


def climbed(f: Features) -> float:
    """Nats by which the loss ended above its lowest."""
    return f.last - f.lowest if f.last is not None and f.lowest is not None else 0.0


def blew_up(f: Features) -> bool:
    """The loss climbed and did not come back, or became no number."""
    if f.not_finite is not None or "diverged" in f.facts.reason:
        return True
    return climbed(f) > max(0.5, 3 * (f.noise or 0.0))


def ended(f: Features) -> float:
    """The share of the budget at which the loss was last a number."""
    return f.not_finite if f.not_finite is not None else f.progress


def worse(f: Features, r: Features | None) -> float | None:
    """Nats by which the run ended above the incumbent."""
    return f.last - r.last if r is not None and r.last is not None and f.last is not None else None


def updates(f: Features, r: Features | None, *, start: bool = False) -> dict[str, float]:
    """By kind of parameters: the size of updates, in those of the incumbent or in usual ones."""
    ours, usual = (f.update_start, USUAL_START) if start else (f.update, USUAL_UPDATE)
    theirs = (r.update_start if start else r.update) if r is not None else {}
    return {kind: ours[kind] / (theirs.get(kind) or usual[kind]) for kind in ours}


def too_large(f: Features, r: Features | None, *, start: bool = False) -> dict[str, float]:
    limit = LARGE if r is not None else LARGE_ALONE
    return {kind: ratio for kind, ratio in updates(f, r, start=start).items() if ratio > limit}


def too_small(f: Features, r: Features | None) -> dict[str, float]:
    limit = SMALL if r is not None else SMALL_ALONE
    return {kind: ratio for kind, ratio in updates(f, r).items() if ratio < limit}


def ramp(value: float, low: float, high: float, most: float = 0.95) -> float:
    """LEAST at `low`, `most` at `high` and beyond, 0 before `low`; `high` may be below `low`."""
    share = (value - low) / (high - low)
    return LEAST + (most - LEAST) * min(share, 1.0) if share >= 0 else 0.0


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def found(strength: float, told: list[str]) -> Finding | None:
    return Finding(strength, tuple(told)) if strength >= LEAST else None


# ---------------------------------------------------------------------------------------------------
# Numbers that are none, and learning rates


def not_a_number(f: Features, r: Features | None) -> Finding | None:
    if f.not_finite is not None:
        told = [f"the loss is no finite number at {percent(f.not_finite)} of the budget"]
    elif re.search(r"\b(?:nan|inf)\b|not finite|non-?finite", f.facts.reason, re.IGNORECASE):
        told = [f"the run ended with: {f.facts.reason}"]
    else:
        return None
    if grew_before(f):
        return found(0.7, [*told, *grew_before(f)])
    return found(1.0, [*told, "nothing grew before it: an operation, not a learning rate"])


def grew_before(f: Features) -> list[str]:
    """What grew before a loss that is no number."""
    told = []
    if f.points >= 4 and climbed(f) > 1.0:
        told.append(f"before it the loss climbed by {climbed(f):.1f} nats")
    if (f.grad_growth or 1.0) > 30:
        told.append(f"before it gradients grew {f.grad_growth:.0f} times")
    return told


def rate_too_high(f: Features, r: Features | None) -> Finding | None:
    told, strength = [], 0.0
    if blew_up(f) and ended(f) < EARLY and (f.not_finite is None or grew_before(f)):
        strength = 0.9
        told.append(f"the loss blew up in the first {percent(max(ended(f), 0.01))} of the budget")
    if f.lr_peak is not None and f.lr_peak > 2.5 and (f.points < SHAPED or not brief(f)):
        strength = max(strength, 0.8)
        told.append(f"the scale of the rates goes up to {f.lr_peak:.3g}")
    if not brief(f):
        whose = "the incumbent's" if r is not None else "the usual"
        limit = LARGE if r is not None else LARGE_ALONE
        for start, when in ((False, "in the middle"), (True, "at the start")):
            for kind, ratio in too_large(f, r, start=start).items():
                strength = max(strength, ramp(ratio, limit, 3 * limit, 0.85))
                told.append(f"updates of the {kind} are {ratio:.1f} times {whose} {when}")
    more = worse(f, r)
    if more is not None and more < 0.0 and not blew_up(f):
        return None  # large steps that learn faster are no fault
    return found(strength, told)


def brief(f: Features) -> bool:
    """Whether the loss rose for a while, and the run went on learning: too much, but not all the time."""
    return f.points >= SHAPED and not blew_up(f) and ((f.early_bump or 0.0) > BUMP or bool(f.spikes))


def rate_too_low(f: Features, r: Features | None) -> Finding | None:
    if blew_up(f) or f.silent or f.still or f.lr_zero_from is not None or f.points < SHAPED:
        return None
    small, more = too_small(f, r), worse(f, r)
    if not small or (more is not None and more < 0.05):
        return None
    whose = "the incumbent's" if r is not None else "the usual"
    told = [f"updates of the {kind} are {ratio:.2f} times {whose}" for kind, ratio in small.items()]
    if more is not None:
        told.append(f"the loss ended {more:.2f} nats above the incumbent's")
    limit = SMALL if r is not None else SMALL_ALONE
    return found(ramp(min(small.values()), limit, limit / 4, 0.9), told)


def warmup_too_short(f: Features, r: Features | None) -> Finding | None:
    early = [spike.height for spike in f.spikes if spike.at < 0.15]
    height = max([f.early_bump or 0.0, *early])
    if blew_up(f):
        if ended(f) >= EARLY or (f.not_finite is not None and not grew_before(f)):
            return None
        return found(0.6, ["the loss blew up in its first steps: the same rates after a warm-up may be right"])
    if height < BUMP or f.points < SHAPED:
        return None
    told = [f"the loss rose by {height:.2f} nats in the beginning, then the run went on learning"]
    large = too_large(f, r, start=True)
    told += [f"the first updates of the {kind} are {ratio:.1f} times the usual" for kind, ratio in large.items()]
    return found(ramp(height, BUMP, 1.0), told)


def diverged(f: Features, r: Features | None) -> Finding | None:
    if not blew_up(f) or ended(f) < EARLY or (f.not_finite is not None and not grew_before(f)):
        return None
    at = (f.lowest_at or 0.0) * f.progress
    told = [f"the loss was lowest at {percent(at)} of the budget, and ended {climbed(f):.2f} nats above that"]
    if not too_large(f, r):
        told.append("until then updates were of the usual size: their direction is wrong, not their length")
    if f.grad_growth is not None and f.grad_growth > 3:
        told.append(f"gradients grew to {f.grad_growth:.0f} times their median")
    return found(0.75 if too_large(f, r) else 0.95, told)


# ---------------------------------------------------------------------------------------------------
# The shape of the curve


def spike(f: Features, r: Features | None) -> Finding | None:
    late = [one for one in f.spikes if one.at >= 0.15]
    if not late or blew_up(f):
        return None
    told = [
        f"at {percent(one.at * f.progress)} of the budget the loss rose by {one.height:.2f} nats"
        f" for {one.length} steps" + (f", at {one.lr:.3g} times the rate" if (one.lr or 0.0) > 2 else "")
        for one in late[:3]
    ]
    return found(ramp(max(one.height for one in late), 0.25, 1.0), told)


def plateau(f: Features, r: Features | None) -> Finding | None:
    if blew_up(f) or f.points < SHAPED:
        return None
    told, strength, more = [], 0.0, worse(f, r)
    if f.lr_zero_from is not None and f.lr_zero_from < 0.85:
        strength = 0.95
        told.append(f"the rates are zero from {percent(f.lr_zero_from * f.progress)} of the budget on")
    if f.still:
        strength = 0.95
        told.append(f"{' and '.join(f.still)}: gradients, but no movement in the second half")
    latest = 0.3 if more is None else 0.5 if more > 0.1 else 0.0  # alone, noise may make a tail look flat
    if f.flat_from is not None and f.flat_from <= latest and f.last is not None:
        strength = max(strength, 0.6)
        told.append(f"the loss stays near {f.last:.2f} from {percent(f.flat_from * f.progress)} of the budget on")
    return found(strength, told)


# ---------------------------------------------------------------------------------------------------
# Inside the model


def no_gradient(f: Features, r: Features | None) -> Finding | None:
    if f.silent:
        return found(1.0, [f"the gradient of every {kind} is exactly zero" for kind in f.silent])
    if f.dead is not None and f.dead >= 0.98:
        return found(0.9, ["one matrix at least gets no gradient at all"])
    return None


def dead_units(f: Features, r: Features | None) -> Finding | None:
    usual = r.dead if r is not None and r.dead is not None else 0.0
    if f.dead is None or f.dead >= 0.98 or f.dead < usual + 0.2:
        return None
    told = f"{percent(f.dead)} of a matrix's neurons get no gradient from a whole step"
    return found(ramp(f.dead, 0.2, 0.5), [told])


def attention_scores(f: Features, r: Features | None) -> Finding | None:
    usual = r.score if r is not None and r.score is not None else 0.0
    if f.score is None or f.score < max(30.0, 2.5 * usual):
        return None
    grew = f", from {f.score_first:.0f}" if f.score_first is not None and f.score > 1.5 * f.score_first else ""
    told = f"the largest attention score is {f.score:.0f}{grew}: from some 30 on a softmax picks one key"
    return found(ramp(f.score, 30.0, 80.0), [told])


# ---------------------------------------------------------------------------------------------------
# Time and memory


def starved(f: Features, r: Features | None) -> Finding | None:
    usual = r.waited if r is not None and r.waited is not None else 0.0
    if f.waited is None or f.waited < max(0.2, 2 * usual):
        return None
    return found(ramp(f.waited, 0.2, 0.4), [f"{percent(f.waited)} of the time was spent waiting for rows"])


def slowed(f: Features, r: Features | None) -> Finding | None:
    if f.slow is None:
        return None
    start, end, pace = f.slow
    if pace > 0.7 or end - start < 0.12:
        return None
    told = f"from {percent(start)} to {percent(end)} of its tokens it ran at {percent(pace)} of its own pace"
    return found(ramp(pace, 0.7, 0.5, 0.9), [told])


def recompiled(f: Features, r: Features | None) -> Finding | None:
    told, strength = [], 0.0
    usual = r.stalled if r is not None and r.stalled is not None else 0.0
    least = 0.08 if f.stalls >= 3 else 0.2
    if f.stalls >= 2 and f.stalled is not None and f.stalled > max(least, 2 * usual):
        strength = ramp(f.stalled, 0.08, 0.3)
        told.append(f"{f.stalls} single steps took over 4 times the usual, {percent(f.stalled)} of the budget")
    if f.first_step is not None and f.first_step > 20:
        strength = max(strength, 0.7)
        told.append(f"the first step took as long as {f.first_step:.0f} others: compiled after the clock began")
    return found(strength, told)


def memory_growth(f: Features, r: Features | None) -> Finding | None:
    if f.memory_growth is None or f.memory_steady is None or f.memory_growth < 0.15 or f.memory_steady < 0.6:
        return None
    told = f"memory grew by {percent(f.memory_growth)} after a quarter of the run, at almost every look"
    return found(ramp(f.memory_growth, 0.15, 0.4), [told])


def out_of_memory(f: Features, r: Features | None) -> Finding | None:
    said = f"{f.facts.reason} {f.facts.cause}".lower()
    if not re.search(r"out of memory|can't allocate memory|more memory", said):
        return None
    when = f"after {f.points} steps" if f.points else "before the first step was through"
    return found(1.0, [f"the run ended for want of memory {when}"])


# ---------------------------------------------------------------------------------------------------
# Data and loss


def gap(f: Features, r: Features | None) -> float:
    """Bits per byte by which val_bpb is above the training loss, less the incumbent's."""
    usual = r.gap if r is not None and r.gap is not None else 0.0
    return f.gap - usual if f.gap is not None and not blew_up(f) else 0.0


def read_again(f: Features) -> list[str]:
    """Signs that the run saw its text more than once."""
    told = []
    if f.facts.epochs is not None and f.facts.epochs > 1.5:
        told.append(f"the training text was read {f.facts.epochs:.1f} times")
    if f.repeats is not None:
        told.append(f"the loss repeats itself every {f.repeats} steps: the same batches again")
    return told


def overfitting(f: Features, r: Features | None) -> Finding | None:
    if gap(f, r) < 0.15 or not read_again(f):
        return None
    return found(0.97, [f"val_bpb is {gap(f, r):.2f} above the training loss in bits per byte", *read_again(f)])


def loss_bug(f: Features, r: Features | None) -> Finding | None:
    told, strength = [], 0.0
    if f.first is not None and f.uniform is not None and f.first < 0.9 * f.uniform:
        strength = 0.9
        told.append(f"the first loss is {f.first:.2f}, where knowing nothing costs {f.uniform:.2f}")
    if gap(f, r) > 0.15 and not read_again(f):
        strength = max(strength, ramp(gap(f, r), 0.15, 0.5))
        told.append(f"val_bpb is {gap(f, r):.2f} above the training loss, on text that was read once")
    if f.train_bpb is not None and f.train_bpb < 0.5:
        strength = max(strength, 0.9)
        told.append(f"the training loss comes to {f.train_bpb:.2f} bits per byte: too good to be true")
    if re.search(r"causal|look ahead|later tokens", f.facts.reason):
        strength = 1.0
        told.append(f"the scorer refused it: {f.facts.reason}")
    return found(strength, told)
