"""The prepared data in force: where it is, and the constants that prepare.py wrote beside it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from . import Refused
from .text import read_json, sha256_of

COMMAND = "scripts/setup.sh"
BUDGET = re.compile(r"(\d+(?:\.\d+)?)(s|cpu|tok)")  # 300s, 100cpu (seconds of the trainer's CPU time), 400000tok


@dataclass(frozen=True)
class Preparation:
    """One complete preparation. `budget` is the profile's; `noise_prior` in bpb; `bytes_per_token` of the
    training text; `kernels`: folders of what was fetched for the device."""

    folder: Path
    key: str
    profile: str
    device: str
    budget: str
    noise_prior: float
    bytes_per_token: float
    kernels: tuple[Path, ...] = ()


def cache() -> Path:
    """The folder for all that is prepared once and used by every checkout."""
    return Path(os.environ.get("AUTORESEARCH_CACHE") or "~/.cache/autoresearch").expanduser()


def in_force() -> Preparation:
    """The preparation that AUTORESEARCH_PREPARATION names, else the cache's current one. Raises Refused."""
    named = os.environ.get("AUTORESEARCH_PREPARATION")
    if not named:
        pointer = cache() / "current.json"
        if not pointer.exists():
            raise Refused(f"no data prepared in {cache()}: run {COMMAND}", f"{COMMAND}")
        named = str((read_json(pointer) or {}).get("preparation") or "")
        if not named:
            raise Refused(f"{pointer} cannot be read: run {COMMAND} to write it again", f"{COMMAND}")
    return read(Path(named))


def read(folder: Path) -> Preparation:
    """The preparation in `folder`. Raises Refused when it is not there, not complete, or not readable."""
    if not (folder / "meta.json").exists():
        raise Refused(f"no data prepared in {folder} (meta.json is missing): run {COMMAND}", f"{COMMAND}")
    meta = read_json(folder / "meta.json") or {}
    kernel = meta.get("flash_attention")
    try:
        return Preparation(
            folder,
            str(meta["key"]),
            str(meta["profile"]),
            str(meta["device"]),
            check_budget(str(meta["budget"])),
            float(meta["noise_prior"]),
            float(meta["splits"]["train"]["bytes"]) / float(meta["splits"]["train"]["tokens"]),
            (Path(str(kernel["folder"])),) if isinstance(kernel, dict) and "folder" in kernel else (),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise Refused(f"{folder}/meta.json cannot be used ({error}): run {COMMAND} again", f"{COMMAND}") from None


def digests(folder: Path) -> dict[str, str]:
    """What a score is measured with, by name: sha256 of tokenizer, validation and held-out tokens, and how they
    are read; of the training tokens, which are many, their size and when they were last written."""
    found = {}
    for name in ("tokenizer.json", "val.tokens", "val.offsets", "heldout.tokens", "heldout.offsets"):
        if sha256 := sha256_of(folder / name):
            found[name] = sha256
    for name in ("train.tokens", "train.offsets"):
        if (folder / name).exists():
            facts = (folder / name).stat()
            found[name] = f"{facts.st_size} bytes of {facts.st_ctime_ns}"
    meta = read_json(folder / "meta.json") or {}
    measure = [meta.get(key) for key in ("eval_tokens", "sequence_length", "vocab_size", "bos_id")]
    return {**found, "measure": hashlib.sha256(json.dumps(measure).encode()).hexdigest()}


def check_budget(budget: str) -> str:
    """`budget` as it is. Raises Refused where it is not of the form 300s, 100cpu or 400000tok."""
    if not BUDGET.fullmatch(budget) or float(BUDGET.fullmatch(budget)[1]) <= 0:  # type: ignore[index]  # it matched
        raise Refused(f"the budget {budget!r} is none of 300s, 100cpu, 400000tok: set AUTORESEARCH_BUDGET to one")
    return budget
