"""The bench's own steps, taken without a model: what is in hand when research ends is finished, or discarded."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from . import attend, campaign, record, review, runner, stopping
from .command import DONE, FAILED, RUNNING
from .ledger import clean
from .record import Run
from .situation import Situation, look

Say = Callable[[str], None]
LOOK = 0.5  # seconds between two looks at a run
PATIENCE = 15.0  # seconds for a runner to leave, once it was told to
NOTE = "research was ended before the model could say what it learned"


def situation(root: Path) -> Situation:
    with campaign.lock(root):
        return look(root)


def run(command: list[str], root: Path, environ: Mapping[str, str], say: Say) -> int:
    """Run a command of the bench; `say` gets what it prints, but for the next step, which we take ourselves."""
    with subprocess.Popen(
        command, cwd=root, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if not line.startswith("next: "):
                    say(line.rstrip("\n"))
        except BaseException:
            process.terminate()  # it waits for a run, or it is through at once
            raise
    return process.returncode


def finish(root: Path, environ: Mapping[str, str], now: bool, say: Say, live: Say = lambda line: None) -> bool:
    """Bring the campaign to rest: the run in hand is waited for, confirmed if need be, logged, reverted. Then its
    review is written.

    With `now`, or once STOP says so, a run in progress is stopped, and logged as the discard that this makes it.
    `live` is told again and again how far a run is. Returns False where something had to be left open; what, `say`
    was told.
    """
    experiment, log = str(root / "scripts" / "run_experiment.sh"), str(root / "tools" / "log_result.py")
    while True:
        now = now or stopping.at_once(root)
        at = situation(root)
        name, newest = at.state.name, at.newest
        if name in ("new", "clean", "edited", "provisional") or newest is None:
            review.leave(at)
            return True
        last = newest.last
        if name == "running" and not now:
            wait(last, live)
            continue
        if name == "running" or (name == "interrupted" and now):
            command = [experiment, "--stop"]
        elif name == "interrupted":
            command = [experiment, "--wait", "0"]  # which starts it again
        elif name == "logged":
            command = [str(root / "tools" / "revert.py")]
        elif at.verdict is not None and at.verdict.status == "confirm":
            if now:
                say(f"experiment {newest.runs[0].name} stays open: too close to tell, it asks to be confirmed")
                return False
            command = [experiment, "--confirm", "--wait", "0"]
        else:
            message = clean(newest.candidate.request.message).removeprefix("exp: ")
            command = [log, "-d", message, "--note", NOTE]
        if run(command, root, environ, say) not in (DONE, FAILED, RUNNING):
            say(f"experiment {newest.runs[0].name} stays open; the next start goes on with it")
            return False


def interrupt(root: Path, tag: str) -> Run | None:
    """End the campaign's run in progress at once, so that another runner can go on with it. Returns it, or None.

    Looks at nothing but the run's folder: git may be in any state.
    """
    path = max(campaign.folder(root, tag).glob("[0-9]*-*"), default=None)
    if path is None or not record.is_locked(path / "run.lock"):
        return None
    deadline = time.monotonic() + PATIENCE
    while record.is_locked(path / "run.lock") and time.monotonic() < deadline:
        runner.tell_to_leave(path)  # again, in case it was only just being born
        time.sleep(0.2)
    return record.read(path)


def wait(last: Run, live: Say) -> None:
    """Until the run is over, its runner is gone, or STOP says `now`."""
    root = last.path.parents[2]
    while record.is_locked(last.path / "run.lock") and not stopping.at_once(root):
        live(f"run {last.name}: {attend.progress(last.path)}")
        time.sleep(LOOK)
    live("")
