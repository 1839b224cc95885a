"""The campaign's headline: what its incumbent gains over its baseline, on seeds and on text that chose neither.

    runs/<tag>/verify.json         every use of tools/verify.py: when, on which commits and seeds, what it saw
    runs/<tag>/verify/NN/          the runs of use NN, none of which is a run of the campaign

A campaign keeps what scores well on one validation text, so its own score is a little better than the truth; the
more it has looked, the more so. The held-out text stays honest as long as nothing is chosen by it. That is why
what is in here is for the person and for the page that a person reads: neither situation, verdict, status nor
anything else that decides on an experiment, or tells the researcher of one, reads it. Each use is counted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import Refused
from .preparation import BUDGET
from .text import drawn, read_json, said, write_json

FILE = "verify.json"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Scores:
    """Of one model, bits per byte."""

    val_bpb: float
    heldout_bpb: float


@dataclass(frozen=True)
class Pair:
    """Both commits on one seed; None: not run, or without a score. `failed`: why, of each that has none."""

    seed: int
    baseline: Scores | None = None
    incumbent: Scores | None = None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Use:
    """One use of tools/verify.py. `wanted`: pairs asked for; `multiple`: of the campaign's budget; `claimed`: the
    gain by the campaign's own runs, bpb, and `claimed_from` the baseline's score there."""

    number: int
    begun: float  # unix time
    ended: float | None
    wanted: int
    multiple: int
    budget: str  # of each run
    baseline: str  # commits
    incumbent: str
    claimed: float
    claimed_from: float
    pairs: tuple[Pair, ...] = ()

    @property
    def whole(self) -> list[tuple[Scores, Scores]]:
        """Baseline and incumbent of the pairs in which both have their scores."""
        return [(p.baseline, p.incumbent) for p in self.pairs if p.baseline and p.incumbent]


@dataclass(frozen=True)
class Gain:
    """A mean over pairs, bpb, positive where the incumbent is better; with a t-interval from two pairs on.
    `chance`: that a coin gives as uneven a count as `better` of `better + worse`; exact, two-sided."""

    pairs: int
    mean: float
    low: float | None
    high: float | None
    better: int
    worse: int
    chance: float


@dataclass(frozen=True)
class Results:
    """`heldout` and `validation`: gains; `optimism`: how much larger the latter is, pair by pair."""

    heldout: Gain
    validation: Gain
    optimism: Gain
    heldout_from: float  # the baseline's mean
    validation_from: float


# ---------------------------------------------------------------------------------------------------
# Statistics


def gain(differences: Sequence[float]) -> Gain:
    """What `differences`, at least one, come to."""
    n = len(differences)
    mean = math.fsum(differences) / n
    half = None
    if n > 1:
        spread = math.sqrt(math.fsum((x - mean) ** 2 for x in differences) / (n - 1))
        half = t_quantile(n - 1) * spread / math.sqrt(n)
    better, worse = sum(x > 0 for x in differences), sum(x < 0 for x in differences)
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return Gain(n, mean, low, high, better, worse, sign_chance(better, worse))


def sign_chance(better: int, worse: int) -> float:
    """That a fair coin, thrown `better + worse` times, falls at least so unevenly."""
    n, most = better + worse, max(better, worse)
    return min(1.0, 2 * math.fsum(math.comb(n, k) / 2**n for k in range(most, n + 1)))


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """What |t| stays below with that probability, for Student's t with `freedom` degrees."""
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t over the root of the freedom
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_within(middle, freedom) < confidence else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _t_within(angle: float, freedom: int) -> float:
    """P(|t| < tan(angle) * sqrt(freedom)): the finite sums for whole degrees (Abramowitz and Stegun 26.7)."""
    odd = freedom % 2
    total, term = 0.0, math.cos(angle) if odd else 1.0
    for k in range(1, freedom // 2 + 1):
        total += term
        term *= math.cos(angle) ** 2 * (2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k))
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def results(use: Use) -> Results | None:
    """None without a pair that is whole."""
    pairs = use.whole
    if not pairs:
        return None
    heldout = [before.heldout_bpb - after.heldout_bpb for before, after in pairs]
    validation = [before.val_bpb - after.val_bpb for before, after in pairs]
    return Results(
        gain(heldout),
        gain(validation),
        gain([v - h for v, h in zip(validation, heldout, strict=True)]),
        math.fsum(before.heldout_bpb for before, _ in pairs) / len(pairs),
        math.fsum(before.val_bpb for before, _ in pairs) / len(pairs),
    )


# ---------------------------------------------------------------------------------------------------
# What a use consists of


def seeds(tag: str, use: int, count: int, used: Collection[int]) -> list[int]:
    """Those of use number `use`: the first 31 bits of sha256("tag/verify/use/pair"), passing by what was `used`.
    Anyone can draw them again and nobody can choose them."""
    found: list[int] = []
    for pair in range(1, count + 1):
        again = 0
        while (seed := drawn(f"{tag}/verify/{use:02d}/{pair:02d}{'+' * again}")) in {*used, *found}:
            again += 1
        found.append(seed)
    return found


