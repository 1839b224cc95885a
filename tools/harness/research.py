"""Research from the baseline on: the client at work until it is stopped, in its window or turn after turn.

The commands of the bench do the work; this starts them and the client, looks at the campaign's files, and ends
what it started. In the window our plugin in the client prompts the model, without one we do; both ask
`continuation` what to say. `NAME` is who speaks to the person.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import Refused, client, continuation, show, state, stopping, turn, wrapup
from .client import Client
from .command import DONE, FAILED, RUNNING
from .continuation import FIRST_PROMPT, TurnReport
from .show import Line, Watch
from .turn import Event, Turn
from .wrapup import situation

NAME = "start"
FINISH_SECONDS = 300.0  # that a model has, to log the experiment in hand when research is to end; then we do it
LOOK_SECONDS = 10.0  # between two looks at the limits, where nothing happened that makes one due
CRASHES_MOST = 8  # launches in a row that fell over without getting anything done, until we give up
CRASH_PAUSE = 5.0  # seconds after the first of them, twice as long after each further one …
CRASH_PAUSE_MOST = 120.0  # … up to this
# Out of the alternate screen, cursor shown, mouse and paste reports off: for a client that was killed.
RESTORE_SCREEN = "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[<u\x1b[0m\n"

Started = Callable[["subprocess.Popen[Any]"], None]  # hears of each client that is launched


def ignore(process: subprocess.Popen[Any]) -> None:
    """A `Started` that does nothing."""


def say(text: str) -> None:
    emit(f"{NAME}: {text}")


def emit(text: str, end: str = "\n") -> None:
    """Print. A terminal that goes away meanwhile is no reason to end: see `Terminal` in start.py."""
    try:
        print(text, end=end, flush=True)
    except OSError:  # its SIGHUP is handled by now, and stdout leads elsewhere
        with contextlib.suppress(OSError):
            print(text, end=end, flush=True)


class GaveUp(Exception):
    """The model, or the client, brings nothing about: says why."""


class Ended(Exception):
    """A person asked for the end at once."""


def baseline(root: Path, environ: Mapping[str, str]) -> int:
    """Run and log the baseline, unless there is one. Returns the exit code to leave with, DONE to go on.

    Raises Refused where it cannot be, Ended.
    """
    experiment, screen = str(root / "scripts" / "run_experiment.sh"), Screen()
    while (now := situation(root)).incumbent is None:
        if stopping.at_once(root):
            raise Ended("a person asked for it")
        if now.stop and now.state.next.startswith(state.END):
            raise Refused(f"research cannot begin: {now.stop}")
        if now.state.next == state.BASELINE:
            say("first the baseline: train.py as it is")
            command = [experiment, "--baseline", "--wait", "0"]
        elif now.state.name == "running" and now.newest is not None:
            wrapup.wait(now.newest.last, screen.live)
            command = [experiment, "--wait", "0"]  # to see what came of it
        elif now.state.next in (state.WAIT, state.CONFIRM):
            again = ["--confirm"] if now.state.next == state.CONFIRM else []
            command = [experiment, *again, "--wait", "0"]
        elif now.state.next == state.LOG:
            command = [str(root / "tools" / "log_result.py"), "-d", "baseline"]
        else:
            raise Refused(f"the campaign has no baseline yet; {now.state.next}; then start again")
        status = wrapup.run(command, root, environ, lambda line: emit(f"  {line}"))
        if status not in (DONE, FAILED, RUNNING):
            return status
    return DONE


@dataclass
class Ending:
    """Why research is to end, looked up when something happened, and every few seconds."""

    root: Path
    watch: Watch
    position: tuple[int, int] = (-1, -1)
    looked: float = float("-inf")
    stirred: float = 0.0  # when something of the experiment in hand last moved
    reason: str = ""

    def at_once(self) -> str:
        """The reason, looked up now."""
        self.looked = float("-inf")
        self.due()
        return self.reason

    def due(self) -> str:
        """The reason, once nothing is in hand that would have to be finished first; empty until then."""
        asked = stopping.asked(self.root) is not None
        if stopping.at_once(self.root):
            self.reason = stopping.ASKED
            return self.reason
        at, moved = time.monotonic(), self.watch.position != self.position
        if moved or not self.reason or self.watch.running:
            self.stirred = at
        if moved or asked or at - self.looked > LOOK_SECONDS:
            self.position, self.looked = self.watch.position, at
            try:
                self.reason = situation(self.root).stop or ""
            except Refused:  # whatever it is, the model is told of it by the tools
                self.reason = stopping.ASKED if asked else ""
        waits = self.watch.undecided and at - self.stirred < FINISH_SECONDS
        return "" if waits else self.reason


def research(agent: Client, tag: str, headless: bool, started: Started = ignore) -> str:
    """Let the agent work until a person or a limit ends it. Returns the reason.

    Raises GaveUp; KeyboardInterrupt passes through, with the client ended.
    """
    watch = Watch(agent.root, tag)
    ending = Ending(agent.root, watch)
    continuation.forget(agent.root, tag)
    try:
        if headless:
            return take_turns(agent, watch, ending, started)
        return open_window(agent, watch, ending, started)
    finally:
        client.end_leftovers()


@dataclass
class Crashes:
    """Launches of the client that fell over, counted while they bring nothing about."""

    watch: Watch
    position: tuple[int, int] = (0, 0)
    times: int = 0

    def add(self, what: str, enough: Callable[[], bool]) -> None:
        """Wait before the client is launched once more. Raises GaveUp when that has been in vain too often."""
        if self.watch.position != self.position or self.watch.running:  # a run takes longer than many a crash
            self.position, self.times = self.watch.position, 0
        self.times += 1
        if self.times > CRASHES_MOST:
            raise GaveUp(f"opencode fell over {self.times} times in a row and got nothing done: {what}")
        seconds = min(CRASH_PAUSE * 2 ** (self.times - 1), CRASH_PAUSE_MOST)
        say(f"{what}; launched again in {seconds:.0f} s")
        client.end_leftovers()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not enough():
            time.sleep(0.5)


# ---------------------------------------------------------------------------------------------------
# In the client's window


def open_window(agent: Client, watch: Watch, ending: Ending, started: Started) -> str:
    """The client in this terminal until the person leaves it or research is to end."""
    crashes = Crashes(watch)

    def enough() -> bool:
        watch.news()
        return bool(ending.due() or continuation.given_up(agent.root, watch.tag))

    while not enough():
        settings = termios.tcgetattr(sys.stdin)
        process = agent.window(FIRST_PROMPT)
        started(process)
        try:
            while process.poll() is None and not enough():
                time.sleep(0.5)
        finally:
            left = process.poll()
            client.end(process)
            restore_terminal(settings, process.returncode)
        if left == 0:
            return "its window was closed"
        if left is not None:
            crashes.add(f"opencode ended with {client.ending(left)}", enough)
    if not ending.at_once():
        raise GaveUp(continuation.given_up(agent.root, watch.tag))
    return ending.reason


def restore_terminal(settings: list[Any], code: int) -> None:
    """Leave the terminal as it was; a client that was killed did not. `code`: how it ended."""
    if code < 0:
        emit(RESTORE_SCREEN, end="")
    with contextlib.suppress(termios.error, OSError):  # it may be gone
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)


# ---------------------------------------------------------------------------------------------------
# Turn after turn, without a window


@dataclass
class Screen:
    """Where the lines go. On a terminal the last one is alive: it shows how far the run in progress is."""

    alive: bool = False

    def show(self, line: Line) -> None:
        self.live("")
        emit(line.format(time.time(), self.terminal))

    def live(self, text: str) -> None:
        if self.terminal and (text or self.alive):
            width = shutil.get_terminal_size().columns - 1
            emit(f"\r\x1b[K{text[:width]}", end="")
            self.alive = bool(text)

    @property
    def terminal(self) -> bool:
        return os.isatty(1)  # asked each time: it may go away


def take_turns(agent: Client, watch: Watch, ending: Ending, started: Started) -> str:
    """One turn after the other: a model that ends its turn is told to go on."""
    screen, crashes = Screen(), Crashes(watch)
    session: str | None = None
    prompt = FIRST_PROMPT

    def enough() -> bool:
        for line in watch.news():
            screen.show(line)
        screen.live(watch.progress())
        return bool(ending.due())

    def see(event: Event) -> None:
        line = show.describe(event)
        if line is not None:
            screen.show(line)

    while not enough():
        process = agent.turn(prompt, session)
        started(process)
        took = turn.follow(process, see, enough)
        screen.live("")
        if enough():
            break
        if took.crashed:
            crashes.add(took.error, enough)
            session = took.session or session if crashes.times == 1 else None  # it may be what fells the client
            prompt = FIRST_PROMPT
            continue
        report = reported(took)
        action = continuation.after_turn(agent.root, watch.tag, report, say, enough)
        if action.kind in ("stop", "none"):
            if ending.at_once():
                break
            raise GaveUp(f"{action.text}: see tools/status.py, and try another model with --model")
        session = None if action.kind == "fresh" else took.session
        prompt = action.text
    return ending.reason


def reported(took: Turn) -> TurnReport:
    return TurnReport(took.session or "", took.calls, took.stuck, took.error, took.retryable)
