"""What is measured on a run before anything is judged: pure numbers from its curve and the facts around it.

Shares are of the budget, 0 to 1, unless it says otherwise. A number that cannot be measured is None: no rule may
take that for a good sign or a bad one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import mul

from .trace import Row

FEWEST = 24  # points from which the shape of a curve says something
KINDS = ("matrix", "head", "embedding")  # of parameters, as prepare.py's Vitals names them
WINDOWS = 16  # of the tokens, for the pace
EARLY = 0.25  # share of the curve that is its beginning
STALL = 4.0  # times the usual step, from which a step is a stall
REPEATS = 0.5  # correlation of the losses with themselves some steps later, from which batches come again
SPIKE_MOST = 0.2  # share of the curve that a spike may last


@dataclass(frozen=True)
class Facts:
    """What surrounds a curve. `outcome`, `reason`: as in the record; `budget`: such as 300s, 100cpu, 400000tok;
    `bytes_per_token`: of the training text; `epochs`: how often it was read; `cause`: the log's last frames."""

    outcome: str = "finished"
    reason: str = ""
    val_bpb: float | None = None
    budget: str = ""
    epochs: float | None = None
    vocab_size: int | None = None
    bytes_per_token: float | None = None
    cause: str = ""


@dataclass(frozen=True)
class Spike:
    """A rise of the loss that goes back: where it begins (share of the curve), its height (nats), its points."""

    at: float
    height: float
    length: int
    lr: float | None  # scale of the rates there


@dataclass(frozen=True)
class Features:
    """See the module. Losses in nats a token."""

    facts: Facts
    points: int
    progress: float  # of the last point
    not_finite: float | None  # share of the budget at the first loss that was no finite number
    uniform: float | None  # loss of a uniform guess
    first: float | None  # the first loss
    last: float | None  # mean over the last tenth
    lowest: float | None  # of the smoothed curve
    lowest_at: float | None  # share of the curve
    noise: float | None  # standard deviation of one step's loss around its neighbours
    learned_late: float | None  # nats that the loss fell in the curve's second half
    learned_end: float | None  # nats, in its last quarter
    flat_from: float | None  # share of the curve from which the loss no longer falls, while the run goes on
    early_bump: float | None  # nats by which the loss rose above its start, in the curve's beginning
    early_drop: float | None  # nats that it had fallen by a tenth of the curve
    spikes: tuple[Spike, ...]
    repeats: int | None  # steps after which the loss goes the same way again
    lr_peak: float | None
    lr_zero_from: float | None  # share of the curve from which the scale of the rates is below a thousandth
    grad: dict[str, float]  # by kind: median norm
    grad_growth: float | None  # largest norm of the gradients beside the median of those before it
    update: dict[str, float]  # by kind: median of |update| / |weights|
    update_start: dict[str, float]  # by kind: the largest in the curve's beginning, after the first look
    silent: tuple[str, ...]  # kinds whose gradient is exactly zero
    still: tuple[str, ...]  # kinds that do not move, though they have gradients
    dead: float | None  # share of neurons without gradient, in the worst matrix, median of the second half
    score: float | None  # largest attention score
    score_first: float | None
    waited: float | None  # share of the seconds spent waiting for rows
    slow: tuple[float, float, float] | None  # longest slow stretch: from, to (shares of the curve), its pace
    stalls: int  # single steps that took STALL times the usual, of a budget in time
    stalled: float | None  # share of the budget that they took beyond the usual
    first_step: float | None  # the first interval, in usual ones
    memory_growth: float | None  # memory at the end over that at a quarter, less 1
    memory_steady: float | None  # share of the looks at which it grew
    memory_mb: float | None
    train_bpb: float | None  # bits per byte of the last tenth of the training loss
    gap: float | None  # val_bpb less train_bpb


