"""The books of a campaign, checked from its files and git alone: nothing lost, nothing twice, nothing unknown.

Nothing of the harness is used here, so that what it believes of itself is not what is believed.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
STEERING = "program.md"


@dataclass(frozen=True)
class Run:
    """A folder of runs/<tag>/ as its JSON files tell of it; what is missing is empty."""

    folder: Path
    request: dict[str, Any]
    record: dict[str, Any]
    decision: dict[str, Any]
    trained: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.request["number"])

    @property
    def commit(self) -> str:
        return str(self.request["commit"])

    @property
    def began(self) -> float:
        """Unix time at which the device was taken."""
        return float(self.trained.get("started") or self.request["created"])

    @property
    def ended(self) -> float:
        """Unix time at which it was free again."""
        return self.began + float(self.record.get("total_seconds") or 0.0)


@dataclass(frozen=True)
class Experiment:
    """All runs with one experiment number, in order."""

    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        return f"{self.runs[0].number:04d}"

    @property
    def is_baseline(self) -> bool:
        return bool(self.runs[0].request["kind"] == "baseline")

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Those that hold; a provisional keep is decided on again after its re-test."""
        made = [run.decision for run in self.runs if run.decision]
        return [decision for decision in made[:-1] if not decision.get("provisional")] + made[-1:]

    @property
    def commit(self) -> str:
        """What was decided on: that of the last attempt."""
        return [run for run in self.runs if run.request["kind"] != "confirm"][-1].commit


@dataclass
class Books:
    """What was found. `imbalances` has a line for each thing that does not add up."""

    experiments: int = 0  # decided, beside the baseline
    logged_once: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    unknown_commits: int = 0
    refs_without_run: int = 0  # of submissions that a kill cut short, before there was a run
    commits_by_hand: int = 0  # taken off the branch again, and kept under refs/
    decided_at: list[float] = field(default_factory=list)  # unix times, the baseline's left out
    idle_seconds: list[float] = field(default_factory=list)  # of the device, before the runs of each experiment
    restarted_runs: int = 0
    imbalances: list[str] = field(default_factory=list)


def check(root: Path, tag: str) -> Books:
    """The books of the campaign `tag` in the checkout `root`."""
    books = Books()
    experiments = group(read_runs(root / "runs" / tag))
    refs = read_refs(root, tag)
    rows = read_rows(root / "results.tsv", books)
    decided = [experiment for experiment in experiments if experiment.decisions]
    for experiment in decided:
        faults = [
            *_faults_of_decision(experiment),
            *_faults_of_rows(experiment, rows),
            *_faults_of_refs(experiment, refs),
        ]
        books.imbalances += [f"experiment {experiment.name}: {fault}" for fault in faults]
        if not experiment.is_baseline:
            books.experiments += 1
            books.logged_once += not faults
            books.statuses[experiment.decisions[-1]["status"]] += 1
            books.decided_at.append(float(experiment.decisions[-1]["logged_at"]))
    for experiment in experiments:
        if not experiment.decisions and experiment is not experiments[-1]:
            books.imbalances.append(f"experiment {experiment.name}: never decided, though others came after it")
    _check_twice(experiments, books)
    _check_strangers(root, tag, experiments, refs, rows, books)
    runs = [run for experiment in experiments for run in experiment.runs]
    books.restarted_runs = sum(int(run.record.get("restarts") or 0) > 0 for run in runs)
    books.idle_seconds = idle(experiments)
    books.decided_at.sort()
    return books


# ---------------------------------------------------------------------------------------------------
# Reading


def read_runs(folder: Path) -> list[Run]:
    """Every run by number."""
    found = []
    for path in folder.glob("[0-9]*-*"):
        names = ("run", "record", "decision", "trained")
        request, *others = (_read(path / f"{name}.json") for name in names)
        if request:
            found.append(Run(path, request, *others))
    return sorted(found, key=lambda run: run.number)


def group(runs: list[Run]) -> list[Experiment]:
    """The experiments in the order of their first runs."""
    by_number: dict[int, list[Run]] = {}
    for run in runs:
        by_number.setdefault(int(run.request["experiment"]), []).append(run)
    return [Experiment(tuple(own)) for own in by_number.values()]


