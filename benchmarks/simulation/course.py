"""The course of a night: scripts/start.sh at work, and what befalls it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from . import processes, schedule
from .place import TAG, Place
from .schedule import Blow
from .wire import Endpoint

LOOK = 0.1  # seconds
WISH = "- set HIDDEN to 56"  # what the person adds to program.md
IDLE_MOST = 400.0  # seconds without a request, a run or a decision, until the night is given up
UNASKED_MOST = 5  # ends of scripts/start.sh that nobody asked for
STOP_MOST = 120.0  # seconds that an end which was asked for may take

Say = Callable[[str], None]


@dataclass
class Diary:
    """What happened. `blows` counts those that struck; `troubles` are lines for a person."""

    blows: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    steered: float = 0.0  # unix time of the change of program.md; 0: there was none
    wall_seconds: float = 0.0


class Night:
    """One night. `spend` lets it happen; what is left running after it is the caller's to look at."""

    def __init__(
        self,
        place: Place,
        endpoint: Endpoint,
        environ: Mapping[str, str],
        experiments: int,
        blows: Sequence[Blow],
        say: Say,
    ) -> None:
        self.place, self.endpoint, self.environ, self.say = place, endpoint, dict(environ), say
        self.experiments, self.blows = experiments, list(blows)
        self.diary = Diary()
        self.start: subprocess.Popen[bytes] | None = None
        self.decided = -1  # experiments beside the baseline
        self.decided_at = 0.0  # when that was seen
        self.moved = time.monotonic()  # when something last happened
        self.files = 0
        self.reopen = 0.0  # when the endpoint comes back, 0 while it is there
        self.stopping = 0.0  # when STOP was put there, 0 while it is not
        self.unasked = 0

    def spend(self) -> Diary:
        began = time.monotonic()
        try:
            while not self._over():
                time.sleep(LOOK)
        finally:
            self.diary.wall_seconds = time.monotonic() - began
            self._bring_back(at_once=True)
        return self.diary

    def _over(self) -> bool:
        """One look at everything; says whether the night is over."""
        self._count()
        self._bring_back()
        if time.monotonic() - max(self.moved, self.endpoint.log.last) > IDLE_MOST:
            self._trouble(f"nothing happened for {IDLE_MOST:.0f} s: given up")
            return True
        if self.start is None or self.start.poll() is not None:
            return self._begin()
        if self.stopping and time.monotonic() - self.stopping > STOP_MOST:
            self._trouble(f"STOP was not followed within {STOP_MOST:.0f} s")
            self.stopping = 0.0
        while self.blows and self._is_due(self.blows[0]) and self._strike(self.blows[0]):
            self.blows.pop(0)
        return False

    def _count(self) -> None:
        """Look at the campaign's folder."""
        decisions = len(list(self.place.runs.glob("[0-9]*-*/decision.json"))) - 1
        files = len(list(self.place.runs.glob("[0-9]*-*/*.json")))
        if files != self.files:
            self.files, self.moved = files, time.monotonic()
        if decisions != self.decided:
            self.decided, self.decided_at = decisions, time.monotonic()

    def _begin(self) -> bool:
        """start.sh is not there: is the night over, or is it to be started (again)?"""
        if self.start is not None:
            code = self.start.returncode
            if code == 0 and self.decided >= self.experiments:
                return True
            if code == 0 and self.stopping:
                self.say(f"STOP was followed after {time.monotonic() - self.stopping:.0f} s")
            elif code != -signal.SIGKILL:  # which is ours
                self._trouble(
                    f"scripts/start.sh ended by itself with exit code {code} after {self.decided} experiments"
                )
                self.unasked += 1
                if self.unasked > UNASKED_MOST:
                    return True
            self.stopping = 0.0
        wanted = max(self.experiments - max(self.decided, 0), 1)
        command = [str(self.place.repo / "scripts" / "start.sh"), "--headless", TAG, "--experiments", str(wanted)]
        with self.place.log.open("ab") as log:
            self.start = subprocess.Popen(
                command,
                cwd=self.place.repo,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return False

    # -- what befalls it ----------------------------------------------------------------------------

    def _is_due(self, blow: Blow) -> bool:
        """Enough is decided, and some time has passed since."""
        if self.decided > blow.after:
            return True
        return self.decided == blow.after and time.monotonic() >= self.decided_at + blow.delay

    def _strike(self, blow: Blow) -> bool:
        """Let it happen; False where that is not possible right now."""
        if self.stopping or self.reopen:
            return False  # one at a time, so that each one is seen for what it is
        strike = {
            schedule.KILL: self._kill,
            schedule.REBOOT: self._reboot,
            schedule.STOP: self._stop,
            schedule.STEER: self._steer,
            schedule.OUTAGE: self._go_away,
        }[blow.what]
        if not strike(blow):
            return False
        self.diary.blows[blow.what] += 1
        self.say(f"{blow.what} after {self.decided} experiments")
        return True

    def _kill(self, blow: Blow) -> bool:
        return processes.kill(processes.clients(self.place.mark)) > 0

    def _reboot(self, blow: Blow) -> bool:
        processes.kill_all(self.place.mark)
        return True

    def _stop(self, blow: Blow) -> bool:
        if not processes.clients(self.place.mark):
            return False  # not while it is starting, when a STOP from before is taken away
        (self.place.repo / "STOP").touch()
        self.stopping = time.monotonic()
        return True

    def _steer(self, blow: Blow) -> bool:
        program = self.place.repo / "program.md"
        text = program.read_text(encoding="utf-8")
        program.write_text(text.replace("## Ideas\n", f"## Ideas\n\n{WISH}\n", 1), encoding="utf-8")
        self.diary.steered = time.time()
        return True

    def _go_away(self, blow: Blow) -> bool:
        self.endpoint.close()
        self.reopen = time.monotonic() + blow.seconds
        return True

    def _bring_back(self, at_once: bool = False) -> None:
        if self.reopen and (at_once or time.monotonic() >= self.reopen):
            self.endpoint.open()
            self.reopen = 0.0
            self.say("the endpoint is back")

    def _trouble(self, text: str) -> None:
        self.diary.troubles.append(text)
        self.say(text)