def measure(rows: Sequence[Row], facts: Facts) -> Features:
    """The features of one run."""
    good = [row for row in rows if math.isfinite(row.loss)]
    losses = [row.loss for row in good]
    smooth = _smoothed(losses)
    shaped = len(good) >= FEWEST
    bad = next((row.progress for row in rows if not math.isfinite(row.loss)), None)
    last = _mean(losses[-max(1, len(losses) // 10) :])
    low = min(range(len(smooth)), key=smooth.__getitem__) if smooth else None
    uniform = math.log(facts.vocab_size) if facts.vocab_size and facts.vocab_size > 1 else None
    noise = _noise(losses) if shaped else None
    half, quarter, tenth = len(smooth) // 2, len(smooth) // 4, len(smooth) // 10
    bpb = last / math.log(2) / facts.bytes_per_token if last is not None and facts.bytes_per_token else None
    logged = {name: _column(good, name) for name in sorted({name for row in good for name in row.extra})}
    grads = {kind: logged[f"grad_{kind}"] for kind in KINDS if f"grad_{kind}" in logged}
    updates = {kind: logged[f"update_{kind}"] for kind in KINDS if f"update_{kind}" in logged}
    rates = [row.extra.get("lr") for row in good]
    dead = logged.get("dead", [])
    memory = [number for number in logged.get("memory_mb", []) if number > 0]
    stalls, stalled, first_step = _stalls(good, facts.budget)
    return Features(
        facts=facts,
        points=len(good),
        progress=rows[-1].progress if rows else 0.0,
        not_finite=bad if bad is not None else None,
        uniform=uniform,
        first=losses[0] if losses else None,
        last=last,
        lowest=smooth[low] if low is not None else None,
        lowest_at=low / max(1, len(smooth) - 1) if low is not None else None,
        noise=noise,
        learned_late=smooth[half] - smooth[-1] if shaped else None,
        learned_end=smooth[-1 - quarter] - smooth[-1] if shaped else None,
        flat_from=_flat_from(smooth, noise) if shaped and noise is not None else None,
        early_bump=_bump(losses) if losses else None,
        early_drop=losses[0] - smooth[tenth] if shaped else None,
        spikes=_spikes(good, noise) if shaped and noise is not None else (),
        repeats=_repeats(losses) if shaped else None,
        lr_peak=max((abs(rate) for rate in rates if rate is not None), default=None),
        lr_zero_from=_zero_from(rates),
        grad={kind: median(values) for kind, values in grads.items() if values},
        grad_growth=max((_growth(values) for values in grads.values() if len(values) > 2), default=None),
        update={kind: median(_middle(values)) for kind, values in updates.items() if len(values) > 1},
        update_start={kind: max(_beginning(values)) for kind, values in updates.items() if len(values) > 1},
        silent=tuple(kind for kind, values in grads.items() if len(values) > 2 and not any(values[2:])),
        still=tuple(kind for kind, values in updates.items() if _is_still(values, grads.get(kind, []))),
        dead=median(dead[len(dead) // 2 :]) if len(dead) > 1 else None,
        score=max(logged["score"]) if "score" in logged else None,
        score_first=logged["score"][0] if "score" in logged else None,
        waited=_waited(good),
        slow=_slow(good, facts.budget),
        stalls=stalls,
        stalled=stalled,
        first_step=first_step,
        memory_growth=memory[-1] / memory[len(memory) // 4] - 1 if len(memory) > 3 else None,
        memory_steady=_mean([after > 1.002 * before for before, after in pairwise(memory)]),
        memory_mb=memory[-1] if memory else None,
        train_bpb=bpb,
        gap=facts.val_bpb - bpb if facts.val_bpb is not None and bpb is not None else None,
    )


# ---------------------------------------------------------------------------------------------------
# The shape of the loss


def median(values: Iterable[float]) -> float:
    """The lower of the middle two where there are two. Without `statistics`, whose import takes a tool's 15 ms."""
    known = sorted(values)
    return known[(len(known) - 1) // 2]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _smoothed(losses: Sequence[float]) -> list[float]:
    """Medians of the points around some 300 places: a single batch says little, and a spike is no trend."""
    reach, stride = min(12, max(1, len(losses) // 30)), max(1, len(losses) // 300)
    return [median(losses[max(0, at - reach) : at + reach + 1]) for at in range(0, len(losses), stride)]


def _noise(losses: Sequence[float]) -> float:
    """From the differences between neighbours in the second half, outliers clipped by the median."""
    tail = losses[len(losses) // 2 :]
    return median(abs(b - a) for a, b in pairwise(tail)) / 0.954 if len(tail) > 2 else 0.0


def _flat_from(smooth: Sequence[float], noise: float) -> float | None:
    """From where on the level does not fall any more; None where it falls to the end."""
    count = len(smooth)
    blocks = [median(smooth[count * i // 10 : count * (i + 1) // 10]) for i in range(10)]
    end = min(blocks[-3:])
    flat = next((i for i in range(9) if blocks[i] - end < 0.02 + 0.25 * noise), 9)
    return flat / 10 if flat <= 6 else None


def _bump(losses: Sequence[float]) -> float:
    """By how much a run of three losses in the beginning stands above the first loss."""
    start = losses[: max(4, int(EARLY * len(losses)))]
    return max((median(start[at : at + 3]) - losses[0] for at in range(1, len(start))), default=0.0)


def _spikes(rows: Sequence[Row], noise: float) -> tuple[Spike, ...]:
    """Rises above the median of what came just before, of at least two points, that go back."""
    losses, count = [row.loss for row in rows], len(rows)
    reach = min(24, max(6, count // 15))
    found, at, least = [], reach, max(0.25, 5 * noise)
    while at < count - 2:
        level = median(losses[at - reach : at])
        if losses[at] - level < least or losses[at + 1] - level < least / 2:
            at += 1
            continue
        end = next((i for i in range(at + 1, count) if losses[i] - level < least / 2), count)
        if end < count and end - at <= SPIKE_MOST * count:
            lr = rows[at].extra.get("lr")
            found.append(Spike(at / (count - 1), max(losses[at:end]) - level, end - at, lr))
        at = end + reach
    return tuple(found)


def _repeats(losses: Sequence[float]) -> int | None:
    """The lag at which the last losses, less their trend, are like themselves; None where at none.

    Batches that come again do so: their losses differ from their neighbours' by the same amounts each time.
    """
    tail = losses[-min(300, 2 * len(losses) // 3) :]
    reach = max(8, len(tail) // 8)
    sums = [0.0, *accumulate(tail)]
    around = [(max(0, at - reach), min(len(tail), at + reach + 1)) for at in range(len(tail))]
    level = [(sums[end] - sums[start]) / (end - start) for start, end in around]
    off = [loss - trend for loss, trend in zip(tail, level, strict=True)]
    power = math.fsum(map(mul, off, off))
    if power <= len(off) * 0.02**2:  # nats: less is no pattern of batches
        return None
    found = {
        lag: math.fsum(map(mul, off, off[lag:])) / power * len(off) / (len(off) - lag)
        for lag in range(2, min(100, len(off) // 3))
    }
    best = max(found, key=found.__getitem__, default=0)
    return best if best and found[best] > REPEATS else None


# ---------------------------------------------------------------------------------------------------
# What is logged beside it


def _column(rows: Sequence[Row], name: str) -> list[float]:
    return [row.extra[name] for row in rows if name in row.extra]


def _middle(values: Sequence[float]) -> Sequence[float]:
    """Without the first look, at which much is zero, and the end, where the rates are low."""
    return values[1 : max(2, 2 + len(values) // 2)]


def _beginning(values: Sequence[float]) -> Sequence[float]:
    return values[1 : max(2, 1 + len(values) // 4)]


def _growth(values: Sequence[float]) -> float:
    """The largest of the later values beside the median of those before it."""
    best = 1.0
    for at in range(2, len(values)):
        before = median(values[1:at]) if at > 1 else values[0]
        best = max(best, values[at] / before if before > 0 else 1.0)
    return best


def _is_still(updates: Sequence[float], grads: Sequence[float]) -> bool:
    return len(updates) > 2 and not any(updates[-(len(updates) // 2) :]) and any(grads)


def _zero_from(rates: Sequence[float | None]) -> float | None:
    known = [0.0 if rate is None else rate for rate in rates]
    if len(known) < FEWEST or all(rate is None for rate in rates):
        return None
    tail = 0
    while tail < len(known) and abs(known[-1 - tail]) < 1e-3:
        tail += 1
    return 1 - tail / len(known) if tail > 0.05 * len(known) else None


# ---------------------------------------------------------------------------------------------------
# Time


def _waited(rows: Sequence[Row]) -> float | None:
    """Of the seconds between the third row and the last, those spent waiting for rows."""
    timed = [row for row in rows if "wait_s" in row.extra][2:]
    if len(timed) < 8 or (spent := timed[-1].seconds - timed[0].seconds) <= 0:
        return None
    return min(1.0, max(0.0, timed[-1].extra["wait_s"] - timed[0].extra["wait_s"]) / spent)


def _stalls(rows: Sequence[Row], budget: str) -> tuple[int, float | None, float | None]:
    """Single intervals far longer than usual: how many, their share of the budget, and the first interval."""
    took = [after.progress - before.progress for before, after in pairwise(rows)]
    if len(took) < FEWEST or not _in_time(budget):
        return 0, None, None
    usual, total = math.fsum(sorted(took)[: len(took) // 2]) / (len(took) // 2), math.fsum(took)
    if usual <= 0 or total <= 0:
        return 0, None, None
    long = [spent for spent in took[1:] if spent > STALL * usual]
    return len(long), math.fsum(spent - usual for spent in long) / total, took[0] / usual


def _in_time(budget: str) -> bool:
    """Whether the budget is one in seconds, on the wall or of the CPU; of tokens every run gets as many."""
    return budget.endswith(("s", "cpu"))


def _slow(rows: Sequence[Row], budget: str) -> tuple[float, float, float] | None:
    """The longest stretch of the tokens in which they cost half as much again as they usually do."""
    costs = [
        (after.progress - before.progress) / (after.tokens - before.tokens)
        for before, after in pairwise(rows)
        if after.tokens > before.tokens
    ]
    if len(costs) < 2 * WINDOWS or not _in_time(budget):
        return None
    size = len(costs) / WINDOWS
    means = [_mean(costs[int(i * size) : int((i + 1) * size)]) or 0.0 for i in range(WINDOWS)]
    usual = sorted(means)[WINDOWS // 3]
    if usual <= 0:
        return None
    best, at = (0, 0), 0
    while at < WINDOWS:
        end = at
        while end < WINDOWS and means[end] > 1.35 * usual:
            end += 1
        best = max(best, (end - at, at))
        at = end + 1
    length, start = best
    if length == 0:
        return None
    pace = usual * length / math.fsum(means[start : start + length])
    return start / WINDOWS, (start + length) / WINDOWS, pace
