#!/usr/bin/env python3
"""Start or resume a research campaign: set-up, branch, baseline, then opencode. With --demo, show a short one."""

from __future__ import annotations

import datetime
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import setup
from harness import Refused, campaign, client, demo, preparation, record, show
from harness import branch as git_branch
from harness.branch import PREFIX, STEERING, TRAIN, Git
from harness.client import Client
from harness.command import DONE, ROOT, Parser, main
from harness.research import STOP, baseline, research, say, situation

NAME = "start"
EXAMPLES = """\
  scripts/start.sh                          begin a campaign named after today, or go on with the current one
  scripts/start.sh attention                begin or resume the campaign autoresearch/attention
  scripts/start.sh --headless               without the client's window: a line for each thing that happens
  scripts/start.sh --model provider/name    with this model
  scripts/start.sh --demo                   watch it work: no key, no GPU, a clone of its own in .demo/

Stop: Ctrl-C ends it now, `touch STOP` once the experiment in hand is logged. Nothing is lost either way."""
INTERRUPTED = 130  # as a shell says it
TAG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,60}[A-Za-z0-9_-])?")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class Options:
    """The command line."""

    tag: str | None
    headless: bool
    model: str | None
    demo: bool
    experiments: int | None
    profile: str | None
    budget: str | None


def arguments(argv: list[str]) -> Options:
    parser = Parser("scripts/start.sh", __doc__ or "", EXAMPLES)
    parser.add_argument("tag", nargs="?", help="the campaign's name; default: the current one, else from the date")
    parser.add_argument("--headless", action="store_true", help="no opencode window, but a line for each event")
    parser.add_argument("--model", metavar="PROVIDER/NAME", help="the model, as `opencode models` lists it")
    parser.add_argument("--demo", action="store_true", help="with the embedded researcher, in a clone in .demo/")
    parser.add_argument("--experiments", type=int, metavar="N", help="end when N more experiments are logged")
    parser.add_argument("--profile", choices=("full", "small", "auto"), help="full: CUDA; small: CPU, MPS")
    parser.add_argument("--budget", help="of each run: 300s, 100cpu (CPU-seconds) or 400000tok")
    given = Options(**vars(parser.parse_args(argv)))
    if given.demo and (given.tag or given.model or given.profile):
        parser.error("--demo has its own campaign, model and profile: leave TAG, --model and --profile out")
    if given.experiments is not None and given.experiments < 1:
        parser.error(f"--experiments {given.experiments}: at least 1")
    if given.model is not None and not re.fullmatch(r"[^/\s]+/\S+", given.model):
        parser.error(f"--model {given.model}: it is named provider/name, as `opencode models` lists it")
    tag = given.tag
    if tag is not None and (not TAG.fullmatch(tag) or ".." in tag or tag.endswith(".lock")):
        parser.error(f"the tag {tag!r}: letters, digits, `.`, `_` and `-`, such as {date_tag()}")
    return given


def body() -> int:
    given = arguments(sys.argv[1:])
    if given.budget is not None:
        preparation.check_budget(given.budget)
    if not given.headless and not (sys.stdin.isatty() and sys.stdout.isatty()):
        if not given.demo:
            raise Refused("this is no terminal, which the client's window needs: add --headless")
        given = replace(given, headless=True)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    return run_demo(given) if given.demo else run_campaign(given)


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


# ---------------------------------------------------------------------------------------------------
# A campaign


def run_campaign(given: Options) -> int:
    """Everything from a bare checkout to research that goes on until it is stopped."""
    plan = choose_tag(given.tag, checked_out(ROOT), tags_of_branches(ROOT), tags_of_campaigns(ROOT), date_tag())
    check_plan(plan, given)
    setup.body(["--profile", given.profile] if given.profile else [])
    environ = client.environment(ROOT)
    if given.budget:
        environ["AUTORESEARCH_BUDGET"] = given.budget
    agent = Client(find_opencode(ROOT), ROOT, environ, given.model)
    check_model(agent)
    say(plan.note)
    check_out(plan)
    if (ROOT / STOP).exists():
        (ROOT / STOP).unlink()
        say("a STOP file from before is removed")
    status = baseline(ROOT, environ)
    if status != DONE:
        return status
    finished = research(agent, plan.tag, given.experiments, given.headless)
    return conclude(ROOT, finished)


@dataclass(frozen=True)
class Plan:
    """The campaign to work on. `new`: its branch is to be made, at HEAD."""

    tag: str
    new: bool
    note: str


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


