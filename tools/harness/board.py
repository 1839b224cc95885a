"""What `status` found, as a page for a person at a terminal: the same facts as its text and its JSON, in colour.

Everything shown is data, never markup: a description may hold brackets, escapes or a script.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .curve import Point, loss_at, progress_line
from .limits import HOUR
from .phases import Phase
from .text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

BLOCKS = "▁▂▃▄▅▆▇█"
STYLES = {"keep": "green", "discard": "yellow", "crash": "red", "running": "cyan", "finished": "yellow",
          "interrupted": "red", "clean": "green"}  # fmt: skip
RECENT = 10  # experiments over which the pace is taken
PAUSE = 1800.0  # seconds between two results from which nobody was at work
STAIRS = 60  # characters, at most


@dataclass(frozen=True)
class Running:
    """A run in progress. `share`: of its budget; `loss`, `theirs`: training loss of it and of the incumbent at the
    same share (nats a token), None where a curve has not been there; `told`: in words."""

    share: float
    loss: float | None
    theirs: float | None
    told: str


@dataclass(frozen=True)
class More:
    """What a page has beside status's own facts. `stairs`: the incumbent's val_bpb after each experiment; `pace`:
    experiments an hour; `lines`: longer tables, for a page that has room."""

    stairs: tuple[float, ...] = ()
    pace: float | None = None
    phases: tuple[Phase, ...] = ()
    lines: tuple[str, ...] = ()
    running: Running | None = None


def stairs(results: Iterable[tuple[str, float | None]]) -> tuple[float, ...]:
    """The incumbent's val_bpb after each of the experiments (verdict, val_bpb), in their order."""
    found: list[float] = []
    for status, score in results:
        if status == "keep" and score is not None:
            found.append(score)
        elif found:
            found.append(found[-1])
    return tuple(found)


