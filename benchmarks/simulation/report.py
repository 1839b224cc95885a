"""What came of a night: the figures as JSON, as a table, and what does not add up."""

from __future__ import annotations

import os
import platform
import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import tokens
from .books import Books
from .course import WISH, Diary
from .place import ROOT
from .schedule import KILL, LONG, OUTAGE, REBOOT, STOP, Blow
from .tokens import Sent, entries

COMPACTIONS_LEAST = 3  # in a night of a hundred experiments


@dataclass(frozen=True)
class Report:
    """The JSON. Tokens are those of an iteration, the first and last tenth of the night beside the whole."""

    experiments: int
    logged_once: int
    client_kills: int
    reboots: int
    outages: int
    stops: int
    compactions: int
    unknown_commits: int
    processes_left: int
    tokens_per_iteration_p50: float
    tokens_per_iteration_p95: float
    tokens_per_iteration_unbroken_p50: float  # of those without a compaction or a fresh session in them
    tokens_per_iteration_unbroken_p95: float
    tokens_per_iteration_first: float
    tokens_per_iteration_last: float
    tokenizer: str
    idle_seconds_per_experiment: float
    idle_seconds_per_experiment_mean: float
    wall_seconds: float
    steering_seen: bool
    statuses: dict[str, int]
    requests: int
    sessions: int
    restarted_runs: int
    refs_without_run: int
    commits_by_hand: int
    behaviours: dict[str, int]
    faults: dict[str, int]
    tokens_per_iteration: list[int] = field(repr=False)
    seed: int
    opencode: str
    machine: str
    commit: str
    imbalances: list[str]


@dataclass(frozen=True)
class Spent:
    """A night that is over: what was asked for, what was to befall it, what happened, and what was found then."""

    requests: Path  # the folder of the request log
    seed: int
    experiments: int
    planned: Sequence[Blow]
    diary: Diary
    books: Books
    left: Sequence[str]  # command lines of what still runs
    opencode: str  # its version


