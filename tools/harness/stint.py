"""A stint: one going of research, from its start to its end; its limits and what it has spent of them.

runs/<tag>/stint.json says when it started, the limits that its flags set, and what the campaign had spent before.
Where none was begun, the stint is the whole campaign; after the end of one, it is all that came since: nothing of
a night that is over binds what a person does next. Times of day are resolved once, when they are first seen, and
kept there: the clock may change meanwhile, and a limit of 07:00 must not become tomorrow's when it is 07:00.
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
from . import driver, steering
from . import experiment as experiments
from . import limits as limit
from .branch import STEERING
from .limits import KINDS, UNTIL, Limit, Limits, Spent, flag_limits
from .record import Run
from .text import read_json, write_json

if TYPE_CHECKING:
    from .situation import Situation

__all__ = ["Stint", "Usage", "begin", "end", "flag_limits", "limits", "load", "spent", "spent_of", "usage"]

FILE, CLIENT = "stint.json", "client.jsonl"
_LATEST = 1e11  # unix seconds; what is beyond is no time


@dataclass(frozen=True)
class Stint:
    """`experiments` (decided, the baseline is none), `device_seconds` and `client_bytes` (of client.jsonl): what
    there was of them before. `until`: each time of day that a limit names, as unix time. Once it is over: `ended`,
    the limits that `held` then, and the times `since` that are resolved for what comes after."""

    started: float  # unix time
    flags: dict[str, str] = field(default_factory=dict)
    experiments: int = 0
    device_seconds: float = 0.0
    client_bytes: int = 0
    until: dict[str, float] = field(default_factory=dict)
    started_by: str = "start"  # scripts/start.sh; client: /research, which no process stands for
    ended: float = 0.0  # unix time, 0 while it is not over
    held: tuple[Limit, ...] = ()
    since: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What the client reports of the model: tokens of all kinds, dollars, steps, and when it last did."""

    tokens: int = 0
    dollars: float = 0.0
    steps: int = 0
    last: float = 0.0  # unix time


def begin(root: Path, tag: str, flags: Mapping[str, str] | None = None, *, started_by: str = "start") -> Stint:
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
        started_by=started_by,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, asdict(stint))
    return stint


def end(root: Path, tag: str, at: float | None = None) -> None:
    """The stint of the campaign is over, now or since `at`; where none is in force, nothing happens."""
    stint = load(root, tag)
    if stint is not None and not stint.ended:
        moment = max(time.time() if at is None else at, stint.started)
        held, _ = _resolved(root, stint.flags, stint.started, stint.until, moment)
        write_json(campaigns.folder(root, tag) / FILE, asdict(replace(stint, ended=moment, held=held.all)))


def load(root: Path, tag: str) -> Stint | None:
    """The stint as it was begun; None where none was, or where the file holds something else."""
    value = read_json(campaigns.folder(root, tag) / FILE)
    if value is None or not 0 < (started := _number(value.get("started"))) < _LATEST:
        return None
    flags, ended = value.get("flags"), _number(value.get("ended"))
    return Stint(
        started=started,
        flags={str(k): str(v) for k, v in flags.items()} if isinstance(flags, dict) else {},
        experiments=int(_number(value.get("experiments"))),
        device_seconds=_number(value.get("device_seconds")),
        client_bytes=int(_number(value.get("client_bytes"))),
        until=_times(value.get("until")),
        started_by="client" if value.get("started_by") == "client" else "start",
        ended=ended if ended < _LATEST else 0.0,
        held=_held(value.get("held")),
        since=_times(value.get("since")),
    )


def begun(now: Situation) -> Stint | None:
    """The stint that was begun last, over or not. Where its start was killed, it is over since its last activity,
    which is noted at the first look: what happens later is no part of it."""
    tag = now.branch.tag
    stint = load(now.root, tag)
    if stint is None or stint.ended or stint.started_by != "start":
        return stint
    at_work = driver.at_work(now.root)
    if at_work is not None and at_work.tag == tag:
        return stint
    last = max(last_activity(now, stint.client_bytes), stint.started)
    with contextlib.suppress(OSError):  # then it is noted at the next look
        end(now.root, tag, last)
    ended = load(now.root, tag)
    return ended if ended and ended.ended else replace(stint, ended=last)


def spent(now: Situation) -> Spent:
    """What counts so far for the limits in force: of the stint, or of all that came after its end."""
    stint = begun(now) or Stint(now.campaign.created if now.campaign else time.time())
    return spent_of(now, stint, after=stint.ended)


