"""Racing: a run whose curve is hopeless is stopped, so that its time goes to another idea.

At a few shares of the budget the training loss is held beside the incumbent's at the same share. The difference,
turned into bpb, and shrunk by the share because what is behind early is caught up in part, is a forecast of the
gain. How far such forecasts are off is learned from the campaign's own finished runs, wide while they are few. A
run is hopeless when, given its forecast and what ideas are worth here, the probability that its final score would
be worth a second look is below HOPELESS.

One run in CONTROLS is never stopped, whatever its curve: of those that would have been, each that turns out
worth a look is a false kill, and widens what forecasts are believed to be off by.

A curve is compared only where it can be: at equal tokens a step and equal learning-rate scale at that share
(both as logged), and not when the change is one of the loss itself.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import choice
from .belief import Mixture
from .curve import Point
from .knowledge import Knowledge
from .levels import Score
from .verdict import RUNS_MOST, SIMPLER_MOST

SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # of the budget, where curves are held side by side
TRAIL = 0.08  # share of the budget before each, over which losses are averaged
FEWEST = 4  # steps in it, below which one batch's luck would say too much
HOPELESS = 0.003  # probability of a second look below which a run is stopped
CONTROLS = 8
CHECK = ("share", "loss", "lr", "limit")
# How far a forecast at share s is off, before any was checked: (A sigma)² (1 - s) + (B units)² (1 - s)². Wide: on
# 37 edits in `small` (a wider train.py, 400,000 tokens) it was 0.0075 bpb at half of the budget, sigma 0.0087.
SPREAD_SIGMAS, SPREAD_UNITS = 1.5, 5.0
SPREAD_FREEDOM = 4.0  # forecasts that this counts as
NEAR = 12.0  # sigmas: forecasts of runs that ended further off say nothing about those that might be kept
WIDER = 0.5  # of the spread, for each false kill
SAME_STEP, SAME_RATE = 0.01, 0.02  # shares by which tokens a step and learning-rate scale may differ
# What in a changed line says that it is the loss, or what it is averaged over, that changes.
OTHER_LOSS = re.compile(r"loss|softcap|entropy|smooth|sequence_length|\bbatches\(", re.IGNORECASE)


@dataclass(frozen=True)
class Forecast:
    """What the curve of a finished run foretold (bpb, one per share, None where nothing could be compared), and
    the gain that was measured at the end."""

    foretold: tuple[float | None, ...]
    gain: float


@dataclass(frozen=True)
class Check:
    """At `share` of the budget: the incumbent's training `loss` (nats a token) and learning-rate scale `lr`, and
    the `limit` of loss above which a run is hopeless."""

    share: float
    loss: float
    lr: float
    limit: float


@dataclass(frozen=True)
class Race:
    """All that the runner needs. `rate`: bpb a nat; `step`: the incumbent's tokens a step; `expected`: val_bpb
    of the incumbent on the run's seed; `control`: it is not stopped; `stranger`: why its curve cannot be
    compared; `rival`: folder of the incumbent's run whose curve it is."""

    checks: tuple[Check, ...]
    rate: float
    step: float
    expected: float
    control: bool
    stranger: str = ""
    rival: str = ""


@dataclass(frozen=True)
class Hopeless:
    """A run that fell behind: where, and the forecast of its gain (bpb)."""

    share: float
    foretold: float

    @property
    def reason(self) -> str:
        """Why it is stopped."""
        return f"by its curve it would end {-self.foretold:.4f} bpb behind the incumbent"


def is_control(tag: str, number: int) -> bool:
    """Whether run `number` is finished whatever its curve; nobody chooses which."""
    return hashlib.sha256(f"control/{tag}/{number:04d}".encode()).digest()[0] % CONTROLS == 0


def changes_loss(lines: Sequence[str]) -> bool:
    """Whether changed `lines` of train.py are about the loss, so that its curve says something else."""
    return any(OTHER_LOSS.search(line) for line in lines)


def spreads(sigma: float, unit: float, history: Sequence[Forecast], false_kills: int) -> tuple[float, ...]:
    """How far a forecast is off (standard deviation, bpb) at each of SHARES. `unit`: of the effects' ladder."""
    found = []
    near = [run for run in history if abs(run.gain) <= NEAR * sigma]
    for at, share in enumerate(SHARES):
        rest = 1 - share
        before = (SPREAD_SIGMAS * sigma) ** 2 * rest + (SPREAD_UNITS * unit * rest) ** 2
        errors = [(run.gain - told) ** 2 for run in near if (told := run.foretold[at]) is not None]
        variance = (SPREAD_FREEDOM * before + math.fsum(errors)) / (SPREAD_FREEDOM + len(errors))
        found.append(math.sqrt(variance) * (1 + WIDER * false_kills))
    return tuple(found)


def second_look(known: Knowledge, seed: int, runs_left: int) -> float:
    """The least gain (bpb) that a first run on `seed` must measure, not to be discarded at once; by halving."""
    variance = known.measured([Score(seed, known.level.mean)]).variance
    spread = math.sqrt(variance)
    low, high = 0.0, 6 * spread
    for _ in range(6):
        middle = (low + high) / 2
        belief = known.prior.given(middle, variance)
        told = choice.choose(belief, 0.0, known.allowed, known.sigma**2, known.run_value, runs_left)
        if told.status == "discard":
            low = middle
        else:
            high = middle
    return low