def times(budget: str, multiple: int) -> str:
    """`budget`, in the form 300s, as often as that."""
    match = BUDGET.fullmatch(budget)
    if match is None:
        raise Refused(f"the budget {budget!r} is none of 300s, 100cpu, 400000tok")
    amount = float(match[1]) * multiple
    return f"{int(amount) if amount.is_integer() else amount}{match[2]}"


def unfinished(uses: Sequence[Use], baseline: str, incumbent: str, budget: str) -> Use | None:
    """The newest use, where it asked the same and did not come to its end."""
    last = uses[-1] if uses else None
    asked = (last.baseline, last.incumbent, last.budget) if last and last.ended is None else ()
    return last if asked == (baseline, incumbent, budget) else None


# ---------------------------------------------------------------------------------------------------
# The file


def read(root: Path, tag: str) -> Use | None:
    """The newest use that has something to tell; None where there is none, or the file cannot be read."""
    try:
        found = uses(root, tag)
    except Refused:
        return None
    return next((use for use in reversed(found) if use.whole), None)


def uses(root: Path, tag: str) -> list[Use]:
    """All of them, by number. Raises Refused where the file cannot be read: they could not be counted on."""
    path = root / "runs" / tag / FILE
    if not path.exists():
        return []
    value = read_json(path) or {}
    try:
        return [_use(item) for item in value["uses"]]
    except (KeyError, TypeError, ValueError):
        raise Refused(
            f"{path} cannot be read, and it counts the looks at the held-out text: put it back as it was"
        ) from None


def write(root: Path, tag: str, every: Sequence[Use]) -> None:
    listed = []
    for use in every:
        found = results(use)
        listed.append({**asdict(use), "results": asdict(found) if found else None})
    write_json(root / "runs" / tag / FILE, {"uses": listed})


def _use(value: dict[str, Any]) -> Use:
    known = {key: item for key, item in value.items() if key in Use.__dataclass_fields__}
    return Use(**{**known, "pairs": tuple(_pair(pair) for pair in value["pairs"])})


def _pair(value: dict[str, Any]) -> Pair:
    first, second = (Scores(**value[side]) if value[side] else None for side in ("baseline", "incumbent"))
    return Pair(int(value["seed"]), first, second, tuple(map(str, value["failed"])))


# ---------------------------------------------------------------------------------------------------
# In words


def lines(use: Use) -> list[str]:
    """What a use found, for a person."""
    found, whole = results(use), len(use.whole)
    at = "" if use.multiple == 1 else f" at {use.multiple} times the budget"
    head = f"verified{at} ({use.budget} a run): {use.incumbent[:7]} against the baseline {use.baseline[:7]}, "
    told = [f"{head}{whole} of {use.wanted} pairs on fresh seeds"]
    if found is None:
        told.append("no pair is finished, so nothing can be said")
    else:
        told += [
            f"held-out text: {_told(found.heldout, found.heldout_from)}",
            f"validation:    {_told(found.validation, found.validation_from)}",
            f"claimed:       {_amount(use.claimed, use.claimed_from)} by the campaign's own runs",
            f"optimism:      {use.claimed - found.validation.mean:+.6f} of the claim did not come back on fresh "
            f"seeds; validation shows {found.optimism.mean:+.6f}{_interval(found.optimism)} more than "
            "held-out text",
        ]
        if found.heldout.low is not None and found.heldout.high is not None:
            if found.heldout.low <= 0 <= found.heldout.high:
                told.append("the interval holds zero: on held-out text the two cannot be told apart")
        else:
            told.append("one pair has no interval: nothing says how far it may be off")
    told += [f"pair {n}: {said(why, 120)}" for n, pair in enumerate(use.pairs, 1) for why in pair.failed]
    if 0 < whole < use.wanted:
        told.append(f"{use.wanted - whole} of {use.wanted} pairs are missing: the interval is that of the others")
    return [*told, f"the {ordinal(use.number)} look at the held-out text of this campaign"]


def page(use: Use | None, incumbent: str | None) -> list[str]:
    """What leads the campaign's page; `incumbent`: the commit that is it now."""
    if use is None:
        return []
    moved = use.incumbent != incumbent
    return [*lines(use), *(["note: the incumbent is another one by now"] if moved else []), ""]


def ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _told(of: Gain, before: float) -> str:
    count = f"{of.better} of {of.pairs} pairs better (sign test p = {of.chance:.2g})"
    return f"{_amount(of.mean, before)}{_interval(of)}, {count}"


def _amount(mean: float, before: float) -> str:
    share = f" ({100 * abs(mean) / before:.2f} %)" if before > 0 else ""
    return f"{abs(mean):.6f} bpb {'better' if mean >= 0 else 'worse'}{share}"


def _interval(of: Gain) -> str:
    return "" if of.low is None or of.high is None else f", 95 % from {of.low:+.6f} to {of.high:+.6f}"
