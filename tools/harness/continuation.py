"""What becomes of a model that ended its turn: back to work, a fresh session, or the end of research.

`decide` is a pure function from counts to what is to be done; `after_turn` looks the facts up, waits where waiting
costs nothing (a run in progress, a full disk, an endpoint that is away) and words the prompt from the campaign's
state. The counts are in runs/<tag>/conversation.json, so that they outlive the client.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import Refused, campaign, disk, record, stopping
from . import branch as git_branch
from .situation import Situation, look
from .text import read_json, write_json

SILENT_MOST = 5  # turns without a tool call until the model is told; one more, and a fresh session takes over
FRUITLESS_MOST = 8  # the same for turns that called tools and brought the campaign nowhere
REFUSED_MOST = 3  # turns that the model's endpoint refused for good, until a fresh session takes over
FINISH_MOST = 3  # turns that a model gets to finish the experiment in hand, when research is to end
ERRORS_MOST = 4  # turns in a row that the endpoint ended, until a fresh session is tried: it may be the old one's
FRESH_MOST = 3  # fresh sessions without an experiment until research ends
BACK_OFF = 15.0  # seconds after the first failure of the endpoint, twice as long after each further one …
BACK_OFF_MOST = 300.0  # … up to this
LOOK = 0.5  # seconds between two looks while waiting

FIRST_PROMPT = (
    "Load the skill autoresearch and carry on with this campaign: run tools/status.py, do what its line `next:` "
    "says, and go on with the loop of the skill until you are stopped. Nobody is there to answer questions."
)
NOBODY = "Nobody is there to answer. If the skill autoresearch is no longer before you, load it again."


@dataclass(frozen=True)
class TurnReport:
    """How a turn of the model ended, as the client saw it.

    `stuck`: why it was cut short; `error`: what the endpoint said, `retryable` whether that may pass.
    """

    session: str
    calls: int  # of tools
    stuck: str = ""
    error: str = ""
    retryable: bool = True


@dataclass(frozen=True)
class Action:
    """`kind`: prompt (in the same session), fresh (in a new one), stop (research is over) or none (not ours)."""

    kind: str
    text: str = ""


@dataclass(frozen=True)
class Counts:
    """What is counted from turn to turn.

    All begin anew with an experiment; with a session all but `fresh` and `errors`, which is about the endpoint.
    """

    session: str = ""
    silent: int = 0  # turns in a row without a tool call
    fruitless: int = 0  # turns in a row after which the campaign stood where it had stood
    errors: int = 0  # turns in a row that the endpoint ended
    refused: int = 0  # those among them that will not pass by themselves
    fresh: int = 0  # fresh sessions
    given_up: str = ""  # why research ended, where it was for want of an experiment
    runs: int = 0  # the campaign's position: runs begun …
    decisions: int = 0  # … and experiments decided


def count(before: Counts, report: TurnReport, runs: int, decisions: int) -> Counts:
    """The counts after a turn that ended with the campaign at the position given."""
    if (runs, decisions) != (before.runs, before.decisions):
        before = Counts(runs=runs, decisions=decisions)
    elif report.session != before.session:
        before = Counts(report.session, errors=before.errors, fresh=before.fresh, runs=runs, decisions=decisions)
        return _add(before, report)
    else:
        return _add(before, report)
    return replace(before, session=report.session, errors=int(bool(report.error)))


def _add(before: Counts, report: TurnReport) -> Counts:
    if report.error:  # the model did not get to say anything: that says nothing about it
        return replace(before, errors=before.errors + 1, refused=before.refused + (not report.retryable))
    silent = 0 if report.calls else before.silent + 1
    return replace(before, silent=silent, fruitless=before.fruitless + 1, errors=0, refused=0)


@dataclass(frozen=True)
class Facts:
    """All that the decision follows from. `stop`: why no further experiment is to begin, empty when one may."""

    counts: Counts
    stuck: str = ""
    stop: str = ""
    now: bool = False  # what is in hand is not to be finished either
    undecided: bool = False  # an experiment is in hand


def decide(facts: Facts) -> Action:
    """What to do, and why in `text` (empty where the model just goes on)."""
    counts = facts.counts
    helpless = max(counts.fruitless, counts.errors) >= FINISH_MOST
    if facts.stop and (facts.now or not facts.undecided or helpless):
        return Action("stop", facts.stop)
    trouble = facts.stuck
    if counts.refused >= REFUSED_MOST:
        trouble = f"the model's endpoint refused {counts.refused} turns in a row"
    elif counts.silent > SILENT_MOST:
        trouble = f"{counts.silent} turns in a row without a tool call"
    elif counts.fruitless > FRUITLESS_MOST:
        trouble = f"{counts.fruitless} turns in a row that neither began nor logged an experiment"
    if trouble:
        return Action("stop" if counts.fresh >= FRESH_MOST else "fresh", trouble)
    if counts.errors and counts.errors % ERRORS_MOST == 0:
        return Action("fresh", f"{counts.errors} failures of the endpoint in a row")
    if counts.silent == SILENT_MOST:
        return Action("prompt", f"You ended {counts.silent} turns without calling a tool. Call one now.")
    if counts.fruitless == FRUITLESS_MOST:
        return Action("prompt", f"In your last {counts.fruitless} turns no experiment was begun or logged.")
    return Action("prompt")


def renewed(counts: Counts) -> Counts:
    """The counts that a fresh session begins with. One for the endpoint's sake is none of the three."""
    if counts.errors and counts.refused < REFUSED_MOST:
        return Counts(errors=counts.errors, fresh=counts.fresh, runs=counts.runs, decisions=counts.decisions)
    return Counts(fresh=counts.fresh + 1, runs=counts.runs, decisions=counts.decisions)


