#!/usr/bin/env python3
"""How long does the agent, or a person, wait for a command, when a campaign has many experiments?

Makes campaigns of real shape (benchmarks/made_up.py) in throw-away clones and calls each command as it is called
in a night. What counts is CPU seconds, of the command and all that it starts, since wall seconds on a machine that
trains tell of the training. Of several calls the least: the others waited for something. The first call stands
apart: it compiles the tools, and one that looks for what was tried builds the index of it.

examples:
  .venv/bin/python benchmarks/latency.py                 100 and 10,000 experiments: some 10 minutes
  .venv/bin/python benchmarks/latency.py --sizes 100     one minute
  .venv/bin/python benchmarks/latency.py --short         10 experiments: does it work at all?

exit code: 0 done, 2 it could not begin
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
TARGETS = {100: 0.2, 10_000: 1.0}  # CPU seconds

# What is called, and the exit codes that are an answer: 2 where it refuses, since nothing has run.
COMMANDS: tuple[tuple[str, tuple[str, ...], tuple[int, ...]], ...] = (
    ("status", ("tools/status.py",), (0,)),
    ("status --json", ("tools/status.py", "--json"), (0,)),
    ("recall words", ("tools/recall.py", "warmdown"), (0, 1)),
    ("recall --dead-ends", ("tools/recall.py", "--dead-ends"), (0, 1)),
    ("diagnose", ("tools/diagnose.py",), (0, 1, 2)),
    ("log_result, refused", ("tools/log_result.py", "-d", "nothing ran"), (2,)),
    ("revert, refused", ("tools/revert.py",), (0, 2)),
    ("run_experiment, refused", ("tools/run_experiment.py", "-m", "exp: nothing"), (2,)),
    ("report --text", ("tools/report.py", "--text"), (0,)),
    ("next_turn --help", ("tools/next_turn.py", "--help"), (0,)),
)


@dataclass(frozen=True)
class Row:
    """CPU seconds of one command in a campaign of `experiments`: of the first call, and the least of the later
    ones. `target` is None where there is none for this size."""

    experiments: int
    command: str
    first: float
    seconds: float
    target: float | None


def cpu_of(root: Path, arguments: tuple[str, ...], expected: tuple[int, ...]) -> float:
    """CPU seconds, user and system, of one call. Raises RuntimeError where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([PYTHON, *arguments], cwd=root, env=environ, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in expected:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {last}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(root: Path, experiments: int, times: int) -> list[Row]:
    rows = []
    for name, arguments, expected in COMMANDS:
        first = cpu_of(root, arguments, expected)
        least = min(cpu_of(root, arguments, expected) for _ in range(times))
        rows.append(Row(experiments, name, first, least, TARGETS.get(experiments)))
    return rows


def show(rows: list[Row]) -> list[str]:
    lines = [f"{'experiments':>11}  {'command':26}{'first':>9}{'then':>9}{'target':>9}   CPU seconds"]
    for row in rows:
        target = "" if row.target is None else f"{row.target:.1f}"
        missed = "  missed" if row.target is not None and row.seconds > row.target else ""
        lines.append(
            f"{row.experiments:11,}  {row.command:26}{row.first:9.2f}{row.seconds:9.2f}{target:>9}{missed}"
        )
    return lines


def made(folder: Path, experiments: int) -> Path:
    """A campaign of that many experiments."""
    root = folder / str(experiments)
    script = str(ROOT / "benchmarks/made_up.py")
    command = [str(PYTHON), script, str(root), "--experiments", str(experiments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["made_up.py failed"])[-1])
    return root


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(TARGETS), metavar="N", help="(100 10000)")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="calls of which the least counts (3)")
    parser.add_argument("--short", action="store_true", help="10 experiments; says little")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args()
    if min(given.sizes) < 1 or given.times < 1:
        parser.error("at least one experiment and one call")
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory(prefix="latency-") as folder:
            for size in [10] if given.short else given.sizes:
                rows += measure(made(Path(folder), size), size, given.times)
    except (RuntimeError, OSError) as error:
        print(f"latency: {error}", file=sys.stderr)
        return 2
    print("\n".join(show(rows)))
    print(f"\n{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
