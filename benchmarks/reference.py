#!/usr/bin/env python3
"""Ours against karpathy/autoresearch, side by side: same text, same device, same seconds, one scorer.

  1. text     the text of the preparation in force, and the reference's own tokenizer trained on it by its own code
  2. search   the reference at several sizes, batches and learning rates, one seed each: its best is its score
  3. meeting  its two best settings, ours, and ours in half of the time, in turn, on every seed

With --litgpt, the same for a trainer of general use: litgpt's pretraining, a small Pythia with AdamW.

The reference is a checkout at PATH. None of its files is copied or changed on disk: its train.py runs from there
in a process of its own, with other constants put in while it is read, and stand-ins for what the machine lacks.
Each of them is listed. Its vocabulary is its own (8,192), ours the preparation's: bits per byte do not mind.

One clock: wall seconds from the first training step. Compiling and warming up come before it, for both; the first
step of the reference, which compiles, is free. (Its own clock leaves out eleven steps.)

Wall seconds want an idle machine: load and foreign work are measured and said. On a GPU all of this is unmeasured
so far; there the reference runs with its own kernels, and "as it is" is one of its settings.

examples:
  .venv/bin/python benchmarks/reference.py --reference PATH --keep FOLDER --json FILE --plot FILE.png
  .venv/bin/python benchmarks/reference.py --reference PATH --short       two settings, 10 s: does it work at all?
  .venv/bin/python benchmarks/reference.py --reference PATH --litgpt VENV/bin/python

git clone https://github.com/karpathy/autoresearch PATH gives the checkout. At 60 s and 3 seeds this takes about
45 minutes on two idle cores, with litgpt some 25 more; the first compilations take longest. Stopped at any time,
the same command with the same --keep goes on. For VENV: uv venv VENV; uv pip install --python VENV/bin/python
litgpt tiktoken pyarrow tqdm (and the CPU build of torch, where there is no GPU).

exit code: 0 done, 1 a side has no score, 2 it could not begin or a trial was killed from outside, 130 stopped
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from benchmarks.duel import contest, report, text, trials  # noqa: E402
from benchmarks.duel.contest import Entrant, Setting  # noqa: E402
from benchmarks.duel.report import OURS, Report  # noqa: E402
from benchmarks.duel.trials import Failed, Job, Trials  # noqa: E402
from benchmarks.figures import jsonable  # noqa: E402

REFERENCE, GENERAL = "reference", "litgpt"
ITS_FILES = ("train.py", "prepare.py")
SHORT_SECONDS = 10.0


@dataclass(frozen=True)
class Device:
    """What the trials run on."""

    kind: str
    name: str
    peak_flops: float | None


@dataclass(frozen=True)
class Plan:
    """What was asked for, on what is there. `job`: all of a trial but trainer, setting, seed and code."""

    folder: Path
    reference: Path
    seconds: float
    seeds: int
    settings: list[Setting]
    refine: bool
    job: Job
    device: Device
    scored: str
    litgpt: str = ""  # its Python; empty: not asked for
    general: tuple[Setting, ...] = ()  # its settings


def compare(plan: Plan, run: trials.Run, say: Callable[[str], None]) -> Report:
    """The search, then the meeting."""
    began, load = time.monotonic(), os.getloadavg()[0]
    made = Trials(plan.folder, run, say)
    its = replace(plan.job, trainer="theirs", code=trials.code_of(plan.reference, ITS_FILES))
    own = replace(plan.job, trainer="ours", code=trials.code_of(ROOT, trials.FILES))
    theirs = Entrant(REFERENCE, its, plan.settings, plan.refine)
    ours = Entrant(OURS, own, [Setting("train.py")])
    half = replace(ours, job=replace(ours.job, seconds=plan.seconds / 2), own_evaluation=False)
    rivals = [theirs]
    if plan.litgpt:
        more = {**plan.job.more, "python": plan.litgpt}
        general = replace(plan.job, trainer="general", code=trials.code_of(ROOT, ("prepare.py",)), more=more)
        rivals.append(Entrant(GENERAL, general, plan.general))
    searched = [contest.search(rival, made) for rival in rivals]
    pairs = [(ours, ours.settings[0])]
    for rival, found in zip(rivals, searched, strict=True):
        pairs += [(rival, one) for one in found.best[: contest.BEST if rival is theirs else 1]]
    pairs.append((half, half.settings[0]))
    rows = contest.meet(pairs, plan.seeds, made) if searched[0].best else []
    said = {rival.name: changes(rows, rival.name) for rival in rivals}
    minutes = (time.monotonic() - began) / 60
    peak = plan.device.peak_flops
    return Report(
        plan.seconds, plan.seeds, tuple(searched), tuple(rows), said, load, peak, made.made, minutes,
        machine(plan), plan.scored,
    )  # fmt: skip


def changes(rows: list[contest.Row], entrant: str) -> list[str]:
    """What was put in or changed for a trainer at its best, once each."""
    own = [row for row in rows if row.entrant == entrant]
    best = min(own, key=lambda row: row.tried.bpb, default=None)
    return list(best.tried.results[0].said) if best else []


def prepare_reference(plan: Plan) -> None:
    """Its tokenizer, trained once. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="duel-") as folder:
        ended = trials.child("theirs", plan.job, Path(folder), ["--prepare"])
    if ended.code:
        raise Failed(f"the reference's preparation failed: {trials.last_line(ended.log)}")


