"""A stint: one going of research, from its start to its end; its limits and what it has spent of them.

runs/<tag>/stint.json says when it started, the limits that its flags set, and what the campaign had spent before.
Where none was begun, the stint is the whole campaign. Times of day are resolved once, when they are first seen,
and kept there: the clock may change meanwhile, and a limit of 07:00 must not become tomorrow's when it is 07:00.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import campaign as campaigns
from . import experiment as experiments
from . import limits as limit
from . import steering
from .branch import STEERING
from .limits import UNTIL, Limits, Spent, flag_limits
from .record import Run
from .text import read_json, write_json

if TYPE_CHECKING:
    from .situation import Situation

__all__ = ["Stint", "Usage", "begin", "flag_limits", "limits", "load", "spent", "usage"]

FILE, CLIENT = "stint.json", "client.jsonl"
_LATEST = 1e11  # unix seconds; what is beyond is no time


@dataclass(frozen=True)
class Stint:
    """`experiments` (decided, the baseline is none), `device_seconds` and `client_bytes` (of client.jsonl): what
    there was of them before. `until`: each time of day that a limit names, as unix time."""

    started: float  # unix time
    flags: dict[str, str] = field(default_factory=dict)
    experiments: int = 0
    device_seconds: float = 0.0
    client_bytes: int = 0
    until: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What the client reports of the model: tokens of all kinds, dollars, steps, and when it last did."""

    tokens: int = 0
    dollars: float = 0.0
    steps: int = 0
    last: float = 0.0  # unix time


def begin(root: Path, tag: str, flags: Mapping[str, str] | None = None) -> Stint:
    """Begin a stint of the campaign now, with the limits that flags set. Raises Refused for a flag of nonsense."""
    now = time.time()
    flags = dict(flags or {})
    found, _ = limit.parse(steering.read(root), now)
    found += flag_limits(flags, now)
    folder = campaigns.folder(root, tag)
    runs = campaigns.runs(root, tag)
    stint = Stint(
        started=now,
        flags=flags,
        experiments=_decided(runs),
        device_seconds=device_seconds(runs, now),
        client_bytes=_size(folder / CLIENT),
        until={own.text: own.value for own in found.all if own.kind == UNTIL},
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, asdict(stint))
    return stint


def load(root: Path, tag: str) -> Stint | None:
    """The stint as it was begun; None where none was, or where the file holds something else."""
    value = read_json(campaigns.folder(root, tag) / FILE)
    if value is None or not 0 < (started := _number(value.get("started"))) < _LATEST:
        return None
    flags = value.get("flags")
    return Stint(
        started=started,
        flags={str(k): str(v) for k, v in flags.items()} if isinstance(flags, dict) else {},
        experiments=int(_number(value.get("experiments"))),
        device_seconds=_number(value.get("device_seconds")),
        client_bytes=int(_number(value.get("client_bytes"))),
        until=_times(value),
    )


def current(now: Situation) -> Stint:
    """The stint in force: the one that was begun, else the whole campaign."""
    begun = load(now.root, now.branch.tag)
    return begun or Stint(
        now.campaign.created if now.campaign else time.time(), until=_times(read_json(now.folder / FILE) or {})
    )


def spent(now: Situation) -> Spent:
    """What the stint has come to so far."""
    stint, at = current(now), time.time()
    decided = [e.decision.status for e in now.experiments if e.decision is not None and not e.is_baseline]
    own = max(len(decided) - stint.experiments, 0)
    fruitless = next((i for i, status in enumerate(reversed(decided)) if status == "keep"), len(decided))
    used = usage(now.folder / CLIENT, stint.client_bytes)
    return Spent(
        now=at,
        started=stint.started,
        experiments=own,
        device_hours=max(device_seconds(now.runs, at) - stint.device_seconds, 0.0) / limit.HOUR,
        best=now.incumbent.mean if now.incumbent else None,
        tokens=used.tokens,
        dollars=used.dollars,
        without_keep=min(fruitless, own),
    )


def limits(now: Situation) -> tuple[Limits, list[str]]:
    """The limits in force, of program.md and of the flags, and a line for each that makes no sense."""
    program, at = steering.read(now.root), time.time()
    begun, stint = load(now.root, now.branch.tag), current(now)
    # A time of day that was written later than the start is meant from then on.
    asked = min(max(_modified(now.root / STEERING), stint.started), at)
    started = stint.started if begun else asked
    found, complaints = limit.parse(program, started, asked)
    with contextlib.suppress(Exception):  # flags of a file that somebody else wrote
        found += flag_limits(stint.flags, stint.started)
    until = {own.text: stint.until.get(own.text, own.value) for own in found.all if own.kind == UNTIL}
    if until != stint.until and now.campaign is not None:
        with contextlib.suppress(OSError):  # then it is resolved again at the next look
            write_json(now.folder / FILE, asdict(replace(stint, until=until)) if begun else {"until": until})
    resolved = [replace(own, value=until[own.text]) if own.kind == UNTIL else own for own in found.all]
    return Limits(tuple(resolved)), complaints


# ---------------------------------------------------------------------------------------------------
# Counting


def device_seconds(runs: Iterable[Run], at: float) -> float:
    """Seconds that runs trained and were scored; the one in progress counts by its age."""
    total = 0.0
    for run in runs:
        if run.record is not None:
            total += _number(run.record.total_seconds)
        elif run.alive:  # from the last start of its runner
            total += max(at - max(run.request.created, _modified(run.path / "runner.json")), 0.0)
    return total


def usage(path: Path, start: int = 0) -> Usage:
    """What client.jsonl holds from byte `start` on. What is torn, or no line of the plugin's, is passed by."""
    try:
        with path.open("rb") as file:
            if 0 < start <= path.stat().st_size:
                file.seek(start)
            content = file.read()
    except OSError:
        return Usage()
    tokens, dollars, steps, last = 0, 0.0, 0, 0.0
    for line in content.splitlines():
        try:
            step = json.loads(line)
        except (ValueError, RecursionError):
            continue
        counts = step.get("tokens") if isinstance(step, dict) else None
        if isinstance(counts, dict):
            tokens += int(sum(_number(count) for count in counts.values()))
            dollars += _number(step.get("cost"))
            steps += 1
            last = max(last, _number(step.get("at")))
    return Usage(tokens, dollars, steps, last)


def _decided(runs: Sequence[Run]) -> int:
    """Experiments that are decided, beside the baseline."""
    grouped = experiments.group(runs)
    return sum(own.decision is not None and not own.is_baseline for own in grouped)


def _times(value: dict[str, Any]) -> dict[str, float]:
    """The times of day that stint.json remembers."""
    until = value.get("until")
    return {str(k): _number(v) for k, v in until.items() if _number(v)} if isinstance(until, dict) else {}


def _number(value: Any) -> float:
    """A finite number that is not negative; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    try:
        return float(value) if math.isfinite(value) and 0 <= value < 1e18 else 0.0
    except OverflowError:
        return 0.0


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
