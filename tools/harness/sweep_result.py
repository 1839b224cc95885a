"""What came of a sweep: a row for each value, and the winner.

The winner is no minimum over the rows: the lowest of several noisy scores is lower than it deserves. It is the
value that was kept last, each keep having been decided by the verdict of any experiment (confirmed where one run
was too close to tell, within the error that the campaign's keeps may have together). What is said of its level is
what is believed of the incumbent: the prior takes off what was luck of the draw (the winner's curse).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import sweep
from .belief import Normal
from .experiment import Experiment
from .ledger import clean
from .situation import Situation
from .sweep import Plan, Point
from .text import said

UNDECIDED = "running"
CAUSE = 120  # characters of why a run crashed


@dataclass(frozen=True)
class Row:
    """One value. `val_bpb`: mean over `runs`, `sd` its noise; `gain`: over the incumbent of its turn, as believed,
    None without a comparison. `status`: keep, discard, crash or running; `why`: in one line."""

    values: Point
    experiment: int
    status: str
    val_bpb: float | None
    sd: float | None
    runs: int
    memory_gb: float
    gain: Normal | None
    why: str


@dataclass(frozen=True)
class Result:
    """All of a sweep. `before`: the incumbent it began at, None where its runs are gone. `winner`: the value that
    was kept last and still is; `level`: its val_bpb as believed, where it is still the incumbent."""

    plan: Plan
    rows: tuple[Row, ...]
    before: Row | None
    winner: Row | None
    level: Normal | None

    @property
    def failed(self) -> bool:
        """Whether no value got anywhere."""
        return bool(self.rows) and all(row.status == "crash" for row in self.rows)


def result(now: Situation, plan: Plan) -> Result:
    """What came of the sweep so far."""
    sigma = now.noise.sigma if now.noise else None
    rows = tuple(_row(point, one, sigma) for point, one in sweep.tried(plan, now.experiments))
    start = next((one for one in now.experiments if one.commit == plan.incumbent), None)
    winner = next((row for row in reversed(rows) if row.status == "keep"), None)
    best, known = now.incumbent, now.learned.known if now.learned else None
    is_best = winner is not None and best is not None and best.experiment.number == winner.experiment
    return Result(
        plan,
        rows,
        _row(plan.before, start, sigma) if start else None,
        winner,
        known.level if is_best and known else None,
    )


def _row(point: Point, experiment: Experiment, sigma: float | None) -> Row:
    decision = experiment.decision
    if decision is None:
        return Row(point, experiment.number, UNDECIDED, None, None, len(experiment.own), 0.0, None, "")
    known = decision.gain is not None and decision.gain_sd is not None
    reasons = decision.reasons
    why = reasons[1] if known and len(reasons) > 1 else reasons[0] if reasons else ""
    if decision.status == "crash" and experiment.reason:
        why = said(experiment.reason, CAUSE)
    return Row(
        point,
        experiment.number,
        decision.status,
        decision.val_bpb,
        sigma / math.sqrt(len(decision.runs)) if sigma is not None and decision.val_bpb is not None else None,
        len(decision.runs),
        decision.memory_gb,
        Normal(decision.gain, decision.gain_sd) if known else None,  # type: ignore[arg-type]  # both are known
        clean(why),
    )


# ---------------------------------------------------------------------------------------------------
# As text


def lines(found: Result) -> list[str]:
    """The table, the winner, and how they are to be read."""
    plan = found.plan
    if not found.rows:
        return [f"sweep {plan.name}: {plan.constants}, no value was tried"]
    heads = [axis.name for axis in plan.axes]
    cells = [[*heads, "val_bpb", "±", "runs", "GB", "gain", "±", "verdict"]]
    if found.before:
        cells.append([*_cells(found.before)[:-3], "", "", "incumbent"])
    cells += [_cells(row) for row in found.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first = len(heads)
    table = [
        "  ".join(
            cell.ljust(width) if at < first or at == len(line) - 1 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    name = f"sweep {plan.name}: {len(found.rows)} of {plan.size} {'trials' if plan.is_search else 'values'}"
    return [f"{name}{' (stopped)' if plan.why == sweep.STOPPED else ''}", *table, *_remarks(found)]


def _cells(row: Row) -> list[str]:
    score = "-" if row.val_bpb is None else f"{row.val_bpb:.6f}"
    sd = "" if row.sd is None else f"{row.sd:.4f}"
    gain, spread = ("", "") if row.gain is None else (f"{row.gain.mean:+.4f}", f"{row.gain.sd:.4f}")
    memory = f"{row.memory_gb:.2f}" if row.memory_gb else "-"
    why = f"{row.status}  {row.why}" if row.status != "keep" else f"keep  experiment {row.experiment:04d}"
    return [*row.values, score, sd, str(row.runs), memory, gain, spread, why.rstrip()]


def _remarks(found: Result) -> list[str]:
    plan, winner, remarks = found.plan, found.winner, []
    if winner is None:
        so_far = "" if plan.why == sweep.DONE else " so far"
        remarks.append(f"winner: none{so_far}; no value beats {sweep.told(plan, plan.before)} beyond the noise")
    else:
        runs = f"{winner.runs} run{'s' * (winner.runs != 1)}"
        told = f"winner: {sweep.told(plan, winner.values)} (experiment {winner.experiment:04d}, {runs})"
        if found.level:
            told += f"; its true val_bpb is believed {found.level.mean:.6f} ± {found.level.sd:.4f}, luck taken off"
        remarks.append(told)
    limit = plan.memory_limit_gb
    if limit is not None and (over := sum(_is_over(row, limit) for row in found.rows)):
        these = "1 value" if over == 1 else f"{over} values"
        remarks.append(f"{these} needed more than {limit:g} GB; larger ones were tried all the same")
    if len(found.rows) > 1:
        remarks.append("gain: as believed, over the incumbent of its turn; after a keep, over that keep")
    return remarks


def _is_over(row: Row, limit: float) -> bool:
    return row.status == "discard" and row.memory_gb > limit