def plan(given: argparse.Namespace, folder: Path) -> Plan:
    """Raises Failed, DataError."""
    import prepare
    from device import pick_device

    reference = given.reference.expanduser().resolve()
    for name in ITS_FILES:
        if not (reference / name).is_file():
            raise Failed(f"{reference} has no {name}: give the path of a checkout of karpathy/autoresearch")
    meta = prepare.load_meta()
    prepared = pick_device()
    device = Device(prepared.torch_device.type, prepared.name, prepared.peak_flops)
    seconds = given.seconds or (SHORT_SECONDS if given.short else 300.0 if device.kind == "cuda" else 60.0)
    seeds = given.seeds or (1 if given.short else 3)
    T = int(meta["sequence_length"])
    settings = contest.full_settings() if meta["profile"] == "full" else contest.small_settings(T)
    general = contest.general_settings()
    if given.short:
        settings, general = settings[-2:], general[:2]
    words = text.gather(meta, prepare.cache_dir(), folder / "text" / meta["key"])
    sized = words.scored()
    size = sum(len(one.encode()) for one in sized)
    scored = f"{len(sized)} validation documents of {meta['source']}, {size:,} bytes"
    job = Job(
        trainer="", setting={}, seed=0, seconds=seconds, points=1, own_evaluation=False, code="",
        text=str(words.folder), scored_bytes=words.scored_bytes, sequence_length=T,
        eval_tokens=meta["eval_tokens"], more={"reference": str(reference), "preparation": meta["folder"]},
    )  # fmt: skip
    litgpt = python_with_litgpt(given.litgpt) if given.litgpt else ""
    return Plan(
        folder, reference, seconds, seeds, settings, not given.short, job, device, scored, litgpt, tuple(general)
    )  # fmt: skip


def python_with_litgpt(path: Path) -> str:
    """Raises Failed."""
    python = str(path.expanduser().absolute())  # a link into a venv must stay one
    try:
        wanted = "import litgpt, numpy, pyarrow, tiktoken, torch, tqdm"
        done = subprocess.run([python, "-c", wanted], capture_output=True, text=True, cwd="/")
    except OSError as error:
        raise Failed(f"--litgpt {path}: {error.strerror}") from None
    if done.returncode:
        raise Failed(f"--litgpt {path}: {trials.last_line(done.stderr)}")
    return python


def machine(plan: Plan) -> str:
    import torch

    commit = (revision(path) for path in (ROOT, plan.reference))
    return (
        f"{plan.device.name}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, torch "
        f"{torch.__version__}, Python {platform.python_version()}, commit {' against '.join(commit)}"
    )


def revision(path: Path) -> str:
    """Of a checkout; an unpacked archive has none."""
    command = ["git", "-C", str(path), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 and (path / ".git").exists() else "of no repository"


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {words}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="PATH", help="checkout of karpathy/autoresearch"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="of a trial (default: 60; on a GPU 300)")
    parser.add_argument("--seeds", type=int, metavar="N", help="(default: 3)")
    parser.add_argument("--short", action="store_true", help="two settings, one seed, 10 s; says nothing")
    parser.add_argument("--litgpt", type=Path, metavar="PYTHON", help="of a venv with litgpt: compare with it too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where text and trials lie, and stay")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw bits per byte over seconds there (.png)")
    given = parser.parse_args()
    asked_for = [value for value in (given.seconds, given.seeds) if value is not None]
    if not all(1 <= value < math.inf for value in asked_for):
        parser.error("at least one second and one seed")
    for path in (given.json, given.plot):
        if path and not path.absolute().parent.is_dir():
            parser.error(f"{path}: its folder is not there")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    from corpus import DataError

    folder = (given.keep or Path(tempfile.mkdtemp(prefix="reference-"))).expanduser().resolve()
    try:
        asked = plan(given, folder)
        load = os.getloadavg()[0]
        say(f"load {load:.2f}; trials of {asked.seconds:g} s on {asked.device.name}, kept in {folder}")
        prepare_reference(asked)
        found = compare(asked, trials.run, say)
    except (Failed, DataError, OSError) as error:
        print(f"reference: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nreference: stopped; --keep {folder} goes on from here", file=sys.stderr)
        return 130
    print("\n" + "\n".join(report.show(found)))
    if given.json:
        given.json.write_text(json.dumps(jsonable(asdict(found)), indent=2) + "\n", encoding="utf-8")
    if given.plot:
        report.plot(found, given.plot)
    names = {row.entrant for row in found.rows}
    best = [contest.best_row(found.rows, name, found.seconds) for name in (OURS, REFERENCE)]
    return 0 if REFERENCE in names and all(best) else 1


if __name__ == "__main__":
    sys.exit(main())