def make(night: Spent) -> Report:
    """The figures, from files and the diary."""
    books, blows = night.books, night.diary.blows
    requests = entries(night.requests / "requests.jsonl")
    sent = list(tokens.news(night.requests))
    tokenizer, count = tokens.counter()
    costs = tokens.by_iteration(sent, books.decided_at, count)
    broken = {bisect_right(books.decided_at, at) for at in tokens.beginnings(night.requests)}
    unbroken = [cost for index, cost in enumerate(costs) if index not in broken]
    tenth = max(len(costs) // 10, 1)
    compactions = sum(request["kind"] == "compaction" for request in requests)
    seen = steering_seen(sent, night.diary.steered, books.decided_at)
    return Report(
        experiments=books.experiments,
        logged_once=books.logged_once,
        client_kills=blows[KILL],
        reboots=blows[REBOOT],
        outages=blows[OUTAGE],
        stops=blows[STOP],
        compactions=compactions,
        unknown_commits=books.unknown_commits,
        processes_left=len(night.left),
        tokens_per_iteration_p50=quantile(costs, 0.50),
        tokens_per_iteration_p95=quantile(costs, 0.95),
        tokens_per_iteration_unbroken_p50=quantile(unbroken, 0.50),
        tokens_per_iteration_unbroken_p95=quantile(unbroken, 0.95),
        tokens_per_iteration_first=quantile(costs[:tenth], 0.50),
        tokens_per_iteration_last=quantile(costs[-tenth:], 0.50),
        tokenizer=tokenizer,
        idle_seconds_per_experiment=round(quantile(books.idle_seconds, 0.50), 2),
        idle_seconds_per_experiment_mean=round(sum(books.idle_seconds) / max(len(books.idle_seconds), 1), 2),
        wall_seconds=round(night.diary.wall_seconds, 1),
        steering_seen=seen,
        statuses=dict(books.statuses),
        requests=len(requests),
        sessions=sessions(night.requests),
        restarted_runs=books.restarted_runs,
        refs_without_run=books.refs_without_run,
        commits_by_hand=books.commits_by_hand,
        behaviours=dict(Counter(request["behaviour"] or "(failed)" for request in requests).most_common()),
        faults=dict(Counter(request["fault"] for request in requests if request["fault"]).most_common()),
        tokens_per_iteration=costs,
        seed=night.seed,
        opencode=night.opencode,
        machine=machine(),
        commit=commit(),
        imbalances=imbalances(night, compactions, seen),
    )


def imbalances(night: Spent, compactions: int, steering: bool) -> list[str]:
    """A line for each thing that is not as it must be after a night."""
    books, blows = night.books, night.diary.blows
    lines = [*night.diary.troubles, *books.imbalances, *(f"left running: {command}" for command in night.left)]
    if books.experiments < night.experiments:
        lines.append(f"{books.experiments} experiments are decided, and {night.experiments} were asked for")
    for what, number in Counter(blow.what for blow in night.planned).items():
        if blows[what] < number:
            lines.append(f"{what}: {blows[what]} times, and {number} were planned")
    if books.refs_without_run > blows[REBOOT]:
        lines.append(f"{books.refs_without_run} refs belong to no run, more than reboots can have left")
    if night.experiments >= LONG and compactions < COMPACTIONS_LEAST:
        lines.append(f"{compactions} compactions, and at least {COMPACTIONS_LEAST} were to be seen")
    if night.diary.steered and not steering:
        lines.append("program.md was changed, and the model was not shown the new text in the next iteration")
    return lines


def steering_seen(sent: Sequence[Sent], steered: float, decided: Sequence[float]) -> bool:
    """Whether the wish was shown to the model in the iteration after the one in which it was written."""
    shown = [one.time for one in sent if one.time >= steered > 0 and WISH in one.text]
    if not shown:
        return False
    return bisect_right(decided, shown[0]) - bisect_right(decided, steered) <= 1


def sessions(folder: Path) -> int:
    """How many conversations were begun: requests without a word of the model's that were answered well."""
    messages = {entry["key"]: entry["message"] for entry in entries(folder / "messages.jsonl")}
    well = [r for r in entries(folder / "requests.jsonl") if r["kind"] == "chat" and not r["fault"]]
    return sum(tokens.is_fresh([messages[key] for key in request["messages"]]) for request in well)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share is not above; 0 of none."""
    ordered = sorted(values)
    return float(ordered[min(int(share * len(ordered)), len(ordered) - 1)]) if ordered else 0.0


def machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"


def commit() -> str:
    """Of the checkout; with a plus where it is not as committed."""
    done = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def table(report: Report) -> list[str]:
    """For a person."""
    kept = ", ".join(f"{number} {status}" for status, number in sorted(report.statuses.items()))
    top = ", ".join(f"{number} {name}" for name, number in report.faults.items()) or "none"
    rows = [
        ("experiments", f"{report.experiments} ({kept})"),
        ("logged once", str(report.logged_once)),
        ("client kills, reboots", f"{report.client_kills}, {report.reboots}"),
        ("outages, other failures", f"{report.outages}; {top}"),
        ("stops, runs started again", f"{report.stops}, {report.restarted_runs}"),
        ("compactions, sessions", f"{report.compactions}, {report.sessions}"),
        ("program.md change seen", "yes" if report.steering_seen else "no"),
        ("unknown commits", f"{report.unknown_commits} (by hand and taken off: {report.commits_by_hand})"),
        ("processes left", str(report.processes_left)),
        (
            "tokens an iteration",
            f"median {report.tokens_per_iteration_p50:.0f}, 95 % {report.tokens_per_iteration_p95:.0f}, "
            f"first tenth {report.tokens_per_iteration_first:.0f}, last {report.tokens_per_iteration_last:.0f} "
            f"({report.tokenizer})",
        ),
        (
            "… in an unbroken session",
            f"median {report.tokens_per_iteration_unbroken_p50:.0f}, "
            f"95 % {report.tokens_per_iteration_unbroken_p95:.0f}",
        ),
        (
            "device idle before each",
            f"median {report.idle_seconds_per_experiment:.1f} s, "
            f"mean {report.idle_seconds_per_experiment_mean:.1f} s",
        ),
        ("wall time", f"{report.wall_seconds / 60:.1f} min, {report.requests} requests"),
        ("with", f"seed {report.seed}, opencode {report.opencode}, {report.machine}, commit {report.commit}"),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]
