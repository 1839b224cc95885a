"""The compile cache: what torch.compile and Triton made in earlier runs, so that the next one starts sooner.

There is one for each text of train.py. A run works on a copy, in its own folder, of its text's cache; where there
is none yet, of its parent's. So what a run leaves there is found by the same train.py again, and by those that are
built on it once it is kept: code from an experiment that was discarded reaches nobody else.

What goes back is what stood there when its first row was served (the feeder sees to that): code, and nothing that
was learned. Otherwise a run could hand its weights to the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from .branch import Git, train_text
from .campaign import Campaign
from .record import Request

TRAINING = "work/compile"  # in the run's folder: the copy that the trainer works on
KEPT = "compiled"  # and what the feeder took of it
MOST = 512 * 2**20  # bytes; beyond that it begins anew
CACHES_MOST = 4  # of that size; those that were not used for longest go, and only time is lost with them


def folder(root: Path, campaign: Campaign, commit: str) -> Path:
    """That of the train.py of `commit`: one for each set of packages, kind of device, and text."""
    kind = f"{campaign.device}-{campaign.lock_sha256[:12] or 'unlocked'}"
    return root / "runs" / ".compile" / kind / hashlib.sha256(train_text(Git(root), commit)).hexdigest()


def variables(place: Path) -> dict[str, str]:
    """What makes the compilers use the folder `place`."""
    return {
        "TORCHINDUCTOR_CACHE_DIR": str(place / "inductor"),
        "TRITON_CACHE_DIR": str(place / "triton"),
        "CUDA_CACHE_PATH": str(place / "cuda"),
    }


def bring(root: Path, campaign: Campaign, request: Request, run: Path) -> None:
    """Give the run its copy."""
    places = [folder(root, campaign, commit) for commit in (request.commit, request.parent)]
    cache = next((place for place in places if place.is_dir()), None)
    for place in reversed(places):  # its own will have been used last
        if place.is_dir():
            os.utime(place)
    if cache is None:
        (run / TRAINING).mkdir()
    else:
        shutil.copytree(cache, run / TRAINING)


def take_back(root: Path, campaign: Campaign, request: Request, run: Path) -> None:
    """Make what the feeder kept the cache of this train.py; an empty or too large one is dropped."""
    cache, kept = folder(root, campaign, request.commit), run / KEPT
    size = sum(path.stat().st_size for path in kept.rglob("*"))
    if 0 < size < MOST:
        cache.parent.mkdir(parents=True, exist_ok=True)
        old = cache.with_name(f".{cache.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            cache.rename(old)
        with contextlib.suppress(OSError):  # another run was quicker: either will do
            kept.rename(cache)
            os.utime(cache)
        _prune(cache.parent)
    shutil.rmtree(kept, ignore_errors=True)


def _prune(place: Path) -> None:
    """Remove the caches that were not used for longest, and what no text's cache is."""
    caches = [path for path in place.iterdir() if len(path.name) == 64]
    latest = set(sorted(caches, key=lambda path: path.stat().st_mtime)[-CACHES_MOST:])
    for path in place.iterdir():
        if path not in latest:
            shutil.rmtree(path, ignore_errors=True)