def read_refs(root: Path, tag: str) -> dict[str, str]:
    """refs/autoresearch/<tag>/, by what comes after it."""
    listed = git(root, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", f"refs/autoresearch/{tag}/")
    return dict(line.split() for line in listed.splitlines())


def read_rows(path: Path, books: Books) -> list[list[str]]:
    """The rows of results.tsv."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if not lines or lines[0] != HEADER:
        books.imbalances.append("results.tsv: missing, or its header is not as it must be")
    rows = [line.split("\t") for line in lines[1:]]
    books.imbalances += [f"results.tsv: {row!r} has not five columns" for row in rows if len(row) != 5]
    return [row for row in rows if len(row) == 5]


def git(root: Path, *arguments: str) -> str:
    """What git printed; empty where it failed."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def idle(experiments: list[Experiment]) -> list[float]:
    """Seconds that the device was free before the runs of each experiment beside the baseline, in sum."""
    seconds = []
    before: Run | None = None
    for experiment in experiments:
        free = 0.0
        for run in experiment.runs:
            free += max(run.began - before.ended, 0.0) if before else 0.0
            before = run
        if not experiment.is_baseline:
            seconds.append(free)
    return seconds


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


# ---------------------------------------------------------------------------------------------------
# Checking


def _faults_of_decision(experiment: Experiment) -> list[str]:
    """One decision, on the last of its runs, all of which ended."""
    faults = []
    if len(experiment.decisions) != 1:
        faults.append(f"decided {len(experiment.decisions)} times")
    if not experiment.runs[-1].decision:
        faults.append("run again after it was decided")
    unmeasured = [f"{run.number:04d}" for run in experiment.runs if not run.record]
    if unmeasured:
        faults.append(f"decided without a record of run {', '.join(unmeasured)}")
    return faults


def _faults_of_rows(experiment: Experiment, rows: list[list[str]]) -> list[str]:
    """One row, which says what was decided."""
    own = [row for row in rows if experiment.commit.startswith(row[0])]
    if len(own) != 1:
        return [f"{len(own)} rows in results.tsv"]
    decision = experiment.decisions[-1]
    score = decision["val_bpb"] if decision["status"] != "crash" else 0.0
    said = (own[0][3], float(own[0][1]))
    if said[0] != decision["status"] or abs(said[1] - (score or 0.0)) > 1e-6:
        return [f"results.tsv says {said[0]} {said[1]:.6f}, and the decision {decision['status']} {score}"]
    return []


def _faults_of_refs(experiment: Experiment, refs: dict[str, str]) -> list[str]:
    """A ref of its own for each commit that ran."""
    faults = []
    for run in experiment.runs:
        name = f"{run.number:04d}"
        if run.request["kind"] != "confirm" and refs.get(name) != run.commit:
            faults.append(f"its ref {name} is {'lost' if name not in refs else 'another commit'}")
    return faults


def _check_twice(experiments: list[Experiment], books: Books) -> None:
    """No commit is tried in two experiments, and no number given twice."""
    numbers = Counter(run.number for experiment in experiments for run in experiment.runs)
    books.imbalances += [
        f"run {number:04d} is there {count} times" for number, count in numbers.items() if count > 1
    ]
    tried: Counter[str] = Counter()
    for experiment in experiments:
        tried.update({run.commit for run in experiment.runs if run.request["kind"] in ("candidate", "fix")})
    books.imbalances += [
        f"commit {commit[:7]} was run as {count} experiments" for commit, count in tried.items() if count > 1
    ]


def _check_strangers(
    root: Path, tag: str, experiments: list[Experiment], refs: dict[str, str], rows: list[list[str]], books: Books
) -> None:
    """Commits that belong to no run, rows that belong to no experiment, keeps that are not on the branch."""
    branch = f"refs/heads/autoresearch/{tag}"
    base = experiments[0].commit if experiments else branch
    line = git(root, "rev-list", "--first-parent", f"{base}..{branch}").split()
    kept = [d for e in experiments if not e.is_baseline for d in e.decisions if d["status"] == "keep"]
    landed = {str(decision["landed"]) for decision in kept}
    strangers = []
    for commit in line:
        changed = git(root, "diff-tree", "--no-commit-id", "--name-only", "-r", commit).split()
        if commit not in landed and changed != [STEERING]:
            strangers.append(f"commit {commit[:7]} on the branch belongs to no run")
    numbers = {f"{run.number:04d}" for experiment in experiments for run in experiment.runs}
    for name in refs:
        if name.startswith("hand/"):
            books.commits_by_hand += 1
        elif name not in numbers:
            books.refs_without_run += 1
    commits = {experiment.commit for experiment in experiments if experiment.decisions}
    for row in rows:
        if not any(commit.startswith(row[0]) for commit in commits):
            strangers.append(f"results.tsv: the row of {row[0]} belongs to no experiment")
    books.unknown_commits = len(strangers)
    books.imbalances += strangers
    books.imbalances += [
        f"the kept commit {str(decision['landed'])[:7]} is not on the branch"
        for decision in kept
        if str(decision["landed"]) not in line
    ]
