"""Research from the baseline on: the client at work until it is stopped, in its window or turn after turn.

The commands of the bench do the work; this starts them and the client, looks at the campaign's files, and ends
what it started. `NAME` is who speaks to the person.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import Refused, campaign, client, show, state
from .client import Client
from .command import DONE, FAILED, RUNNING
from .show import Line, Watch
from .situation import Situation, look

NAME = "start"
STOP = "STOP"  # a file at the root that asks for an end
FRUITLESS_MOST = 6  # turns in a row that bring the campaign nowhere, until it gives up
PAUSE = 5.0  # seconds before the next turn, for each of them
# Out of the alternate screen, cursor shown, mouse and paste reports off: for a client that was killed.
RESTORE_SCREEN = "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[<u\x1b[0m\n"

FIRST_PROMPT = (
    "Load the skill autoresearch and carry on with this campaign: run tools/status.py, do what its line `next:` "
    "says, and go on with the loop of the skill until you are stopped. Nobody is there to answer questions."
)


def say(text: str) -> None:
    print(f"{NAME}: {text}", flush=True)


def situation(root: Path) -> Situation:
    with campaign.lock(root):
        return look(root)


def baseline(root: Path, environ: Mapping[str, str]) -> int:
    """Run and log the baseline, unless there is one. Returns the exit code to leave with, DONE to go on."""
    while (now := situation(root)).incumbent is None:
        forms = {state.BASELINE: "--baseline", state.WAIT: "--wait", state.CONFIRM: "--confirm"}
        if now.state.next in forms:
            command = [str(root / "scripts" / "run_experiment.sh"), forms[now.state.next]]
        elif now.state.next == state.LOG:
            command = [str(root / "tools" / "log_result.py"), "-d", "baseline"]
        else:
            print(f"{NAME}: the campaign has no baseline yet; {now.state.next}; then start again", file=sys.stderr)
            return FAILED
        if forms.get(now.state.next) == "--baseline":
            say("first the baseline: train.py as it is")
        status = run_quietly(command, root, environ)
        if status not in (DONE, FAILED, RUNNING):
            return status
    return DONE


def run_quietly(command: list[str], root: Path, environ: Mapping[str, str]) -> int:
    """Run a command of the bench and show what it prints but for the next step, which we take ourselves."""
    with subprocess.Popen(
        command, cwd=root, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("next: "):
                print(f"  {line}", end="", flush=True)
    return process.returncode


Started = Callable[["subprocess.Popen[Any]"], None]  # hears of each client that is launched


def research(
    agent: Client, tag: str, experiments: int | None, headless: bool, started: Started = lambda process: None
) -> bool:
    """Let the agent work until it is stopped: by STOP, by Ctrl-C, or once `experiments` more are logged.

    Returns whether it came to the end that was asked for. Raises Refused when the model does nothing.
    """
    watch = Watch(agent.root, tag)
    goal = watch.decided + experiments if experiments is not None else None

    def reached() -> bool:
        """Whether it is time to end."""
        if goal is not None and watch.decided >= goal:
            return True
        return (agent.root / STOP).exists() and not watch.undecided

    try:
        if headless:
            take_turns(agent, watch, reached, started)
            return True
        left = open_window(agent, watch, reached, started)
        return reached() or (goal is None and left)
    except KeyboardInterrupt:
        print()
        say("stopped")
        return False


# ---------------------------------------------------------------------------------------------------
# In the client's window


def open_window(agent: Client, watch: Watch, reached: Callable[[], bool], started: Started) -> bool:
    """The client in this terminal until the person leaves it or the goal is reached; whether it ended well."""
    with terminal_restored():
        process = agent.window(FIRST_PROMPT)
        started(process)
        try:
            while process.poll() is None and not reached():
                time.sleep(0.5)
                watch.news()
        finally:
            client.end(process)
    watch.news()
    return process.returncode == 0


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """Leave the terminal as it was, whatever a client that had to be killed did to it."""
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    except BaseException:
        print(RESTORE_SCREEN, end="", flush=True)
        raise
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


# ---------------------------------------------------------------------------------------------------
# Turn after turn, without a terminal


@dataclass
class Screen:
    """Where the lines go. On a terminal the last one is alive: it shows how far the run in progress is."""

    terminal: bool = field(default_factory=lambda: sys.stdout.isatty())
    alive: bool = False

    def show(self, line: Line) -> None:
        self.live("")
        print(line.format(time.time(), self.terminal), flush=True)

    def live(self, text: str) -> None:
        if self.terminal and (text or self.alive):
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", flush=True)
            self.alive = bool(text)


def take_turns(agent: Client, watch: Watch, reached: Callable[[], bool], started: Started) -> None:
    """One turn after the other: a model that ends its turn is told to go on. Raises Refused when that is vain."""
    screen = Screen()
    session: str | None = None
    fruitless = 0  # turns in a row after which the campaign stood where it had stood

    def enough() -> bool:
        for line in watch.news():
            screen.show(line)
        screen.live(watch.progress())
        return reached()

    def see(event: client.Event) -> None:
        line = show.describe(event)
        if line is not None:
            screen.show(line)

    while not enough():
        before = watch.position
        process = agent.turn(prompt_to_go_on(agent.root) if session else FIRST_PROMPT, session)
        started(process)
        turn = client.follow(process, see, enough)
        screen.live("")
        session = turn.session or session
        if enough():
            return
        if watch.position != before:
            fruitless = 0
            continue
        fruitless += 1
        if turn.error:
            screen.show(Line("problem", turn.error))
        if fruitless >= FRUITLESS_MOST:
            raise Refused(
                f"the model brought the campaign nowhere in {fruitless} turns "
                f"({turn.error or 'it ended them with words'}): try another with --model"
            )
        if fruitless > 1:  # a session that is stuck is given up: a fresh one finds its way by tools/status.py
            session = None
        pause(PAUSE * fruitless, enough)


def pause(seconds: float, enough: Callable[[], bool]) -> None:
    """Wait, unless it is time to end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not enough():
        time.sleep(0.5)


def prompt_to_go_on(root: Path) -> str:
    """What a model that ended its turn is told: where the campaign stands, and to go on."""
    now = situation(root)
    best = f"The best val_bpb is {now.incumbent.mean:.6f}. " if now.incumbent else ""
    return (
        f"Go on: the campaign is not over. State: {now.state.name}. {best}Next: {now.state.next}\n"
        "Load the skill autoresearch again if it is no longer before you. Nobody is there to answer questions."
    )
