"""A turn of the model in a client without a window: followed event by event, and cut short if need be."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import client
from .command import DONE, RUNNING

Event = Mapping[str, Any]  # a line of `opencode run --format json`

LOOK = 0.5  # seconds between two looks
GONE_MOST = 4  # looks without a word after the client has gone, until its turn has ended
FINAL = {"ProviderAuthError", "ContextOverflowError"}  # errors that do not pass, and do not say so
REPEATS_MOST = 8  # the same failing call, until the turn is cut short
IDLE_MOST = 150  # calls in a turn that have nothing to do with an experiment, until the same
EXPERIMENT = re.compile(r"run_experiment|log_result|sweep\.py")


@dataclass
class Turn:
    """What came of a turn: its session, how many tools were called, and what went wrong, if anything.

    `stuck`: why the turn was cut short; `error`: what the model's endpoint or the client said last, `retryable`
    whether that may pass; `crashed`: the client itself fell over.
    """

    session: str | None = None
    calls: int = 0
    stuck: str = ""
    error: str = ""
    retryable: bool = True
    crashed: bool = False
    said: str = ""  # the last line that was no event


@dataclass
class Repeats:
    """Notices a model that makes one failing call again and again, or that never comes to an experiment."""

    call: str = ""
    times: int = 0
    idle: int = 0  # calls since the last one that had to do with an experiment

    def add(self, part: Mapping[str, Any]) -> str:
        """Take a tool call into account; returns why the model is stuck, empty while it is not."""
        state = part.get("state") or {}
        given = state.get("input") or {}
        code = (state.get("metadata") or {}).get("exit")
        malformed = part.get("tool") == "invalid"  # what opencode makes of it
        failed = malformed or state.get("status") == "error" or code not in (None, DONE, RUNNING)
        call = f"{part.get('tool')} {json.dumps(given, sort_keys=True)}"
        self.times = 0 if not failed else self.times + 1 if call == self.call else 1
        self.call = call
        self.idle = 0 if EXPERIMENT.search(str(given.get("command", ""))) else self.idle + 1
        if self.times >= REPEATS_MOST:
            return f"the same failing call {self.times} times in a row: {call[:120]}"
        if self.idle >= IDLE_MOST:
            return f"{self.idle} tool calls without an experiment"
        return ""


def follow(process: subprocess.Popen[str], see: Callable[[Event], None], enough: Callable[[], bool]) -> Turn:
    """Show a turn's events until it ends, or until `enough` says so (asked twice a second), which ends it."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    turn, repeats, cut, gone = Turn(), Repeats(), True, 0
    try:
        while not enough() and not turn.stuck:
            try:
                line = lines.get(timeout=LOOK)
            except queue.Empty:
                # Something that it left behind may hold the pipe open.
                gone += process.poll() is not None
                line = "" if gone < GONE_MOST else None
            if line is None:
                process.wait()
                cut = False
                break
            _take(line, turn, repeats, see)
    finally:
        client.end(process)
    if process.returncode != 0 and not cut and not turn.error:
        turn.crashed = True
        turn.error = turn.said or f"opencode ended with {client.ending(process.returncode)}"
    return turn


def _take(line: str, turn: Turn, repeats: Repeats, see: Callable[[Event], None]) -> None:
    try:
        event = json.loads(line)
        kind = event["type"]
    except (ValueError, TypeError, KeyError):  # what it says besides: a warning, the reason of a refusal
        turn.said = line.strip() or turn.said
        return
    turn.session = event.get("sessionID") or turn.session
    if kind == "error":
        turn.error = error_text(event)
        error = event.get("error") or {}
        passing = error.get("name") not in FINAL
        turn.retryable = bool((error.get("data") or {}).get("isRetryable", passing))
    elif kind == "tool_use":
        turn.calls += 1
        turn.error = ""  # it went on after it
        turn.stuck = repeats.add(event.get("part") or {})
    see(event)


def error_text(event: Event) -> str:
    """What an `error` event says."""
    error = event.get("error") or {}
    data = error.get("data") or {}
    return str(data.get("message") or error.get("name") or "opencode reports an error without a word")
