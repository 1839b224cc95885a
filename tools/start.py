#!/usr/bin/env python3
"""Start or resume a research campaign: set-up, branch, baseline, then opencode until you or a limit end it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import setup
from harness import (
    Refused,
    campaign,
    client,
    demo,
    driver,
    model,
    plan,
    preparation,
    record,
    stint,
    stopping,
    summary,
    wrapup,
)
from harness import branch as git_branch
from harness.client import Client
from harness.command import DONE, FAILED, ROOT, Parser, main
from harness.report import files
from harness.research import Ended, GaveUp, Screen, Started, baseline, emit, ignore, research, say
from harness.wrapup import situation

NAME = "start"
EXAMPLES = """\
  scripts/start.sh                          begin a campaign named after today, or go on with the current one
  scripts/start.sh attention                begin or resume the campaign autoresearch/attention
  scripts/start.sh --headless               without the client's window: a line for each thing that happens
  scripts/start.sh --until 07:00            end then (the experiment in hand is finished); see also program.md
  scripts/start.sh --model provider/name    with this model
  scripts/start.sh --demo                   watch it work: no key, no GPU, a clone of its own in .demo/

End it: Ctrl-C, SIGTERM or tools/stop.py. The run in hand is finished and logged first. A second Ctrl-C leaves it
for the next start instead, tools/stop.py --now discards it. Nothing is lost in any of these ways."""
EXIT_CODES = """\
exit codes: 0 at a limit or a STOP, 1 the model brought nothing about, 2 refused (the message says what to do),
130 after Ctrl-C or SIGTERM"""
BEGAN = time.time()
INTERRUPTED = 130  # as a shell says it


@dataclass(frozen=True)
class Options:
    """The command line."""

    tag: str | None
    headless: bool
    model: str | None
    demo: bool
    profile: str | None
    budget: str | None
    limits: Mapping[str, str]  # by their names in program.md, as given


# Flags that end this start; each is a line of program.md's Budget as well.
LIMITS = {
    "until": ("TIME", "end then: 07:00, or 2026-11-24 07:00"),
    "experiments": ("N", "end when N more experiments are logged"),
    "hours": ("H", "end when runs took H hours"),
    "target": ("BPB", "end at this val_bpb, or a lower one"),
    "tokens": ("N", "end when the client used N tokens (20M)"),
    "dollars": ("USD", "end when the client spent so many dollars"),
    "patience": ("N", "end after N experiments in a row without a keep"),
}


def arguments(argv: list[str]) -> Options:
    parser = Parser("scripts/start.sh", __doc__ or "", EXAMPLES, EXIT_CODES)
    parser.add_argument("tag", nargs="?", help="the campaign's name; default: the current one, else from the date")
    parser.add_argument("--headless", action="store_true", help="no opencode window, but a line for each event")
    parser.add_argument("--model", metavar="PROVIDER/NAME", help="the model, as `opencode models` lists it")
    parser.add_argument("--demo", action="store_true", help="with the embedded researcher, in a clone in .demo/")
    parser.add_argument("--profile", choices=("full", "small", "auto"), help="full: CUDA; small: CPU, MPS")
    parser.add_argument("--budget", help="of each run: 300s, 100cpu (CPU-seconds) or 400000tok")
    group = parser.add_argument_group("limits of this start (what program.md sets holds too)")
    for name, (value, what) in LIMITS.items():
        group.add_argument(f"--{name}", metavar=value, help=what)
    found = vars(parser.parse_args(argv))
    limits = {name: value for name in LIMITS if (value := found.pop(name)) is not None}
    given = Options(**found, limits=limits)
    if given.demo and (given.tag or given.model or given.profile):
        parser.error("--demo has its own campaign, model and profile: leave TAG, --model and --profile out")
    if given.model is not None and not re.fullmatch(r"[^/\s]+/\S+", given.model):
        parser.error(f"--model {given.model}: it is named provider/name, as `opencode models` lists it")
    if given.tag is not None and not plan.good_tag(given.tag):
        parser.error(f"the tag {given.tag!r}: letters, digits, `.`, `_` and `-`, such as {plan.date_tag()}")
    return given


def body() -> int:
    given = arguments(sys.argv[1:])
    stint.flag_limits(given.limits)  # refuses what makes no sense
    if given.budget is not None:
        preparation.check_budget(given.budget)
    if not given.headless and not (sys.stdin.isatty() and sys.stdout.isatty()):
        if not given.demo:
            raise Refused("this is no terminal, which the client's window needs: add --headless")
        given = replace(given, headless=True)
    signals = Signals()
    return run_demo(given, signals) if given.demo else run_campaign(given, signals)


class Signals:
    """The first signal ends research in good order, the second one ends that at once; see `come_to_rest`.

    A terminal that goes away (SIGHUP) is not asking for haste, and may say so more than once.
    """

    def __init__(self) -> None:
        self.raises, self.missed = True, False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        if not self.raises:  # what the first one began is not to be torn
            self.missed = self.missed or number != signal.SIGHUP
            return
        self.raises = False
        raise KeyboardInterrupt

    def again(self) -> None:
        """Let the next signal count. Raises KeyboardInterrupt where it came meanwhile."""
        self.raises, missed, self.missed = True, self.missed, False
        if missed:
            self.raises = False
            raise KeyboardInterrupt

    def outlive_terminal(self, log: Path, goes_on: bool) -> None:
        """When the terminal closes, what is printed goes to `log`; and research ends, unless it `goes_on`."""
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            return
        elsewhere = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

        def redirect(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.dup2(elsewhere, 1)
            os.dup2(elsewhere, 2)
            if not goes_on:
                self.handle(number, frame)

        signal.signal(signal.SIGHUP, redirect)


# ---------------------------------------------------------------------------------------------------
# A campaign


def run_campaign(given: Options, signals: Signals) -> int:
    """Everything from a bare checkout to research that goes on until it is ended."""
    chosen = plan.choose(ROOT, given.tag)
    plan.check(ROOT, chosen, given.budget, given.profile)
    setup.body(["--profile", given.profile] if given.profile else [])
    environ = client.environment(ROOT)
    if given.budget:
        environ["AUTORESEARCH_BUDGET"] = given.budget
    agent = Client(find_opencode(ROOT), ROOT, environ, given.model)
    model.check_version(agent, say)
    model.check(agent)
    model.ask(agent, say)
    with driver.the_only_one(ROOT, chosen.tag):
        say(chosen.note)
        plan.check_out(ROOT, chosen)
        folder = campaign.folder(ROOT, chosen.tag)
        folder.mkdir(parents=True, exist_ok=True)
        signals.outlive_terminal(folder / "start.log", goes_on=given.headless)
        if given.headless:
            say(f"closing the terminal does not end it (then see runs/{chosen.tag}/start.log); tools/stop.py does")
        return carry_on(agent, chosen.tag, given, signals)


def carry_on(agent: Client, tag: str, given: Options, signals: Signals, started: Started = ignore) -> int:
    """The baseline, research, its end, and what came of it. Returns the exit code."""
    root, environ = agent.root, agent.environ
    if stopping.withdraw(root, BEGAN):  # one that was made since then is meant for us
        say("a STOP file from before is removed")
    stint.begin(root, tag, given.limits)
    code = DONE
    try:
        status = baseline(root, environ)
        if status != DONE:
            return status
        say(f"research ends: {research(agent, tag, given.headless, started)}")
    except Ended as asked:
        say(f"research ends: {asked}")
    except GaveUp as why:
        print(f"{NAME}: research ends: {why}", file=sys.stderr)
        code = FAILED
    except KeyboardInterrupt:
        emit("")
        code = INTERRUPTED
    finally:
        come_to_rest(root, tag, environ, signals)
        stint.end(root, tag)
        show_page(root, environ)
    return code


def come_to_rest(root: Path, tag: str, environ: Mapping[str, str], signals: Signals) -> None:
    """Finish what is in hand, or discard it where STOP says so; another signal leaves it for the next start."""
    screen = Screen()
    try:
        signals.again()
        if back := git_branch.come_back(root, tag):
            say(back)
        if not stopping.at_once(root) and situation(root).state.name == "running":
            say("the run in hand is finished and logged first; Ctrl-C leaves it for the next start")
        wrapup.finish(root, environ, False, lambda line: emit(f"  {line}"), screen.live)
        return
    except KeyboardInterrupt:
        screen.live("")
    except Refused as refusal:
        say(str(refusal))
    run = wrapup.interrupt(root, tag)
    if run is not None:
        say(f"run {run.name} is interrupted, and the next start goes on with it")


def show_page(root: Path, environ: Mapping[str, str]) -> None:
    """What came of it, here and as files."""
    try:
        now = situation(root)
    except Refused as refusal:
        emit(f"\n{refusal}")
        return
    lines = summary.page(now)
    emit("\n" + "\n".join(lines))
    for line in files.leave(now, lines, environ):
        emit(line)


def find_opencode(root: Path) -> Path:
    program = client.find_program(root, "opencode")
    if program is None:
        raise Refused("opencode is not installed: run scripts/setup.sh")
    return program


# ---------------------------------------------------------------------------------------------------
# The demonstration


def run_demo(given: Options, signals: Signals) -> int:
    """A short campaign of the embedded researcher, in a clone of its own, with the real client."""
    plan.checked_out(ROOT)  # a git repository at least
    setup.body(["--no-data"])
    place = demo.Place(ROOT)
    given = replace(given, limits={"experiments": str(demo.EXPERIMENTS), **given.limits})
    environ = demo.environment(place, given.budget or demo.BUDGET)
    with demo.only_one(place):
        stop_run(place.clone, environ)  # of a demo that was killed
        before = demo.build(place)
        experiments = int(given.limits["experiments"])
        say(f"the demo: {experiments} experiments in a clone of its own, {place.clone.relative_to(ROOT)}")
        changes = ", ".join(f"{name} {old} → {demo.SET_BACK[name]}" for name, old in before.items())
        if changes:
            say(f"so that there is something to find, its train.py starts with {changes}")
        prepare = [environ["AUTORESEARCH_PYTHON"], "prepare.py", "--profile", "small", "--source", "sample"]
        if subprocess.run(prepare, cwd=place.clone, env=environ, stdin=subprocess.DEVNULL).returncode != DONE:
            return 2
        try:
            with demo.researcher(place, environ, experiments) as address:
                agent = Client(find_opencode(ROOT), place.clone, demo.with_model(environ, address))
                started = lambda process: demo.remember(place, process.pid)  # noqa: E731
                with driver.the_only_one(place.clone, demo.TAG):
                    status = carry_on(agent, demo.TAG, given, signals, started)
        finally:
            stop_run(place.clone, environ)
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


if __name__ == "__main__":
    main(NAME, body, sys.argv)