def sparkline(values: Sequence[float], width: int = STAIRS) -> str:
    """One character for each value, the lowest at the bottom; of more than `width`, the last of each stretch."""
    if not values:
        return ""
    if len(values) > width:
        values = [values[(at + 1) * len(values) // width - 1] for at in range(width)]
    low, high = min(values), max(values)
    if high <= low:
        return BLOCKS[0] * len(values)
    return "".join(BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] for value in values)


def pace(logged: Sequence[float]) -> float | None:
    """Experiments an hour, by when the last ones were logged (unix time, in order); pauses are left out."""
    last = logged[-RECENT - 1 :]
    spans = [after - before for before, after in itertools.pairwise(last)]
    worked = [span for span in spans if 0 < span < PAUSE]
    return len(worked) * HOUR / sum(worked) if len(worked) >= 2 else None


def running(points: Sequence[Point], incumbent: Sequence[Point], scoring: bool) -> Running:
    """How a run is doing against the incumbent's curve."""
    share = min(max(points[-1].progress, 0.0), 1.0) if points else 0.0
    told = "trained; scoring" if scoring else progress_line(points)
    return Running(share, loss_at(points, share), loss_at(incumbent, share), told)


# ---------------------------------------------------------------------------------------------------
# Drawn


def page(found: Mapping[str, Any], more: More) -> RenderableType:
    """The page. `found`: what status says as JSON."""
    from rich.console import Group
    from rich.panel import Panel

    head = _text(found["state"], f"bold {STYLES.get(found['state'], 'white')}")
    head.append(f"  {found['experiments']} experiments, {found['kept']} kept", "default")
    if found["budget"]:
        head.append(f"  ·  {found['budget']} a run, {found['profile']}", "dim")
    parts: list[RenderableType] = [head, _numbers(found, more)]
    parts += _in_hand(found, more.running)
    if found["results"]:
        parts += [_rule("last results"), _results(found["results"])]
    if more.phases:
        parts += [_rule("phases"), *(_phase(one) for one in more.phases)]
    for key, style in (("lessons", "italic"), ("whys", "red"), ("prospects", "cyan"), ("notes", "yellow")):
        parts += [_text(line, style) for line in found.get(key) or []]
    if found["program_changed"]:
        parts.append(_text("program.md has changed since the last run", "yellow"))
    for key in ("direction", "elsewhere"):
        parts += [_text(f"{key}: {found[key]}", "yellow")] if found.get(key) else []
    if more.lines:
        parts.append(_rule("the number"))
        parts += [_text(line, "dim" if line.startswith("  ") else "") for line in more.lines]
    parts.append(_text(f"next: {found['next']}", "bold"))
    return Panel(Group(*parts), title=_text(f"autoresearch · {found['tag']}", "bold"), title_align="left")


def message(text: str) -> RenderableType:
    """A page that has one thing to say."""
    from rich.panel import Panel

    return Panel(_text(text, "yellow"), title="autoresearch", title_align="left")


def _numbers(found: Mapping[str, Any], more: More) -> Table:
    rows: list[tuple[str, str]] = []
    best, first, noise, level = (found[key] for key in ("incumbent", "baseline", "noise", "belief"))
    if found["goal"]:
        rows.append(("goal", found["goal"]))
    rows += [("", line) for line in found["limits"]]
    if best:
        rows.append(("incumbent", f"{best['val_bpb']:.6f}  {best['commit']}  {best['description'][:80]}"))
        rows.append(("baseline", f"{first['val_bpb']:.6f}  {first['commit']}"))
    if level and found["kept"] > 1:
        rows.append(("believed gain", f"{level['gain']:+.4f} ± {level['gain_sd']:.4f} bpb, luck taken off"))
    if len(more.stairs) > 1:
        line = f"{sparkline(more.stairs)}  {more.stairs[0]:.4f} to {more.stairs[-1]:.4f}"
        rows.append(("staircase", line))
    if noise:
        told = f"{noise['runs']} runs" if noise["runs"] else "a prior"
        between = f"{noise['low']:.4f} to {noise['high']:.4f}"
        rows.append(("noise", f"{noise['sigma']:.4f} bpb a run ({told}; {between})"))
    if raced := found["racing"]:
        rows.append(("racing", f"{raced['stopped']} stopped early, {raced['controls']} finished to check on that"))
    if more.pace is not None:
        rows.append(("pace", f"{more.pace:.1f} experiments an hour, over the last {RECENT}"))
    grid = _grid(2)
    for name, value in rows:
        grid.add_row(_text(name, "dim"), _text(value))
    return grid


def _in_hand(found: Mapping[str, Any], run: Running | None) -> list[RenderableType]:
    now = found["current"]
    if not now:
        return []
    named = f"experiment {now['experiment']}, run {now['run']} ({now['kind']} {now['commit']})"
    parts: list[RenderableType] = [_rule(named), _text(now["message"][:160], "bold")]
    if run is not None:
        from rich.progress_bar import ProgressBar

        parts.append(ProgressBar(total=1.0, completed=run.share, width=STAIRS))
        parts.append(_text(run.told))
        if run.loss is not None and run.theirs is not None:
            behind = run.loss - run.theirs
            told = f"loss {run.loss:.4f}, incumbent {run.theirs:.4f} at the same share ({behind:+.4f})"
            parts.append(_text(told, "green" if behind < 0 else "yellow"))
        return parts
    parts += [_text(now["progress"])] if now["progress"] else []
    parts += [_text(now["reason"], "red")] if now["reason"] else []
    parts += [_text(f"val_bpb {now['val_bpb']:.6f}")] if now["val_bpb"] is not None else []
    return parts + [_text(reason, "yellow") for reason in now["reasons"]]


def _results(rows: Sequence[Mapping[str, Any]]) -> Table:
    grid = _grid(5)
    for row in rows:
        score = "-" if row["val_bpb"] is None else f"{row['val_bpb']:.6f}"
        style = STYLES.get(row["status"], "")
        names = _text(row["experiment"], "dim"), _text(row["commit"], "dim"), _text(row["status"], style)
        grid.add_row(*names, _text(score), _text(row["description"][:120]))
    return grid


def _phase(one: Phase) -> Text:
    mark, style = ("✗", "red") if one.fail else ("✓", "green") if one.done else ("·", "dim")
    return _text(f"{mark} {one.name:<8} {one.fail or one.told}", style)


def _grid(columns: int) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    for at in range(columns):
        grid.add_column(no_wrap=at < columns - 1)
    return grid


def _rule(title: str) -> RenderableType:
    from rich.rule import Rule

    return Rule(_text(title, "dim"), align="left", style="dim")


def _text(text: str, style: str = "") -> Text:
    """Without terminal sequences, and without rich's markup."""
    from rich.text import Text

    return Text(printable(str(text)), style)