def check_plan(plan: Plan, given: Options) -> None:
    """Refuse what would end badly, before anything is changed."""
    git = Git(ROOT)
    pinned = None if plan.new else campaign.load(ROOT, plan.tag)
    for name, wanted, has in (
        ("budget", given.budget, pinned and pinned.budget),
        ("profile", given.profile, pinned and pinned.profile),
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
    if not plan.new and checked_out(ROOT) != plan.tag:
        differing = git.run("diff", "--name-only", "-z", "HEAD", f"{PREFIX}{plan.tag}")
        for name in sorted(changed & set(differing.decode("utf-8", "surrogateescape").split("\0"))):
            raise Refused(
                f"{name} has uncommitted changes and differs on the branch {PREFIX}{plan.tag}: commit them, or "
                f"set them aside (git stash push -- {name})"
            )


def check_out(plan: Plan) -> None:
    """Onto the campaign's branch; uncommitted work comes along untouched."""
    if plan.new:
        Git(ROOT).run("switch", "--quiet", "-c", f"{PREFIX}{plan.tag}")
    elif checked_out(ROOT) != plan.tag:
        Git(ROOT).run("switch", "--quiet", f"{PREFIX}{plan.tag}")


def find_opencode(root: Path) -> Path:
    program = client.find_program(root, "opencode")
    if program is None:
        raise Refused("opencode is not installed: run scripts/setup.sh")
    return program


def check_model(agent: Client) -> None:
    """Refuse a model that opencode does not know, and none at all."""
    try:
        known = agent.models()
    except OSError as error:
        raise Refused(f"{agent.program} does not list its models: {error}") from None
    opencode = "opencode" if shutil.which("opencode") else os.path.relpath(agent.program)
    if agent.model is not None:
        if agent.model not in known:
            near = difflib.get_close_matches(agent.model, known, 3, 0.4)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise Refused(f"opencode knows no model {agent.model}: {hint}`{opencode} models` lists what there is")
    elif all(name.startswith("opencode/") for name in known):  # free ones, which nobody chose
        raise Refused(
            f"no model is configured: give opencode a key (`{opencode} auth login`, or a variable such as "
            "ANTHROPIC_API_KEY), describe a local one in ~/.config/opencode/opencode.json (see README.md), or "
            "name one of `opencode models` with --model; to watch without any: scripts/start.sh --demo"
        )


# ---------------------------------------------------------------------------------------------------
# The demonstration


def run_demo(given: Options) -> int:
    """A short campaign of the embedded researcher, in a clone of its own, with the real client."""
    checked_out(ROOT)  # a git repository at least
    setup.body(["--no-data"])
    place = demo.Place(ROOT)
    experiments = given.experiments or demo.EXPERIMENTS
    environ = demo.environment(place, given.budget or demo.BUDGET)
    with demo.only_one(place):
        stop_run(place.clone, environ)  # of a demo that was killed
        before = demo.build(place)
        say(f"the demo: {experiments} experiments in a clone of its own, {place.clone.relative_to(ROOT)}")
        changes = ", ".join(f"{name} {old} → {demo.SET_BACK[name]}" for name, old in before.items())
        if changes:
            say(f"so that there is something to find, its train.py starts with {changes}")
        prepare = [environ["AUTORESEARCH_PYTHON"], "prepare.py", "--profile", "small", "--source", "sample"]
        if subprocess.run(prepare, cwd=place.clone, env=environ, stdin=subprocess.DEVNULL).returncode != DONE:
            return 2
        try:
            status = baseline(place.clone, environ)
            if status != DONE:
                return status
            with demo.researcher(place, environ, experiments) as address:
                agent = Client(find_opencode(ROOT), place.clone, demo.with_model(environ, address))
                finished = research(
                    agent, demo.TAG, experiments, given.headless, lambda process: demo.remember(place, process.pid)
                )
        finally:
            stop_run(place.clone, environ)
        status = conclude(place.clone, finished)
        tell_where_to_look(place, changes)
    return status


def tell_where_to_look(place: demo.Place, changes: str) -> None:
    """After the table: what to open."""
    clone = place.clone.relative_to(ROOT)
    if changes:
        print(f"The baseline had constants set back, so that a short demo has something to find:\n  {changes}.")
    print(f"""
Look around in {clone}:
  results.tsv    what the table shows, as a campaign keeps it
  git log -p     the kept improvements; refs/autoresearch/{demo.TAG}/ has every candidate
  runs/{demo.TAG}/     each run: the files it ran as, its log, curve and record
  ../requests/   what opencode told the embedded researcher, and what it answered
Next, with a model of your own: scripts/start.sh""")


def stop_run(root: Path, environ: Mapping[str, str]) -> None:
    """End the run in progress, if there is one, so that nothing of the demo goes on."""
    if any(record.is_locked(path) for path in (root / "runs").glob("*/*/run.lock")):
        command = [str(root / "scripts" / "run_experiment.sh"), "--stop"]
        subprocess.run(command, cwd=root, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True)


# ---------------------------------------------------------------------------------------------------
# What came of it


def conclude(root: Path, finished: bool) -> int:
    """Show what came of it. Returns the exit code."""
    now = situation(root)
    decided = [experiment for experiment in now.experiments if experiment.decision is not None]
    print(f"\n{show.summary(decided)} (campaign {now.branch.tag})")
    for line in show.table(decided):
        print(line)
    if now.state.name == "running" and now.newest is not None:
        print(f"run {now.newest.last.name} goes on in the background; to end it: scripts/run_experiment.sh --stop")
    return DONE if finished else INTERRUPTED


if __name__ == "__main__":
    main(NAME, body, sys.argv)
