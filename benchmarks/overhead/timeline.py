"""From stamps to spans: where the seconds between the command and its record went."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.overhead.stamps import Stamp

# What ends at each moment, in the order of a run. Feeder and hosts run beside trainer and scorer: where somebody
# waits for one of them, that is in the waiting one's span.
PATH = (
    ("command, guard, snapshot, box", "trainer begin"),
    ("trainer: Python, prepare.py and numpy", "trainer end"),
    ("trainer: torch and train.py", "imports end"),
    ("trainer: device, seeds, feeder", "start_run end"),
    ("trainer: model", "build_model end"),
    ("trainer: optimizer", "build_optimizer end"),
    ("trainer: compile and warm up", "first_rows begin"),
    ("trainer: ring and first rows", "clock_start end"),
    ("training", "finish begin"),
    ("trainer: save, weights' hash, clock", "clock_stop end"),
    ("trainer: end", "finish end"),
    ("runner: from trainer to scorer", "scorer begin"),
    ("scorer: Python, torch", "scorer end"),
    ("scorer: first host and its model", "model-host end"),
    ("scorer: scoring", "scoring-host end"),
    ("scorer: second host's model", "model-audit end"),
    ("scorer: audit", "scoring-audit end"),
    ("scorer: score and summary", "evaluate end"),
    ("runner: end of the scorer, record", "record"),
)
INSIDE = {"training"}  # the budget itself


@dataclass(frozen=True)
class Span:
    """Seconds of wall time, and CPU-seconds of all the run's processes meanwhile."""

    name: str
    wall: float
    cpu: float


def spans(
    began: float, stamps: Sequence[Stamp], recorded: float, spent: Sequence[tuple[float, float]]
) -> list[Span]:  # fmt: skip
    """The run from `began` to `recorded` (unix times), without gaps: what lacks its stamp is part of the next.

    `spent`: CPU-seconds of the run until a time, as (time, CPU-seconds), both growing."""
    first = {stamp.name: stamp.time for stamp in reversed(stamps)} | {"record": recorded}
    last, found = began, []
    for name, moment in PATH:
        if (now := first.get(moment)) is not None:
            found.append(Span(name, now - last, spent_at(spent, now) - spent_at(spent, last)))
            last = now
    return found


def spent_at(spent: Sequence[tuple[float, float]], moment: float) -> float:
    """CPU-seconds until `moment`, between two looks in proportion."""
    after = bisect_right(spent, (moment, math.inf))
    if after == 0 or after == len(spent):
        return spent[min(after, len(spent) - 1)][1] if spent else 0.0
    (t0, c0), (t1, c1) = spent[after - 1], spent[after]
    return c0 + (c1 - c0) * (moment - t0) / (t1 - t0)


def overhead(found: Sequence[Span], of: str = "wall") -> float:
    """Seconds beside the budget."""
    return float(sum(getattr(span, of) for span in found if span.name not in INSIDE))


def median(runs: Sequence[Sequence[Span]]) -> list[Span]:
    """Span by span, of runs of one kind; a span that one of them lacks is left out."""
    by_name = [{span.name: span for span in run} for run in runs]
    names = [name for name, _ in PATH if all(name in run for run in by_name)]
    together = [[run[name] for run in by_name] for name in names]
    return [
        Span(same[0].name, statistics.median(s.wall for s in same), statistics.median(s.cpu for s in same))
        for same in together
    ]
