"""How well the bench itself worked, against its targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import box
from .. import campaign as campaigns
from ..experiment import Experiment
from ..limits import HOUR
from ..preparation import BUDGET
from ..record import Run
from .book import Book

VERIFIED, ERRORS, IDLE = 0.99, 0.01, 0.10  # shares: at least, below, below
PACE, PACE_BUDGET = 12.0, 300.0  # experiments an hour of a plain loop's best, at so many seconds a run
PAUSE = 1800.0  # seconds between two runs from which nobody was at work


@dataclass(frozen=True)
class Measure:
    """One of them. `met`: None where there is no target, or nothing to hold against it."""

    name: str
    value: str
    target: str
    met: bool | None
    told: str  # how it is counted


@dataclass(frozen=True)
class Time:
    """Of a campaign, in seconds: that runs took, and between them; pauses count in neither."""

    busy: float
    idle: float
    pauses: int

    @property
    def active(self) -> float:
        return self.busy + self.idle

    @property
    def idle_share(self) -> float:
        return self.idle / self.active if self.active > 0 else 0.0


def time_of(runs: Sequence[Run]) -> Time:
    """What the runs with a record took, by their order."""
    busy = idle = 0.0
    pauses, last = 0, None
    for run in runs:
        if run.record is None:
            continue
        gap = run.request.created - last if last is not None else 0.0
        pauses += gap >= PAUSE
        idle += max(gap, 0.0) if gap < PAUSE else 0.0
        busy += max(run.record.total_seconds, 0.0)
        last = run.request.created + run.record.total_seconds
    return Time(busy, idle, pauses)


def measures(book: Book) -> list[Measure]:
    """All of them, the most telling first."""
    decided = [one for one in book.experiments if one.decision is not None and not one.is_baseline]
    time = time_of(book.runs)
    rows = [_verified(book, decided), _errors(book), _pace(book, len(decided), time)]
    measured = [run.record for run in book.runs if run.record]
    boxed = sum(one.sandbox == box.NAME for one in measured)
    return [
        *rows,
        Measure(
            "device idle",
            f"{time.idle_share:.0%}" if time.active else "-",
            f"below {IDLE:.0%}",
            time.idle_share < IDLE if time.active else None,
            f"time between runs; {time.pauses} pauses of over {PAUSE / 60:.0f} min left out",
        ),
        Measure(
            "boxed runs",
            f"{boxed} of {len(measured)}",
            "all",
            boxed == len(measured) if measured else None,
            "trained without network, home or git",
        ),
    ]


def _verified(book: Book, decided: Sequence[Experiment]) -> Measure:
    sound = sum(is_verified(book, one) for one in decided)
    share = sound / len(decided) if decided else None
    return Measure(
        "verified results",
        f"{share:.1%}" if share is not None else "-",
        f"at least {VERIFIED:.0%}",
        share >= VERIFIED if share is not None else None,
        f"{sound} of {len(decided)} decided on runs that the bench recorded, under the campaign's pin",
    )


def is_verified(book: Book, one: Experiment) -> bool:
    """Whether all that it was decided on was recorded by the bench: each run under the campaign's pin, with its
    own files and seed; each score by the scorer, of a causal model."""
    pin = campaigns.digest(book.campaign) if book.campaign else ""
    return all(
        run.record is not None
        and run.request.pin_sha256 == pin
        and run.record.sha256 == run.request.sha256
        and run.record.seed == run.request.seed
        and (run.record.causal or run.record.val_bpb is None)
        for run in one.own
    )


def _errors(book: Book) -> Measure:
    lost = [run for run in book.runs[:-1] if run.record is None and not run.alive]
    whole = len(book.runs) + sum(name.endswith("run.json") for name in book.damaged)
    count = len({name.partition("/")[0] for name in book.damaged} | {run.path.name for run in lost})
    return Measure(
        "errors of the bench",
        f"{count / whole:.1%}" if whole else "-",
        f"below {ERRORS:.0%}",
        count / whole < ERRORS if whole else None,
        f"{count} of {whole} runs lost, or with files that cannot be read; ideas that crash do not count",
    )


def _pace(book: Book, decided: int, time: Time) -> Measure:
    pace = decided * HOUR / time.active if time.active > 0 and decided else None
    budget = BUDGET.fullmatch(book.campaign.budget) if book.campaign else None
    target = None
    if budget is not None and budget[2] != "tok" and float(budget[1]) > 0:
        target = PACE * PACE_BUDGET / float(budget[1])
    return Measure(
        "pace",
        f"{pace:.1f} experiments an hour" if pace is not None else "-",
        f"{target:.0f} an hour" if target else "none",
        pace >= target if pace is not None and target else None,
        f"{PACE:.0f} an hour at {PACE_BUDGET:.0f} s a run, for this budget",
    )
