"""The tables and the picture of a comparison."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.duel.contest import Row, Searched, Tried, best_row, reached
from benchmarks.duel.trials import Result

OURS = "ours"
IDLE = 0.10  # of the machine that others may use while it still counts as idle


@dataclass(frozen=True)
class Report:
    """`seconds`: of a trial; `load`: the machine's before the first one; `peak_flops`: the device's, if known."""

    seconds: float
    seeds: int
    searched: tuple[Searched, ...]
    rows: tuple[Row, ...]
    said: dict[str, list[str]]  # stand-ins and changes, by entrant
    load: float
    peak_flops: float | None
    made: int
    minutes: float
    machine: str
    text: str

    @property
    def foreign(self) -> float:
        """The share of the machine that others used while the trials of the table ran, at the worst."""
        return max((result.foreign for row in self.rows for result in row.tried.results), default=0.0)


def number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def show(report: Report) -> list[str]:
    lines: list[str] = []
    for searched in report.searched:
        lines.append(f"{searched.entrant}: settings tried, one seed of {report.seconds:g} s each")
        lines += [*map(_line, searched.tried), ""]
    lines += _table(report)
    lines += ["", *_verdicts(report), ""]
    for entrant, said in report.said.items():
        lines += [f"put in or changed at run time for {entrant}:", *(f"  {line}" for line in said), ""]
    lines += [
        "clock: wall seconds from the first training step, for all; what compiles or warms up comes before it",
        f"scored: {report.text}; evaluate.py's arithmetic, byte lengths from each tokenizer's raw bytes",
        "heads: of the beginning of every validation document alone, as much as fits into a context; the "
        "reference trains on little else, since it drops the rest of what it cuts",
        "curves: copies of the weights made while training, scored after it on the first quarter of that text",
        _idle(report),
        f"{report.made} trials made in {report.minutes:.0f} minutes, the others were there; {report.machine}",
    ]
    return lines


def _line(tried: Tried) -> str:
    result = tried.results[0]
    if not math.isfinite(tried.bpb):
        return f"  {'-':>8}  {tried.setting.name}: {result.word}"
    return f"  {tried.bpb:8.4f}  {tried.setting.name} ({result.steps} steps, start-up {result.startup:.0f} s)"


def _table(report: Report) -> list[str]:
    speed = "MFU %" if report.peak_flops else "GFLOP/s"
    head = (
        f"{'entrant':12}{'budget':>8}{'bpb':>9}{'± s.e.':>8}{'heads':>8}{'tokens/s':>10}{speed:>9}{'steps':>8}"
        f"{'M par.':>8}{'start-up':>10}{'own eval':>10}{'own bpb':>9}  setting"
    )
    rows = sorted(report.rows, key=lambda row: (row.tried.bpb, row.entrant))
    return [head, *(_row(row, report) for row in rows)]


def _row(row: Row, report: Report) -> str:
    tried = row.tried
    if not math.isfinite(tried.bpb):
        word = next(result.word for result in tried.results if not math.isfinite(result.bpb))
        return f"{row.entrant:12}{row.seconds:7g}s  no score: {word}"
    flops = tried.mean("flops")
    speed = 100 * flops / report.peak_flops if report.peak_flops else flops / 1e9
    return (
        f"{row.entrant:12}{row.seconds:7g}s{tried.bpb:9.4f}{number(tried.error, '.4f'):>8}"
        f"{number(tried.mean('heads_bpb'), '.4f'):>8}"
        f"{tried.mean('tokens_per_second'):10.0f}{speed:9.1f}{tried.mean('steps'):8.0f}"
        f"{tried.mean('parameters') / 1e6:8.2f}{tried.mean('startup'):9.1f}s"
        f"{number(tried.mean('own_evaluation_seconds'), '.1f'):>9}s{number(tried.mean('own_bpb'), '.4f'):>9}"
        f"  {tried.setting.name}"
    )


def _verdicts(report: Report) -> list[str]:
    if not report.rows:
        return ["nothing to compare with: the reference has no score at any setting"]
    ours = best_row(report.rows, OURS, report.seconds)
    if ours is None:
        return ["ours has no score"]
    half = best_row(report.rows, OURS, report.seconds / 2)
    lines: list[str] = []
    for name in dict.fromkeys(searched.entrant for searched in report.searched):
        theirs = best_row(report.rows, name, report.seconds)
        if theirs is None:
            lines.append(f"{name} has no score")
            continue
        lines.append(verdict(ours, theirs, report.seconds))
        heads = theirs.tried.mean("heads_bpb") - ours.tried.mean("heads_bpb")
        if math.isfinite(heads):
            side = "below" if heads >= 0 else "ABOVE"
            lines.append(f"  on the beginnings of documents alone {abs(heads):.4f} {side}")
        if half is not None:
            ahead = theirs.tried.bpb - half.tried.bpb
            lines.append(
                f"  in half of the time, a run of {half.seconds:g} s, ours is at {half.tried.bpb:.4f}: "
                f"{abs(ahead):.4f} bpb {'below' if ahead >= 0 else 'above'} the best of {name} after all of it"
            )
        lines += _free(theirs)
    return lines


def verdict(ours: Row, theirs: Row, seconds: float) -> str:
    gain = theirs.tried.bpb - ours.tried.bpb
    error = math.hypot(ours.tried.error, theirs.tried.error)
    when = reached(ours.tried, theirs.tried.bpb, ours.tried.bpb)
    at = f"after {when:.0f} s of its {seconds:g}" if math.isfinite(when) else "never"
    return (
        f"ours is {abs(gain):.4f} (± {number(error, '.4f')}) bpb {'below' if gain >= 0 else 'ABOVE'} the best of "
        f"{theirs.entrant} after {seconds:g} s; its curve reaches that score {at}"
    )


def _free(row: Row) -> list[str]:
    free = row.tried.mean("free_tokens")
    if free == 0:
        return []
    return [
        f"  {row.entrant} has {free:.0f} tokens for nothing (its first step compiles); its own clock would leave "
        f"out ten more steps, {row.tried.mean('free_seconds'):.1f} s of training"
    ]


def _idle(report: Report) -> str:
    said = f"load {report.load:.2f} before the first trial; others used up to {report.foreign:.0%} of the machine"
    busy = report.foreign > IDLE
    return said + (": NOT IDLE, wall seconds measured the neighbours too: run it again" if busy else ": idle")


def plot(report: Report, path: Path) -> None:
    """Bits per byte over seconds, the best row of each entrant, a thin line a seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), constrained_layout=True)
    names = dict.fromkeys(row.entrant for row in report.rows)
    for color, name in enumerate(names):
        best = best_row(report.rows, name, report.seconds)
        for result in best.tried.results if best else ():
            axes.plot(*_points(result), color=f"C{color}", linewidth=0.7, alpha=0.5)
        if best:
            curves = [result.curve for result in best.tried.results]
            points = list(zip(*curves, strict=False))
            x, y = ([statistics.fmean(point[i] for point in at) for at in points] for i in (0, 2))
            label = f"{name}: {best.tried.bpb:.3f}"
            axes.plot(x, y, color=f"C{color}", linewidth=2, marker="o", markersize=3, label=label)
    axes.set_xlabel("wall seconds of training")
    axes.set_ylabel("bits per byte, first quarter of the scored text")
    axes.set_title(f"{report.seconds:g} s, {report.seeds} seeds", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(title="at the end, all of it")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _points(result: Result) -> tuple[Sequence[float], Sequence[float]]:
    return [point[0] for point in result.curve], [point[2] for point in result.curve]