def limits(known: Knowledge, seed: int, look: float, spread: Sequence[float]) -> tuple[float, ...]:
    """The forecast (bpb) at each of SHARES below which a run on `seed` is hopeless. `look`: see second_look.

    However sure the forecasts are, what ends as good as the incumbent is not hopeless: it may be simpler.
    """
    variance = known.measured([Score(seed, known.level.mean)]).variance
    prior = known.prior
    final = Mixture(prior.weights, prior.means, tuple(one + variance for one in prior.variances))
    found = []
    for width in spread:
        low, high = look - 12 * width, look
        after = final.outlook(width**2, look)
        for _ in range(8):
            middle = (low + high) / 2
            if after(middle)[1] < HOPELESS:
                low = middle
            else:
                high = middle
        found.append(min(low, -known.sigma))
    return tuple(found)


def set_up(
    known: Knowledge,
    seed: int,
    spread: Sequence[float],
    incumbent: Sequence[Point],
    bytes_per_token: float,
    changed: Sequence[str],
    fewer_lines: bool,
    control: bool,
    rival: str,
) -> Race:
    """The race of a candidate's first run, on `seed`. `spread`: see spreads; `incumbent`: the curve that it is
    held against; `changed`: lines of train.py."""
    enough = second_look(known, seed, RUNS_MOST - 1)
    if fewer_lines:  # which are kept though they are a little worse
        enough = min(enough, -SIMPLER_MOST * known.sigma)
    return race(
        incumbent,
        1 / (math.log(2) * bytes_per_token),
        limits(known, seed, enough, spread),
        known.measured([Score(seed, 0.0)]).gain,
        control,
        "the change is about the loss" if changes_loss(changed) else "",
        rival,
    )


def race(
    incumbent: Sequence[Point],
    rate: float,
    limit: Sequence[float],
    expected: float,
    control: bool,
    stranger: str,
    rival: str,
) -> Race:
    """The race against the incumbent's curve. `rate`: bpb a nat a token; `limit`: from `limits`."""
    checks = []
    for share, least in zip(SHARES, limit, strict=True):
        loss = trailing(incumbent, share)
        scale = rate_at(incumbent, share) if loss is not None else None
        if loss is not None and scale is not None:
            checks.append(Check(share, loss, scale, loss - least / (rate * share)))
    step = step_of(incumbent) if incumbent else math.nan
    return Race(tuple(checks), rate, step, expected, control, stranger, rival)


def look(points: Sequence[Point], against: Race) -> tuple[tuple[float | None, ...], Hopeless | None]:
    """The forecasts that a curve gives so far, one for each of SHARES, and where it first was hopeless."""
    told: dict[float, float] = {}
    hopeless = None
    for check in () if against.stranger else against.checks:
        loss = trailing(points, check.share)
        scale = rate_at(points, check.share) if loss is not None else None
        if loss is None or scale is None or not math.isclose(scale, check.lr, rel_tol=SAME_RATE, abs_tol=1e-6):
            continue
        if not math.isclose(step_of(points), against.step, rel_tol=SAME_STEP):
            continue
        told[check.share] = (check.loss - loss) * against.rate * check.share
        if loss > check.limit and hopeless is None:
            hopeless = Hopeless(check.share, told[check.share])
    return tuple(told.get(share) for share in SHARES), hopeless


def trailing(points: Sequence[Point], share: float) -> float | None:
    """Mean training loss just before `share` of the budget; None where the curve has not been, has a hole, or
    too few steps."""
    if not points or points[-1].progress < share:
        return None
    near = [p.loss for p in points if share - TRAIL < p.progress <= share]
    mean = math.fsum(near) / len(near) if len(near) >= FEWEST else math.nan
    return mean if math.isfinite(mean) else None


def rate_at(points: Sequence[Point], share: float) -> float | None:
    """The learning-rate scale at `share` of the budget, between the steps around it; None where it is not
    logged."""
    after = next((i for i, p in enumerate(points) if p.progress >= share), 0)
    left, right = points[max(after - 1, 0)], points[after]
    if left.lr is None or right.lr is None or right.progress <= left.progress:
        return None
    part = (share - left.progress) / (right.progress - left.progress)
    return left.lr + part * (right.lr - left.lr)


def step_of(points: Sequence[Point]) -> float:
    """Tokens a step, over the whole curve so far."""
    first, last = points[0], points[-1]
    return (last.tokens - first.tokens) / (last.step - first.step) if last.step > first.step else math.nan


def read(value: dict[str, Any]) -> Race | None:
    """A race from its JSON; None where it is not one."""
    try:
        checks = tuple(Check(**{key: float(check[key]) for key in CHECK}) for check in value["checks"])
        rate, step, expected = (float(value[name]) for name in ("rate", "step", "expected"))
        control, stranger, rival = bool(value["control"]), str(value["stranger"]), str(value["rival"])
        return Race(checks, rate, step, expected, control, stranger, rival)
    except (KeyError, TypeError, ValueError):
        return None
