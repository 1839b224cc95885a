"""What a campaign came to, handed to the person at its end: runs/<tag>/REVIEW.md.

What held, what did not, what to try next. It follows from the campaign's own records, and from nothing that was
found on held-out text, so the agent may read it as well. Whatever a model or a run wrote is cleaned.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import phases, prospects
from .phases import Phase, described
from .text import said, write_whole

if TYPE_CHECKING:
    from .experiment import Experiment
    from .situation import Situation

NAME = "REVIEW.md"
ROWS = 20  # of each list
_MARKDOWN = re.compile(r"([\\`*_\[\]#|~!])")


@dataclass(frozen=True)
class Tried:
    """One decided experiment. `gain`, `sd`: as believed when it was decided (bpb), None where it has no score."""

    number: int
    status: str
    description: str
    note: str
    val_bpb: float | None
    gain: float | None
    sd: float | None
    undone: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Facts:
    """`baseline`, `best`: val_bpb, means over their runs; `believed`: the gain with luck taken off, and its
    standard deviation; `next`: prospects, in words; `unfinished`: what is in hand."""

    tag: str
    when: float  # unix time
    budget: str
    profile: str
    baseline: float | None
    best: float | None
    commit: str
    believed: tuple[float, float] | None
    tried: tuple[Tried, ...]
    phases: tuple[Phase, ...]
    next: tuple[str, ...]
    unfinished: str = ""


def page(facts: Facts) -> str:
    """The review, in Markdown."""
    own = facts.tried
    count = {status: sum(one.status == status for one in own) for status in ("keep", "discard", "crash")}
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts.when))
    lines = [f"# Review of the campaign {_text(facts.tag)}", ""]
    lines += [f"{moment}. {_count(len(own), 'experiment')}: {count['keep']} kept, {count['discard']} discarded, "]
    lines[-1] += f"{count['crash']} crashed; {facts.budget} a run, {facts.profile}. {_headline(facts)}"
    held = [one for one in own if one.status == "keep"]
    lines += ["", "## What held", "", *(_rows(held) or ["Nothing beyond the baseline."])]
    lines += ["", "## What did not", "", *_missed(own)]
    lines += ["", "## What to try next", "", *_next(facts)]
    lines += ["", "## How it went", "", *(f"- {_phase(one)}" for one in facts.phases)]
    return "\n".join([*lines, ""])


def _headline(facts: Facts) -> str:
    if facts.best is None or facts.baseline is None:
        return "No baseline was logged."
    gain = facts.baseline - facts.best
    told = f"val_bpb {facts.best:.6f} at {facts.commit[:7]}, {gain:.6f} below the baseline's {facts.baseline:.6f}"
    if facts.believed is not None and facts.commit and gain:
        told += f"; believed, with luck taken off: {facts.believed[0]:+.4f} ± {facts.believed[1]:.4f}"
    return f"{told}."


def _missed(own: Sequence[Tried]) -> list[str]:
    undone = [one for one in own if one.undone]
    crashed = [one for one in own if one.status == "crash"]
    stopped = [one for one in own if one.stopped]
    worst = sorted(
        (one for one in own if one.status == "discard" and not one.undone and one.gain is not None),
        key=lambda one: one.gain or 0.0,
    )
    if not (undone or crashed or stopped or worst):
        return ["Nothing was discarded."]
    lines = []
    if undone:
        lines += ["Kept at first, and taken back by their re-test:", "", *_rows(undone), ""]
    if crashed:
        lines += [f"Crashed ({len(crashed)}):", "", *_rows(crashed), ""]
    if stopped:
        lines += [f"Stopped early, as their curves were hopeless ({len(stopped)}):", "", *_rows(stopped), ""]
    if worst:
        lines += ["Furthest from a gain:", "", *_rows(worst[4::-1]), ""]
    return lines[:-1]


def _next(facts: Facts) -> list[str]:
    lines = [f"- {facts.unfinished}"] if facts.unfinished else []
    lines += [f"- {_text(line)}" for line in facts.next]
    near = sorted(
        (one for one in facts.tried if one.status == "discard" and one.gain is not None and one.gain > 0),
        key=lambda one: -(one.gain or 0.0),
    )
    lines += [f"- a near miss: {_line(one)}" for one in near[:5]]
    lines += [f"- {one.name} failed: {_text(one.fail)}" for one in facts.phases if one.fail]
    return lines or ["No record points anywhere: the next idea is a new one."]


def _rows(own: Sequence[Tried]) -> list[str]:
    """The newest first."""
    rows = [f"- {_line(one)}" for one in reversed(own[-ROWS:])]
    return [*rows, *([f"- and {len(own) - ROWS} before these: `results.tsv`"] if len(own) > ROWS else [])]


def _line(one: Tried) -> str:
    sure = f" ± {one.sd:.4f}" if one.sd is not None else ""
    told = [f"val_bpb {one.val_bpb:.6f}"] if one.val_bpb is not None else []
    told += [f"believed gain {one.gain:+.4f}{sure}"] if one.gain is not None else []
    score = f" ({', '.join(told)})" if told else ""
    note = f". *{_text(one.note)}*" if one.note else ""
    return f"{one.number:04d} {_text(one.description)}{score}{note}"


def _phase(one: Phase) -> str:
    return f"{one.name}: {'fail' if one.fail else 'done' if one.done else 'open'}; {_text(one.fail or one.told)}"


def _text(text: str) -> str:
    """Text that is none of ours, as text in Markdown."""
    return _MARKDOWN.sub(r"\\\1", said(text))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


# ---------------------------------------------------------------------------------------------------
# From a campaign


def gather(now: Situation) -> Facts:
    """The facts of a campaign that is at rest, or nearly."""
    decided = [one for one in now.experiments if one.decision]
    own = [one for one in decided if not one.is_baseline]
    first = next((one.decision for one in decided if one.decision and one.decision.status == "keep"), None)
    known = now.learned.known if now.learned else None
    pinned, newest = now.campaign, now.newest
    open_run = newest is not None and not newest.settled
    return Facts(
        tag=now.branch.tag,
        when=time.time(),
        budget=pinned.budget if pinned else "no budget",
        profile=f"profile {pinned.profile} on {pinned.device}" if pinned else "nothing pinned",
        baseline=first.val_bpb if first else None,
        best=now.incumbent.mean if now.incumbent else None,
        commit=now.incumbent.commit if now.incumbent else "",
        believed=(known.gain.mean, known.gain.sd) if known else None,
        tried=tuple(_tried(one) for one in own),
        phases=tuple(phases.of(phases.gather(now))),
        next=tuple(_prospects(now, own)),
        unfinished=f"run {newest.last.name} is {now.state.name}: finish it first" if newest and open_run else "",
    )


def _tried(one: Experiment) -> Tried:
    decision, newest = one.decision, one.own[-1].record
    assert decision is not None
    return Tried(
        number=one.number,
        status=decision.status,
        description=described(one),
        note=said(decision.note),
        val_bpb=decision.val_bpb,
        gain=decision.gain,
        sd=decision.gain_sd,
        undone=decision.undone,
        stopped=newest is not None and newest.outcome == "stopped",
    )


def _prospects(now: Situation, own: Sequence[Experiment]) -> list[str]:
    known = now.learned.known if now.learned else None
    if known is None or now.learned is None:
        return []
    descriptions = {one.number: described(one) for one in own}
    found = prospects.find(now.experiments, known, now.learned.beliefs)
    return [prospects.told(one, descriptions) for one in found]


def leave(now: Situation) -> str | None:
    """Write the review of a campaign that tried something; where it is, for the person."""
    facts = gather(now)
    if not facts.tried:
        return None
    write_whole(now.folder / NAME, page(facts))
    return f"the review of the campaign: runs/{now.branch.tag}/{NAME}"
