"""Which campaign a start is about: a new one, or one that goes on, with its branch checked out."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from . import Refused, campaign
from . import branch as git_branch
from .branch import PREFIX, STEERING, TRAIN, Git

TAG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,60}[A-Za-z0-9_-])?")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def good_tag(tag: str) -> bool:
    """Whether git takes it as the end of a branch's name, and a file system as a folder's."""
    return bool(TAG.fullmatch(tag)) and ".." not in tag and not tag.endswith(".lock")


@dataclass(frozen=True)
class Plan:
    """The campaign to work on. `new`: its branch is to be made, at HEAD."""

    tag: str
    new: bool
    note: str


def choose(root: Path, asked: str | None) -> Plan:
    """The campaign to work on in the checkout `root`. Raises Refused."""
    return choose_tag(asked, checked_out(root), tags_of_branches(root), tags_of_campaigns(root), date_tag())


def choose_tag(
    asked: str | None, current: str | None, branches: Collection[str], campaigns: Collection[str], today: str
) -> Plan:
    """Which campaign: `asked` by name, else the `current` branch's, else one named after `today`.

    `branches` and `campaigns` are the tags that have a branch, or runs, in this checkout. Raises Refused for a tag
    that is taken by something that cannot be gone on with here.
    """
    tag = asked or current or today
    branch = f"{PREFIX}{tag}"
    if tag in branches and tag in campaigns:
        return Plan(tag, False, f"the campaign {tag} goes on, on the branch {branch}")
    if tag == current:
        return Plan(tag, False, f"the campaign {tag} begins on the branch {branch}, which is checked out")
    if tag not in branches and tag not in campaigns:
        return Plan(tag, True, f"a new campaign {tag}, on the new branch {branch}")
    free = next(name for n in range(2, 10_000) if (name := f"{tag}-{n}") not in {*branches, *campaigns})
    if not asked:
        return Plan(free, True, f"the tag {tag} is taken, so a new campaign {free} on the branch {PREFIX}{free}")
    if tag in branches:
        raise Refused(
            f"the tag {tag} is taken: the branch {branch} is there, and no campaign of this checkout is on it: "
            f"choose another (scripts/start.sh {free}), or git switch {branch} first to begin one at its tip"
        )
    raise Refused(
        f"the tag {tag} is taken: runs/{tag} holds a campaign whose branch {branch} is gone: choose another "
        f"(scripts/start.sh {free}), or make the branch again: git branch {branch} COMMIT"
    )


def date_tag(day: datetime.date | None = None) -> str:
    """Today as nov23."""
    day = day or datetime.date.today()
    return f"{MONTHS[day.month - 1]}{day.day}"


def checked_out(root: Path) -> str | None:
    """The tag of the campaign's branch that is checked out; None on another branch. Raises Refused without git."""
    try:
        return git_branch.current(root).tag
    except Refused:
        prefix = Git(root).ask("rev-parse", "--show-prefix")
        if prefix is None or prefix.strip() or Git(root).ask("rev-parse", "--verify", "HEAD^{commit}") is None:
            raise  # no repository of our own, or an empty one
        return None


def tags_of_branches(root: Path) -> set[str]:
    names = Git(root).line("for-each-ref", "--format=%(refname:lstrip=3)", f"refs/heads/{PREFIX}")
    return set(names.split())


def tags_of_campaigns(root: Path) -> set[str]:
    return {path.parent.name for path in (root / "runs").glob("*/campaign.json")}


def check(root: Path, plan: Plan, budget: str | None, profile: str | None) -> None:
    """Refuse what would end badly, before anything is changed. `budget` and `profile` as asked for."""
    git = Git(root)
    pinned = None if plan.new else campaign.load(root, plan.tag)
    for name, wanted, has in (
        ("budget", budget, pinned and pinned.budget),
        ("profile", profile, pinned and pinned.profile),
    ):
        if pinned and wanted not in (None, "auto", has):
            raise Refused(
                f"the campaign {plan.tag} was begun with --{name} {has}, which stays while it lasts: leave "
                f"--{name} out, or begin another campaign: scripts/start.sh TAG --{name} {wanted}"
            )
    changed = set(git_branch.changed_files(git))
    for name in sorted(changed - {TRAIN, STEERING}):
        raise Refused(
            f"{name} has uncommitted changes, and an experiment changes {TRAIN} alone: commit them "
            f"(git commit -- {name}), or set them aside (git stash push -- {name})"
        )
    if pinned is None and TRAIN in changed:
        raise Refused(
            f"{TRAIN} has uncommitted changes, and a campaign begins with it as it is committed: commit them "
            f"(git commit -- {TRAIN}), or set them aside (git stash push -- {TRAIN})"
        )
    if not plan.new and checked_out(root) != plan.tag:
        differing = git.run("diff", "--name-only", "-z", "HEAD", f"{PREFIX}{plan.tag}")
        for name in sorted(changed & set(differing.decode("utf-8", "surrogateescape").split("\0"))):
            raise Refused(
                f"{name} has uncommitted changes and differs on the branch {PREFIX}{plan.tag}: commit them, or "
                f"set them aside (git stash push -- {name})"
            )


def check_out(root: Path, plan: Plan) -> None:
    """Onto the campaign's branch; uncommitted work comes along untouched."""
    if plan.new:
        Git(root).run("switch", "--quiet", "-c", f"{PREFIX}{plan.tag}")
    elif checked_out(root) != plan.tag:
        Git(root).run("switch", "--quiet", f"{PREFIX}{plan.tag}")
