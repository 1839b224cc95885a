"""The compile cache: what torch.compile and Triton made in earlier runs, so that the next one starts sooner.

A run works on a copy in its own folder. What goes back is what stood there when its first row was served (the
feeder sees to that): code, and nothing that was learned. Otherwise a run could hand its weights to the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from .campaign import Campaign

TRAINING = "work/compile"  # in the run's folder: the copy that the trainer works on
KEPT = "compiled"  # and what the feeder took of it
MOST = 512 * 2**20  # bytes; beyond that it begins anew


def folder(root: Path, campaign: Campaign) -> Path:
    """One for each set of packages and kind of device."""
    return root / "runs" / ".compile" / f"{campaign.device}-{campaign.lock_sha256[:12] or 'unlocked'}"


def variables(place: Path) -> dict[str, str]:
    """What makes the compilers use the folder `place`."""
    return {
        "TORCHINDUCTOR_CACHE_DIR": str(place / "inductor"),
        "TRITON_CACHE_DIR": str(place / "triton"),
        "CUDA_CACHE_PATH": str(place / "cuda"),
    }


def bring(root: Path, campaign: Campaign, run: Path) -> None:
    """Give the run its copy."""
    cache = folder(root, campaign)
    if cache.is_dir():
        shutil.copytree(cache, run / TRAINING)
    else:
        (run / TRAINING).mkdir()


def take_back(root: Path, campaign: Campaign, run: Path) -> None:
    """Make what the feeder kept the cache of the next run; an empty or too large one is dropped."""
    cache, kept = folder(root, campaign), run / KEPT
    size = sum(path.stat().st_size for path in kept.rglob("*"))
    if 0 < size < MOST:
        cache.parent.mkdir(parents=True, exist_ok=True)
        old = cache.with_name(f".{cache.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            cache.rename(old)
        with contextlib.suppress(OSError):  # another run was quicker: either will do
            kept.rename(cache)
        shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(kept, ignore_errors=True)
