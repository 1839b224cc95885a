"""Is a record what it says it is? Held against git, the campaign's pin, the scorer's word and the weights.

A score decides only where all of them agree: each is written by another hand, so that what was changed by
mistake, or on purpose by halves, does not go unnoticed. Whether the weights are worth their score, tools/audit.py
finds out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import Refused, runner, snapshot, state
from . import campaign as campaigns
from .branch import NEW_BRANCH, Git
from .campaign import Campaign
from .record import Record, Request, Run
from .submit import seed_of
from .text import read_json, sha256_of


@dataclass(frozen=True)
class Facts:
    """What a run was asked to do and what was recorded of it, and all that these have to agree with."""

    request: Request
    record: Record
    campaign: Campaign
    committed: Mapping[str, str]  # sha256 of the snapshot's files, as git has them
    score: Mapping[str, Any]  # score.json
    model: Mapping[str, str]  # sha256 of what is still in work/


def mismatch(facts: Facts) -> str:
    """The first thing that does not agree, with the file it is in; empty where all does."""
    request, record, campaign = facts.request, facts.record, facts.campaign
    drawn = request.number if request.drawn is None else min(request.drawn, request.number)
    seed = seed_of(campaign.tag, drawn)
    if request.pin_sha256 != campaigns.digest(campaign):
        return "campaign.json is not what it was when the run began"
    for file, part in (("run.json", request), ("record.json", record)):
        for name in [*facts.committed, *part.sha256]:
            if part.sha256.get(name) != facts.committed.get(name):
                return f"{file} has another sha256 of {name} than git ({_short(part.sha256.get(name))})"
        if part.seed != seed:
            return f"{file} has the seed {part.seed}, and the one that was drawn is {seed}"
    for name in ("sandbox", "data_sha256", "lock_sha256"):
        if getattr(record, name) != getattr(campaign, name):
            return f"record.json has another {name} than campaign.json"
    scored = facts.score.get("val_bpb") if record.outcome == "finished" else None
    if record.val_bpb != scored:
        return f"record.json has the val_bpb {record.val_bpb}, and score.json {scored}"
    # What did not finish may have left anything; of what did, the scorer has seen to it.
    for name, sha256 in facts.model.items() if record.outcome == "finished" else ():
        if sha256 != record.model_sha256.get(name, sha256):
            return f"work/{name} has another sha256 ({_short(sha256)}) than record.json"
    return ""


def check(git: Git, campaign: Campaign, runs: Iterable[Run]) -> None:
    """Refuse to decide on runs of which something does not agree."""
    for name, wrong in disagreeing(git, campaign, runs).items():
        raise Refused(
            f"run {name} cannot be decided on: {wrong} (in runs/{campaign.tag}/{name}-*). A person sees with "
            f"tools/audit.py --record {name} what it is worth, and puts the file back as it was",
            f"{state.END}: the files of run {name} do not agree any more, and a person has to look at them",
        )


def disagreeing(git: Git, campaign: Campaign, runs: Iterable[Run]) -> dict[str, str]:
    """What does not agree, by run, of those with a record. Raises Refused where a commit is gone."""
    look = _looker(git, campaign)
    found = {run.name: mismatch(look(run)) for run in runs if run.record is not None}
    return {name: wrong for name, wrong in found.items() if wrong}


def check_device(runs: Iterable[Run], rivals: Iterable[Run]) -> None:
    """Refuse to compare scores of two devices: each has its own speed, so its own budget's worth of training."""
    theirs = {name for run in rivals if (name := _device_of(run))}
    for run in runs:
        if theirs and (name := _device_of(run)) and name not in theirs:
            raise Refused(
                f"run {run.name} was made on {name}, and the incumbent's on {', '.join(sorted(theirs))}: their "
                f"scores cannot be compared. A campaign has one device: begin another one here ({NEW_BRANCH})",
                f"{state.END}: the device is not the campaign's any more, and a person has to begin another one",
            )


def _device_of(run: Run) -> str:
    return str(run.record.machine.get("device_name") or "") if run.record and run.scored else ""


def under_pin(runs: Iterable[Run]) -> list[Run]:
    """The runs that the campaign's pin holds for: a baseline that failed may have been begun with another one."""
    found: list[Run] = []
    for run in runs:
        found = [run] if run.request.kind == "baseline" else [*found, run]
    return found


def _looker(git: Git, campaign: Campaign) -> Callable[[Run], Facts]:
    """What looks up the facts of a run with a record; it asks git once for each commit."""

    @functools.cache
    def committed(commit: str) -> dict[str, str]:
        return snapshot.digests(snapshot.files(git, commit, campaign.bench))

    def look(run: Run) -> Facts:
        assert run.record is not None
        score = read_json(run.path / "score.json") or {}
        model = {name: sha256 for name in runner.MODEL if (sha256 := sha256_of(run.path / "work" / name))}
        return Facts(run.request, run.record, campaign, committed(run.request.commit), score, model)

    return look


def _short(sha256: str | None) -> str:
    return f"{sha256[:12]}…" if sha256 else "none"
