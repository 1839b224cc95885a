"""A campaign: what is pinned at its start, the runs it holds, and the lock that keeps two commands apart.

runs/.lock                     held by a command while it changes something, never while it waits
runs/start.lock, start.json    the start that is at work in this checkout, see `driver`
runs/<tag>/campaign.json       the pin
runs/<tag>/results.tsv         the ledger; ROOT/results.tsv is a link to the current campaign's
runs/<tag>/NNNN-<commit7>/     one run, see `record`
runs/<tag>/sweeps/NNNN.json    what a sweep tries, and whether it has ended, see `sweep`
runs/<tag>/reverted/           edits that revert dropped and no commit holds
runs/<tag>/stint.json          when this going of research began, and with which limits, see `stint`
runs/<tag>/client.jsonl        what each step of the model cost, as the client tells our plugin in it
runs/<tag>/conversation.json   how the model's turns went lately, see `continuation`
runs/<tag>/verify*             what the person's tools/verify.py saw, and its runs, see `headline`
runs/<tag>/start.log           what was printed once the terminal had gone
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from . import Refused, box, environment, preparation, record
from .branch import NEW_BRANCH, Branch
from .record import Run
from .text import read_json, sha256_of, write_json

LEDGER = "results.tsv"
_PATIENCE = 15.0  # seconds to wait for another command's lock
_WEIGHTS = "weights.pt"
_WEIGHTS_KEPT = 5  # newest runs whose weights stay, beside the incumbents'


@dataclass(frozen=True)
class Campaign:
    """What does not change while a campaign lasts. `bench`: the commit that the fixed files, tools and scripts are
    taken from and held against; `base`: the commit it began at; `noise_prior` in bpb; `sandbox`: what runs are
    boxed with, or `none: ` and why; `sandbox_program`: which bubblewrap; `python` and `environment`: of every
    run; `baseline_runs`: on how many seeds the baseline runs; `data_sha256`: of what scores are measured with;
    `lock_sha256`: of uv.lock, which names the packages."""

    tag: str
    created: float  # unix time
    bench: str
    base: str
    preparation: str
    preparation_key: str
    budget: str
    profile: str
    device: str
    noise_prior: float
    baseline_runs: int
    sandbox: str
    sandbox_program: str
    python: str
    environment: dict[str, str]
    data_sha256: dict[str, str]
    lock_sha256: str

    @property
    def is_boxed(self) -> bool:
        return self.sandbox == box.NAME


def folder(root: Path, tag: str) -> Path:
    return root / "runs" / tag


def load(root: Path, tag: str) -> Campaign | None:
    """The campaign `tag`; None when it has not begun. Raises Refused when its pin cannot be read."""
    path = folder(root, tag) / "campaign.json"
    value = read_json(path)
    if value is None and not path.exists():
        return None
    try:
        return Campaign(**{key: (value or {})[key] for key in Campaign.__dataclass_fields__})
    except KeyError:
        raise Refused(f"{path} cannot be read: put it back, or begin another campaign ({NEW_BRANCH})") from None


def draw_up(branch: Branch, baseline_runs: int) -> Campaign:
    """A campaign with the bench at the branch's tip, the preparation and the budget in force. Raises Refused."""
    data = preparation.in_force()
    program, why_not = box.find(branch.git.root)
    budget = preparation.check_budget(os.environ.get("AUTORESEARCH_BUDGET") or data.budget)
    return Campaign(
        tag=branch.tag,
        created=time.time(),
        bench=branch.tip,
        base=branch.tip,
        preparation=str(data.folder.resolve()),
        preparation_key=data.key,
        budget=budget,
        profile=data.profile,
        device=data.device,
        noise_prior=data.noise_prior,
        baseline_runs=1 if budget.endswith("tok") else baseline_runs,
        sandbox=box.NAME if program else f"none: {why_not}",
        sandbox_program=box.identity(program) if program else "",
        python=environment.python(branch.git.root),
        environment=environment.pinned(),
        data_sha256=preparation.digests(data.folder),
        lock_sha256=sha256_of(branch.git.root / "uv.lock"),
    )