def back_off(errors: int) -> float:
    """Seconds to leave an endpoint alone that failed so many times in a row."""
    return min(BACK_OFF * 2.0 ** min(errors - 1, 10), BACK_OFF_MOST) if errors > 0 else 0.0


# ---------------------------------------------------------------------------------------------------
# The same with its effects


Say = Callable[[str], None]


def after_turn(
    root: Path,
    tag: str,
    report: TurnReport,
    say: Say = lambda line: None,
    enough: Callable[[], bool] = lambda: False,
) -> Action:
    """Decide on what follows the turn in `report`, once there is something for the model to do.

    Waits for as long as that takes, unless STOP says `now` or `enough` says so; `say` hears what for. The text of
    the action is the prompt, or why research ends.
    """
    before = _load(root, tag)
    _wait_out(root, tag, before.errors + 1 if before else 1, report, say, enough)
    at_once = stopping.at_once(root)
    try:
        with campaign.lock(root):
            back = git_branch.come_back(root, tag)
            now = look(root)
            decided = sum(experiment.decision is not None for experiment in now.experiments)
            position = len(now.runs), decided
            counts = count(before or Counts(runs=position[0], decisions=position[1]), report, *position)
            facts = Facts(counts, report.stuck, now.stop or "", at_once, in_hand(now))
            worded = word(decide(facts), facts, now, report)
    except Refused as refusal:  # the model may be able to mend it: status says the same
        back, before = "", before or Counts()
        counts = count(before, report, before.runs, before.decisions)
        facts = Facts(counts, report.stuck, stopping.ASKED if stopping.asked(root) else "", at_once)
        worded = decide(facts)
        if worded.kind == "prompt":
            worded = Action("prompt", f"Go on. tools/status.py has something to say: {refusal} {NOBODY}")
    _store(root, tag, counts, worded, facts)
    return replace(worded, text=f"{back} {worded.text}") if back and worded.kind == "prompt" else worded


def word(action: Action, facts: Facts, now: Situation, report: TurnReport) -> Action:
    """The action with its text as the model, or the person, gets to read it."""
    if action.kind == "fresh":
        return Action("fresh", f"{FIRST_PROMPT} (The session before this one ended with {action.text}.)")
    if action.kind == "stop":
        if facts.stop:
            return action
        last = f"; the last thing it said: {report.error}" if report.error else ""
        return Action("stop", f"no experiment in {FRESH_MOST} fresh sessions ({action.text}{last})")
    lines = [action.text or "Go on: research is not over."]
    if facts.stop:
        lines = [f"Research is to end ({facts.stop}). Finish the experiment in hand, and begin no other."]
    return Action("prompt", f"{' '.join([*lines, where(now), NOBODY])}\nnext: {now.state.next}")


def where(now: Situation) -> str:
    """Where the campaign stands, in a sentence or two."""
    best = f"Best val_bpb {now.incumbent.mean:.6f}. " if now.incumbent else ""
    run = f", run {now.newest.last.name}" if now.newest and in_hand(now) else ""
    unlogged = ", not logged" if now.state.name == "finished" else ""
    return f"{best}State: {now.state.name}{run}{unlogged}."


def in_hand(now: Situation) -> bool:
    """Whether an experiment was begun and is not decided."""
    return now.newest is not None and not now.newest.settled


def forget(root: Path, tag: str) -> None:
    """Count from nothing: a person started anew."""
    _path(root, tag).unlink(missing_ok=True)


def given_up(root: Path, tag: str) -> str:
    """Why research was ended for want of an experiment; empty where it was not."""
    counts = _load(root, tag)
    return counts.given_up if counts else ""


def _wait_out(
    root: Path, tag: str, errors: int, report: TurnReport, say: Say, enough: Callable[[], bool]
) -> None:
    """Wait while the model could do nothing: the endpoint is away, a run is in progress, the disk is full."""

    def cut_short() -> bool:
        return enough() or stopping.at_once(root)

    if report.error:
        pause = back_off(errors)
        say(f"the model's endpoint: {report.error}; again in {pause:.0f} s")
        until = time.monotonic() + pause
        while time.monotonic() < until and not cut_short() and not stopping.asked(root):
            time.sleep(LOOK)
    newest = max(campaign.folder(root, tag).glob("[0-9]*-*"), default=None)
    while newest is not None and record.is_locked(newest / "run.lock") and not cut_short():
        time.sleep(LOOK)
    said = ""
    while (short := disk.shortage(root)) and not cut_short() and not stopping.asked(root):
        if short != said:
            say(f"waiting: {short}")
            said = short
        time.sleep(LOOK)


def _store(root: Path, tag: str, counts: Counts, worded: Action, facts: Facts) -> None:
    if worded.kind == "fresh":
        counts = renewed(counts)
    elif worded.kind == "stop" and not facts.stop:
        counts = replace(counts, given_up=worded.text)
    with contextlib.suppress(OSError):  # it is counted again from the last time that there was room
        if campaign.folder(root, tag).exists():
            write_json(_path(root, tag), asdict(counts))


def _path(root: Path, tag: str) -> Path:
    return campaign.folder(root, tag) / "conversation.json"


def _load(root: Path, tag: str) -> Counts | None:
    value = read_json(_path(root, tag))
    try:
        return Counts(**value) if value else None
    except TypeError:  # of another version
        return None
