"""Whether an edit was tried before: said before it costs a run.

The rule. An edit is refused, unless with --again, where its outcome is known: it is near one that was tried on
this very incumbent and not kept, its train.py is one that was tried and not kept, or it changes nothing that runs.
Near one that was tried on another incumbent, or in another campaign, it may be worth another try: a note says how
that went. An edit of the same place that is not near, but close, gets a note as well. What the bench itself offers
again (--retry, --confirm, --fix) is not asked for its novelty.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import Refused, memory, similar, state
from . import branch as git_branch
from .memory import Memory, Past
from .situation import Situation
from .text import said

CLOSE = 0.5  # distance up to which an edit that is not near is worth a note
AGAIN = "--again runs it all the same"


@dataclass(frozen=True)
class Found:
    """What is known of an edit. `empty`: it changes nothing that runs; `tried`: not kept, on this incumbent or
    with this very text; `near`, `close`: the best of others, which decide nothing."""

    empty: bool = False
    tried: Past | None = None
    near: Past | None = None
    close: Past | None = None


def check(now: Situation, again: bool) -> list[str]:
    """Notes on the edit in train.py. Raises Refused where its outcome is known, and `again` is not given."""
    if now.state.name != "edited" or now.stop or now.text is None or now.campaign is None:
        return []  # whether it may run at all is for `submit` to say
    incumbent = git_branch.train_text(now.branch.git, now.branch.tip)
    texts = [one.decode("utf-8", "replace") for one in (incumbent, now.text)]
    change = similar.describe(texts[0], texts[1], now.campaign.profile)
    if change is None:
        return []
    here, others = now.folder, _others(now.folder)

    def look_up(index: Memory) -> Found:
        ours = index.follow(here, now.branch.git)
        theirs = [index.follow(folder) for folder in others]
        same = [*index.same_text(memory.digest(now.text), [ours])]
        return find(change, memory.digest(incumbent), ours, index.alike(change, [ours, *theirs]), same)

    try:
        found = memory.ask(now.root, look_up)
    except Refused as failure:  # no reason not to research
        return [f"whether this was tried before is not known: {failure}"]
    refusal = _refusal(found)
    if refusal and not again:
        raise Refused(f"{refusal}; {AGAIN}", state.REVERT)
    return [*([refusal] if refusal else []), *_notes(found)]


def find(
    change: similar.Change, incumbent: str, here: str, alike: list[tuple[float, Past]], same: list[Past]
) -> Found:
    """What past experiments say of a change. `incumbent`: the digest of what it is tried on; `here`: the campaign;
    `alike`: what changed the same places, the nearest first; `same`: what ran this very text, in this campaign."""
    if not change:
        return Found(empty=True)
    nears = [past for _, past in alike if past.change and similar.near(change, past.change)]
    known = [past for past in nears if past.campaign == here and past.parent_sha256 == incumbent]
    tried = [past for past in [*reversed(same), *known] if past.status != "keep"]
    others = [past for past in nears if past not in known]
    close = [past for gap, past in alike if gap <= CLOSE and past not in nears and past.campaign == here]
    return Found(
        tried=tried[0] if tried else None,
        near=others[0] if others and not tried else None,
        close=close[0] if close and not nears else None,
    )


def outcome(past: Past) -> str:
    """How an experiment went, in a line without its number."""
    went = past.status
    if past.val_bpb is not None:
        went += f" at val_bpb {past.val_bpb:.6f}"
    if past.gain is not None and past.gain_sd is not None:
        went += f", believed gain {past.gain:+.4f} ± {past.gain_sd:.4f}"
    if past.status == "crash" and past.reason:
        went += f" ({said(past.reason, 80)})"
    return f"{went}: {said(past.description, 100)}"


def _refusal(found: Found) -> str:
    if found.empty:
        return (
            "the edit changes nothing that runs here: layout, comments, names, or constants of the other profile"
        )
    if found.tried is None:
        return ""
    past = found.tried
    told = f"this is experiment {past.number:04d} again, which ended as {outcome(past)}"
    if past.is_near_miss:
        told += f" (a near miss: after {state.REVERT}, --retry {past.number:04d} counts both runs)"
    return told


def _notes(found: Found) -> list[str]:
    notes = []
    if past := found.near:
        notes.append(f"tried before on another incumbent, as {_name(past)}: {outcome(past)}")
    if past := found.close:
        notes.append(f"close to {_name(past)}: {similar.one_line(past.change or ())[:80]}: {outcome(past)}")
    return notes


def _name(past: Past) -> str:
    return f"{said(past.tag, 40)}/{past.number:04d}"


def _others(folder: Path) -> list[Path]:
    """The other campaigns of the checkout."""
    return sorted(path.parent for path in folder.parent.glob("*/campaign.json") if path.parent != folder)
