"""A run done again in a folder of its own, by the stages of every run: for an audit, and gone afterwards; or for a
verification, whose folders stay.

    runs/<tag>/.audit-NNNN-xxxxxx/
    runs/<tag>/verify/NN/          with a campaign.json of its own, see `headline` and tools/verify.py

Nothing of the campaign is written meanwhile: the folder is no run's by its name, the seed and the commit are the
run's own, and no compile cache is taken or left. The caller holds the campaigns' lock, so that no run begins
beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import Refused, attend, disk, driver, processes, record, runner, snapshot
from . import campaign as campaigns
from .branch import Git
from .campaign import Campaign
from .record import Record, Request, Run
from .text import read_json

Say = Callable[[str], None]
PREFIX = ".audit-"
SCORED = ("trained.json", "feed.json", *(f"work/{name}" for name in runner.MODEL))  # all that a score is made from
PATIENCE = 30.0  # seconds for a runner to end what it started


@dataclass(frozen=True)
class Replica:
    """What came of it. `score` is score.json, empty without one."""

    record: Record
    score: dict[str, Any]


def check_quiet(root: Path, tag: str) -> None:
    """Refuse where a run, research or another audit goes on in this checkout."""
    if (run := campaigns.running_elsewhere(root, "")) is not None:
        raise Refused(
            f"campaign {run.path.parent.name} has run {run.name} in progress, and one runs at a time: wait for "
            "it, or scripts/run_experiment.sh --stop"
        )
    if (at := driver.at_work(root)) is not None:
        raise Refused(f"scripts/start.sh is at work on the campaign {at.tag}: end it first, with tools/stop.py")
    for path in campaigns.folder(root, tag).glob(f"{PREFIX}*"):
        if record.is_locked(path / "run.lock"):
            raise Refused(f"another audit is in progress ({path}): wait for it")
        runner.remove(path)  # it was killed
    if short := disk.shortage(root):
        raise Refused(short)


def score_again(root: Path, campaign: Campaign, run: Run, say: Say) -> Replica:
    """The saved weights of `run` scored again. Raises Refused where they are gone."""
    missing = next((name for name in SCORED if not (run.path / name).is_file()), None)
    if missing is not None:
        raise Refused(
            f"run {run.name} has no {missing} any more (weights stay of what was kept, and of the newest runs): "
            f"tools/audit.py --rerun {run.name} makes them again"
        )
    with _folder(root, campaign, run) as path:
        for name in SCORED:
            shutil.copyfile(run.path / name, path / name)
        return _carry_out(root, path, say)


def train_again(root: Path, campaign: Campaign, run: Run, say: Say) -> Replica:
    """The commit of `run` trained again on its seed, and scored. Raises Refused."""
    with _folder(root, campaign, run) as path:
        return _carry_out(root, path, say)


def carry_on(root: Path, path: Path, request: Request, files: dict[str, bytes], say: Say) -> Replica:
    """What `request` asks for, done in `path`, which stays; or what is left of it to do there. Raises Refused."""
    found = record.read(path)
    if found is None:
        runner.remove(path)  # torn before it had its request
        (path / "work").mkdir(parents=True)
        for name, content in files.items():
            (path / name).write_bytes(content)
        record.write(path, request)
    elif _asked(found.request) != _asked(request) or (found.record and found.record.sha256 != request.sha256):
        raise Refused(f"{path} does not agree with git or the campaign: move it away, and it is done again")
    elif found.record is not None:
        return Replica(found.record, read_json(path / "score.json") or {})
    return _carry_out(root, path, say)


def _asked(request: Request) -> tuple[object, ...]:
    return request.kind, request.commit, request.seed, request.sha256, request.pin_sha256


@contextlib.contextmanager
def _folder(root: Path, campaign: Campaign, run: Run) -> Iterator[Path]:
    """A run's folder with its snapshot and its request, whose hashes are git's, whatever run.json has."""
    files = snapshot.files(Git(root), run.request.commit, campaign.bench)
    path = run.path.parent / f"{PREFIX}{run.name}-{os.urandom(3).hex()}"
    (path / "work").mkdir(parents=True)
    try:
        for name, content in files.items():
            (path / name).write_bytes(content)
        record.write(path, replace(run.request, sha256=snapshot.digests(files)))
        yield path
    finally:
        runner.remove(path)


def _carry_out(root: Path, path: Path, say: Say) -> Replica:
    """Run the runner to its end. Raises Refused where it could not come to a record."""
    with (path / "runner.log").open("ab") as log:
        command = [sys.executable, *runner.UNBENT, "-m", "harness.runner", str(path), runner.REPLICA, str(root)]
        env = {key: value for key, value in os.environ.items() if key != processes.STARTED_BY}
        child = processes.spawn(command, root / "tools", env, log, log)
    try:
        due = time.monotonic() + attend.EVERY
        while child.poll() is None:
            if time.monotonic() > due:
                due += attend.EVERY
                say(attend.progress(path))
            time.sleep(0.05)
    except BaseException:  # Ctrl-C, say
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
        raise
    finally:
        processes.kill_group(child)
    found = record.read(path)
    if found is None or found.record is None:
        raise Refused(f"it could not be done: {attend.interruption(path)}")
    return Replica(found.record, read_json(path / "score.json") or {})
