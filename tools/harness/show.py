"""What a person sees of a campaign that runs without a terminal: a line for a tool call, a run, a verdict."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import campaign, curve, record
from .experiment import Experiment
from .text import printable
from .turn import Event, error_text

WIDTH = 120  # characters of a line
LONG = 5.0  # seconds from which a tool call's duration is worth showing
COLOURS = {"keep": "32", "crash": "31", "problem": "31", "run": "36", "discard": "33"}


@dataclass(frozen=True)
class Line:
    """`label` says what kind of thing happened, in one short word."""

    label: str
    text: str

    def format(self, now: float, colour: bool) -> str:
        """`08:12:31  edit     train.py  SMALL_DEPTH = 4`"""
        at = time.strftime("%H:%M:%S", time.localtime(now))
        text = shorten(f"{at}  {self.label:<8} {one_line(self.text)}")
        code = COLOURS.get(self.label) if colour else None
        return f"\x1b[{code}m{text}\x1b[0m" if code else text


def shorten(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def one_line(text: str) -> str:
    return " ".join(" ".join(printable(part) for part in text.splitlines()).split())


# ---------------------------------------------------------------------------------------------------
# What the client does


def describe(event: Event) -> Line | None:
    """The line for one event of the client; None for those that say nothing to a person."""
    part = event.get("part") or {}
    if event.get("type") == "text":
        return Line("says", str(part.get("text") or "").strip()) if part.get("text") else None
    if event.get("type") == "error":
        return Line("problem", error_text(event))
    if event.get("type") != "tool_use":
        return None
    tool, state = str(part.get("tool")), part.get("state") or {}
    given = state.get("input") or {}
    text = _subject(tool, given) or str(state.get("title") or "")
    if state.get("status") == "error":
        return Line("problem", f"{tool} {text}: {state.get('error')}")
    span = state.get("time") or {}
    seconds = (span.get("end", 0) - span.get("start", 0)) / 1000
    return Line(tool, f"({seconds:.0f} s) {text}" if seconds >= LONG else text)


def _subject(tool: str, given: Event) -> str:
    """What a tool was used on."""
    if tool == "edit":
        return f"{Path(str(given.get('filePath'))).name}  {change(given.get('oldString'), given.get('newString'))}"
    for name in ("command", "filePath", "pattern", "name"):
        if name in given:
            value = str(given[name])
            return Path(value).name if name == "filePath" else value
    return ""


def change(old: object, new: object) -> str:
    """The first line of an edit that is new, and how many more there are."""
    before, after = str(old or "").splitlines(), str(new or "").splitlines()
    compared = list(difflib.ndiff(before, after))
    added = [line[2:].strip() for line in compared if line.startswith("+ ")]
    if added:
        more = len(added) - 1
        return added[0] + (f" (and {more} more line{'s' * (more > 1)})" if more else "")
    removed = sum(line.startswith("- ") for line in compared)
    return f"{removed} line{'s' * (removed > 1)} removed" if removed else "nothing changed"


# ---------------------------------------------------------------------------------------------------
# What the campaign does


@dataclass
class Watch:
    """Follows a campaign's files. Experiments that were there at the beginning are not news."""

    root: Path
    tag: str
    seen_runs: set[str] = field(default_factory=set)
    seen_decisions: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.news()

    def news(self) -> list[Line]:
        """Runs begun and experiments decided since the last look."""
        lines = []
        for path in sorted(campaign.folder(self.root, self.tag).glob("[0-9]*-*")):
            new_run, new_decision = path.name not in self.seen_runs, path.name not in self.seen_decisions
            if not (new_run or (new_decision and (path / "decision.json").exists())):
                continue
            run = record.read(path)
            if run is None:
                continue
            self.seen_runs.add(path.name)
            if new_run:
                again = " (again, on another seed)" if run.request.kind == "confirm" else ""
                lines.append(Line("run", f"{run.name} {run.request.message}{again}"))
            if new_decision and run.decision is not None:
                self.seen_decisions.add(path.name)
                lines.append(Line(run.decision.status, verdict(run.request.experiment, run.decision)))
        return lines

    @property
    def decided(self) -> int:
        """How many experiments are decided, the baseline among them."""
        return len(self.seen_decisions)

    @property
    def position(self) -> tuple[int, int]:
        """Grows whenever the campaign gets on: a run begun, an experiment decided."""
        return len(self.seen_runs), len(self.seen_decisions)

    @property
    def undecided(self) -> bool:
        """Whether the newest run is of an experiment that is not decided yet."""
        return bool(self.seen_runs) and max(self.seen_runs) not in self.seen_decisions

    @property
    def running(self) -> bool:
        """Whether the newest run is in progress."""
        folder = campaign.folder(self.root, self.tag)
        return bool(self.seen_runs) and record.is_locked(folder / max(self.seen_runs) / "run.lock")

    def progress(self) -> str:
        """Where the newest run is; empty when none is in progress."""
        if not self.seen_runs:
            return ""
        run = record.read(campaign.folder(self.root, self.tag) / max(self.seen_runs))
        if run is None or not run.alive:
            return ""
        points = curve.read(run.path / "curve.jsonl")
        what = "scoring" if (run.path / "trained.json").exists() else curve.progress_line(points)
        return f"run {run.name}: {what}"


def verdict(experiment: int, decision: record.Decision) -> str:
    why = decision.reasons[0] if decision.reasons else decision.description
    return f"{experiment:04d} {why}"


# ---------------------------------------------------------------------------------------------------
# What came of it


def table(experiments: Sequence[Experiment], most: int = 20) -> list[str]:
    """A line for each of the newest experiments; `change` is against the best before it."""
    lines = []
    best: float | None = None
    for experiment in experiments:
        decision = experiment.decision
        if decision is None:
            continue
        score, tried = decision.val_bpb, one_line(decision.description)
        change = f"{score - best:+.6f}" if score and best else ""
        shown = f"{score:.6f}" if score else "-"
        lines.append(shorten(f"{experiment.number:04d} {shown:>10} {change:>10}  {decision.status:<8} {tried}"))
        if decision.status == "keep" and score:
            best = score
    left_out = [f"({len(lines) - most} before these are in results.tsv)"] if len(lines) > most else []
    return [f"{'run':<4} {'val_bpb':>10} {'change':>10}  {'verdict':<8} what was tried", *left_out, *lines[-most:]]


def summary(experiments: Sequence[Experiment]) -> str:
    """`5 experiments: 2 kept, 2 discarded, 1 crashed`; the baseline is none."""
    statuses = [e.decision.status for e in experiments if e.decision is not None and not e.is_baseline]
    words = {"keep": "kept", "discard": "discarded", "crash": "crashed"}
    parts = [f"{statuses.count(status)} {word}" for status, word in words.items() if status in statuses]
    return f"{len(statuses)} experiment{'s' * (len(statuses) != 1)}: {', '.join(parts) or 'none yet'}"
