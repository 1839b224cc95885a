#!/usr/bin/env python3
"""Where each second of a run goes that is not its budget: imports, building, warming up, scoring, audit, record.

Whole runs by the harness, with boxes and audit, of this checkout's HEAD in throw-away clones: first with a cold
cache (no compiled kernels; on Linux the files of .venv not in memory), then with a warm one, a few times. What
is printed is the median of the warm ones. The budget is short, since what is beside it does not depend on it.

Beside it, what each import costs alone, in a fresh process with warm caches.

examples:
  .venv/bin/python benchmarks/startup.py --json FILE    a cold run, three warm: on two idle cores three minutes
  .venv/bin/python benchmarks/startup.py --short        one warm run with a tiny budget: does it work at all?
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from benchmarks.overhead import stamps, timeline  # noqa: E402
from benchmarks.overhead.timeline import Span  # noqa: E402
from feeder import TreeClock  # noqa: E402

LOOK = 0.02  # seconds between two looks at the CPU time of the run
LOGS = ("run.log", "runner.log", "host.log", "audit.log")
IMPORTS = {
    "Python": "pass",
    "numpy": "import numpy",
    "torch": "import torch",
    "feeder": "import prepare",
    "trainer": "import train",
    "scorer": "import evaluate",
    "compilers": "import torch._dynamo, torch._inductor.compile_fx",
}


@dataclass(frozen=True)
class Report:
    """Seconds. `alone`: of each import in a process of its own, wall and CPU; medians."""

    cold: list[Span] | None
    warm: list[Span]
    alone: dict[str, tuple[float, float]]
    times: int
    budget: str
    machine: str
    commit: str
    load: float  # over the minute before


def clone(folder: Path) -> Path:
    """This checkout's HEAD with stamps in its fixed files, committed."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    for name in stamps.BLOCKS:
        path = folder / name
        path.write_text(stamps.put_into(path.read_text(encoding="utf-8"), name), encoding="utf-8")
    who = ["-c", "user.name=startup", "-c", "user.email=startup@localhost"]
    for command in (["switch", "--quiet", "-c", "autoresearch/cost"], ["commit", "--quiet", "-am", "Stamps"]):
        subprocess.run(["git", *who, *command], cwd=folder, check=True)
    return folder


def one_run(folder: Path, budget: str) -> list[Span]:
    """A baseline in the clone `folder`."""
    environ = os.environ | {"AUTORESEARCH_PYTHON": sys.executable, "AUTORESEARCH_BUDGET": budget}
    began = time.time()
    command = [sys.executable, str(folder / "tools/run_experiment.py"), "--baseline", "--wait", "3600"]
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True)
    clock: TreeClock | None = None
    spent: list[tuple[float, float]] = []
    while process.poll() is None:
        clock = clock or runner_clock(folder)
        if clock is not None:
            spent.append((time.time(), clock.read()))
        time.sleep(LOOK)
    said = process.communicate()[0]
    if process.returncode != 0:
        sys.exit(f"startup: the run failed ({process.returncode}): {said[-500:]}")
    run = next((folder / "runs/cost").glob("0000-*"))
    found = stamps.found_in(run / name for name in LOGS)
    return timeline.spans(began, found, (run / "record.json").stat().st_mtime, spent)


def runner_clock(folder: Path) -> TreeClock | None:
    """Of the run in `folder`, once it has a runner."""
    for path in folder.glob("runs/cost/0000-*/runner.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            return TreeClock(json.loads(path.read_text())["pid"])
    return None


def forget(folder: Path) -> None:
    """Take the files of `folder` out of the system's cache, as after a start of the machine. Linux alone."""
    if not hasattr(os, "posix_fadvise"):
        print("startup: the system's file cache cannot be emptied here: `cold` is without compiled kernels alone")
        return
    for path in files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def alone(statement: str, times: int) -> tuple[float, float]:
    """Wall and CPU-seconds of a fresh Python that runs `statement`; medians."""
    walls, cpus = [], []
    for _ in range(times):
        began, before = time.monotonic(), os.times()
        subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
        after = os.times()
        walls.append(time.monotonic() - began)
        cpus.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(walls), statistics.median(cpus)


def measure(budget: str, times: int, cold: bool) -> Report:
    load = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="startup-"))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    try:
        first = None
        if cold:
            place = clone(folder / "cold")
            forget(Path(sys.prefix))
            first = one_run(place, budget)
            say("cold", first)
        warm = []
        for number in range(times):
            place = clone(folder / f"warm{number}")
            if (folder / "cold/runs/.compile").is_dir():
                shutil.copytree(folder / "cold/runs/.compile", place / "runs/.compile")
            warm.append(one_run(place, budget))
            say("warm", warm[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    imports = {name: alone(statement, max(1, times)) for name, statement in IMPORTS.items()}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return Report(first, timeline.median(warm), imports, times, budget, machine, commit.stdout.strip(), load)


def say(kind: str, found: list[Span]) -> None:
    print(f"{kind}: {timeline.overhead(found):.1f} s beside the budget", flush=True)


def table(report: Report) -> list[str]:
    cold = {span.name: span for span in report.cold or []}
    lines = [f"{'seconds':42}{'warm':>8}{'CPU':>8}{'cold':>8}"]
    for span in report.warm:
        before = f"{cold[span.name].wall:.2f}" if span.name in cold else ""
        lines.append(f"{span.name:42}{span.wall:8.2f}{span.cpu:8.2f}{before:>8}")
    total = f"{timeline.overhead(report.cold):.2f}" if report.cold else ""
    wall, cpu = (timeline.overhead(report.warm, of) for of in ("wall", "cpu"))
    lines.append(f"{'all but training':42}{wall:8.2f}{cpu:8.2f}{total:>8}")
    lines += ["", f"{'an import alone':42}{'wall':>8}{'CPU':>8}"]
    lines += [f"{name:42}{wall:8.2f}{cpu:8.2f}" for name, (wall, cpu) in report.alone.items()]
    lines.append(
        f"budget {report.budget}, {report.times} warm runs; {report.machine}; load {report.load:.1f} before; "
        f"commit {report.commit}"
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="10cpu", help="of each run (default: 10cpu; on a GPU say 20s)")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="warm runs (default: 3)")
    parser.add_argument("--short", action="store_true", help="one warm run of 5,000 tokens")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args()
    budget, times = ("5000tok", 1) if given.short else (given.budget, max(1, given.times))
    report = measure(budget, times, cold=not given.short)
    print("\n" + "\n".join(table(report)))
    if given.json:
        given.json.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