def digest(campaign: Campaign) -> str:
    """sha256 of all that is pinned."""
    return hashlib.sha256(json.dumps(asdict(campaign), sort_keys=True).encode()).hexdigest()


def pin(root: Path, campaign: Campaign) -> None:
    """Write the campaign down."""
    place = folder(root, campaign.tag)
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / "campaign.json", asdict(campaign))


def runs(root: Path, tag: str) -> list[Run]:
    """Every run of the campaign by number. What has no readable request is no run, and is passed by."""
    found = []
    for path in folder(root, tag).glob("[0-9]*-*"):
        run = record.read(path)
        if run is not None:
            found.append(run)
    return sorted(found, key=lambda run: run.request.number)


def add_run(root: Path, tag: str, request: record.Request, files: dict[str, bytes]) -> tuple[Path, int]:
    """A new run's folder, there at once and whole, and the open file that holds its lock (record.take_lock)."""
    place = folder(root, tag)
    final = place / f"{request.number:04d}-{request.commit[:7]}"
    making = place / f".new-{os.urandom(6).hex()}"
    making.mkdir()
    for name, content in files.items():
        (making / name).write_bytes(content)  # the runner mends by its hash what a crash tears
    (making / "work").mkdir()
    record.write(making, request)
    lock = record.take_lock(making / "run.lock")
    if lock is None:  # nobody else knows the folder
        raise Refused(f"{making} cannot be locked: does the file system of {root} support flock?")
    making.rename(final)
    return final, lock


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Keep other commands out for the moment that this one changes something. Raises Refused after 15 s."""
    (root / "runs").mkdir(exist_ok=True)
    deadline = time.monotonic() + _PATIENCE
    while (held := record.take_lock(root / "runs" / ".lock")) is None:
        if time.monotonic() > deadline:
            raise Refused(f"another command has been holding {root}/runs/.lock for {_PATIENCE:.0f} s: try again")
        time.sleep(0.01)
    try:
        yield
    finally:
        os.close(held)


def running_elsewhere(root: Path, tag: str) -> Run | None:
    """A run that another campaign of this checkout has in progress."""
    for other in (root / "runs").glob("*/campaign.json"):
        newest = max(other.parent.glob("[0-9]*-*"), default=None)
        if other.parent.name != tag and newest is not None and record.is_locked(newest / "run.lock"):
            run = record.read(newest)
            if run is not None and run.alive:
                return run
    return None


def link_results(root: Path, tag: str) -> None:
    """Make ROOT/results.tsv a link to this campaign's ledger.

    A regular file there is adopted: an editor that replaced the link wrote the newest ledger there is. What it
    takes the place of stays beside it as results.tsv.old-N.
    """
    link, ledger = root / LEDGER, folder(root, tag) / LEDGER
    target = os.path.relpath(ledger, root)
    if link.is_symlink() and os.readlink(link) == target:  # noqa: PTH115  # Path.readlink would normalise it
        return
    if link.is_dir() and not link.is_symlink():
        raise Refused(f"{link} is a folder where the ledger belongs: move it away")
    if link.exists() and not link.is_symlink():
        if ledger.exists() and ledger.read_bytes() != link.read_bytes():
            number = 1
            while (old := ledger.with_name(f"{LEDGER}.old-{number}")).exists():
                number += 1
            ledger.rename(old)
        link.replace(ledger)
    making = root / f".{LEDGER}.{os.urandom(6).hex()}"
    making.symlink_to(target)
    try:
        making.replace(link)
    except OSError:
        making.unlink()
        raise


def prune(kept: Sequence[Run], all_runs: Sequence[Run]) -> None:
    """Drop the weights of runs that are neither in `kept` nor among the newest; a rerun can make them again."""
    spared = {run.path for run in [*kept, *all_runs[-_WEIGHTS_KEPT:]]}
    for run in all_runs:
        if run.path not in spared and run.record is not None:
            (run.path / "work" / _WEIGHTS).unlink(missing_ok=True)


def sweep(root: Path, tag: str) -> None:
    """Remove run folders that a kill left half made; the caller holds the lock, so nobody is making one."""
    for path in folder(root, tag).glob(".new-*"):
        shutil.rmtree(path, ignore_errors=True)