def spent_of(now: Situation, stint: Stint, after: float = 0.0, until: float = math.inf) -> Spent:
    """What the stint has come to, `until` then; or what came `after` that, its flags and counts apart."""
    at = time.time()
    past = [(e.is_baseline, e.decision) for e in now.experiments if e.decision and e.decision.logged_at <= until]
    kept = [decision.val_bpb for _, decision in past if decision.status == "keep"]
    statuses = [
        decision.status for is_baseline, decision in past if not is_baseline and decision.logged_at > after
    ]
    own = max(len(statuses) - (0 if after else stint.experiments), 0)
    fruitless = next((i for i, status in enumerate(reversed(statuses)) if status == "keep"), len(statuses))
    used = usage(now.folder / CLIENT, stint.client_bytes, after, until)
    device = device_seconds([run for run in now.runs if after < run.request.created <= until], at)
    best = now.incumbent.mean if now.incumbent else None
    return Spent(
        now=min(at, until),
        started=after or stint.started,
        experiments=own,
        device_hours=max(device - (0.0 if after else stint.device_seconds), 0.0) / limit.HOUR,
        best=best if until == math.inf else kept[-1] if kept else None,
        tokens=used.tokens,
        dollars=used.dollars,
        without_keep=min(fruitless, own),
    )


def limits(now: Situation) -> tuple[Limits, list[str]]:
    """The limits in force, of program.md and of the flags, and a line for each that makes no sense."""
    stint, at = begun(now), time.time()
    flags: dict[str, str] = {}
    if stint is None:
        start = now.campaign.created if now.campaign else at
        known = _times((read_json(now.folder / FILE) or {}).get("until"))
    elif stint.ended:  # the next begins with the first run after it
        start = min((r.request.created for r in now.runs if r.request.created > stint.ended), default=at)
        known = stint.since if start < at else {}
    else:
        start, flags, known = stint.started, stint.flags, stint.until
    found, complaints = _resolved(now.root, flags, start, known, at)
    until = {own.text: own.value for own in found.all if own.kind == UNTIL}
    if until != known and now.campaign is not None and start < at:
        new = replace(stint, since=until) if stint and stint.ended else stint and replace(stint, until=until)
        with contextlib.suppress(OSError):  # then it is resolved again at the next look
            write_json(now.folder / FILE, asdict(new) if new else {"until": until})
    return found, complaints


def last_activity(now: Situation, client_bytes: int = 0) -> float:
    """When something last happened in the campaign, unix time; 0.0 where nothing ever did."""
    at = time.time()
    if any(run.alive for run in now.runs):
        return at
    moments = [usage(now.folder / CLIENT, client_bytes).last]
    moments += [run.decision.logged_at for run in now.runs if run.decision]
    moments += [run.request.created + (run.record.total_seconds if run.record else 0.0) for run in now.runs]
    return max((moment for moment in moments if math.isfinite(moment) and moment <= at), default=0.0)


def _resolved(
    root: Path, flags: Mapping[str, str], start: float, known: Mapping[str, float], at: float
) -> tuple[Limits, list[str]]:
    """The limits of program.md and of `flags`, with the times that are known."""
    # A time of day that was written later than the start is meant from then on.
    asked = min(max(_modified(root / STEERING), start), at)
    found, complaints = limit.parse(steering.read(root), asked)
    with contextlib.suppress(Exception):  # flags of a file that somebody else wrote
        found += flag_limits(flags, start)
    own = (replace(one, value=known.get(one.text, one.value)) if one.kind == UNTIL else one for one in found.all)
    return Limits(tuple(own)), complaints


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


def usage(path: Path, start: int = 0, after: float = 0.0, until: float = math.inf) -> Usage:
    """What client.jsonl holds from byte `start` on, of the moments after `after` and until `until`. What is torn,
    or no line of the plugin's, is passed by."""
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
        at = _number(step.get("at")) if isinstance(step, dict) else 0.0
        if isinstance(counts, dict) and at <= until and (at > after or not after):
            tokens += int(sum(_number(count) for count in counts.values()))
            dollars += _number(step.get("cost"))
            steps += 1
            last = max(last, at)
    return Usage(tokens, dollars, steps, last)


def _decided(runs: Sequence[Run]) -> int:
    """Experiments that are decided, beside the baseline."""
    return sum(own.decision is not None and not own.is_baseline for own in experiments.group(runs))


def _times(until: Any) -> dict[str, float]:
    """The times of day that stint.json remembers."""
    return {str(k): _number(v) for k, v in until.items() if _number(v)} if isinstance(until, dict) else {}


def _held(value: Any) -> tuple[Limit, ...]:
    """The limits that stint.json remembers of a stint that is over."""
    rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    return tuple(
        Limit(row["kind"], _number(row.get("value")), str(row.get("text")), str(row.get("source")))
        for row in rows
        if row.get("kind") in list(KINDS)
    )


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
