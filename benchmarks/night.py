#!/usr/bin/env python3
"""A simulated night of research, and whether its books balance afterwards.

The real opencode, launched by scripts/start.sh --headless in a throw-away clone, with the whole bench real; the
model is a script that strays as models do, and training takes a second. The client is killed with SIGKILL at
random instants, now and then everything at once as by a power cut; the model's endpoint fails in every way and
goes away, and its window is so small that the client compacts. At the end, from files alone: is every experiment
logged exactly once, does git know every commit, does nothing run any more, and what did an iteration cost?

examples:
  .venv/bin/python benchmarks/night.py --experiments 10         about three minutes
  .venv/bin/python benchmarks/night.py --json night.json        a hundred, about half an hour
  .venv/bin/python benchmarks/night.py --seed 7 --keep FOLDER   another night, whose files stay

exit code: 0 the books balance, 1 they do not (a line for each reason), 2 it could not begin
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from harness import Refused  # noqa: E402

from benchmarks.simulation import books, mind, place, processes, report, schedule, weather  # noqa: E402
from benchmarks.simulation.course import Diary, Night  # noqa: E402
from benchmarks.simulation.wire import Endpoint, RequestLog  # noqa: E402

STRAY = 0.2  # of the model's answers
# Tokens of its window, of which the client's prompts and the skill fill 8,000, and what a compaction leaves of the
# conversation 4,000: the client compacts every few experiments. A short night has less, so that it sees one at all
# between two fresh sessions.
WINDOW, WINDOW_OF_SHORT = 24_000, 18_000
GRACE = 5.0  # seconds for the last processes to end by themselves


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=100, metavar="N", help="to be decided (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the mix, and of what befalls it (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and leave the files")
    given = parser.parse_args()
    if given.experiments < 1:
        parser.error(f"--experiments {given.experiments}: at least 1")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and cleans up
    folder = (given.keep or Path(tempfile.mkdtemp(prefix="night-"))).resolve()
    try:
        if given.keep and folder.exists() and any(folder.iterdir()):
            raise Refused(f"{folder} is not empty: name another folder")
        where = place.find(folder)
        place.build(where)
        result = spend(where, given.experiments, given.seed)
    except Refused as refusal:
        print(f"night: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nnight: stopped", file=sys.stderr)
        return 130
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        given.json.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
    print()
    for line in report.table(result):
        print(line)
    for line in result.imbalances:
        print(f"night: {line}", file=sys.stderr)
    return 1 if result.imbalances else 0


def spend(where: place.Place, experiments: int, seed: int) -> report.Report:
    """The night itself, and the report on it. Nothing of it runs any more afterwards."""
    began = time.monotonic()

    def say(text: str) -> None:
        seconds = time.monotonic() - began
        print(f"{seconds // 60:3.0f}:{seconds % 60:02.0f}  {text}", flush=True)

    blows = schedule.plan(experiments, seed)
    log = RequestLog(where.requests)
    endpoint = Endpoint(mind.answer(seed, STRAY), lambda number: weather.weather(seed, number), log)
    endpoint.open()
    diary = Diary()
    try:
        version = subprocess.run([where.opencode, "--version"], capture_output=True, text=True).stdout.strip()
        window = WINDOW if experiments >= schedule.LONG else WINDOW_OF_SHORT
        environ = place.environment(where, endpoint.address, window)
        diary = Night(where, endpoint, environ, experiments, blows, say).spend()
        left = processes.left(where.mark, GRACE)
    finally:
        endpoint.close()
        processes.kill_all(where.mark)
    found = books.check(where.repo, place.TAG)
    return report.make(report.Spent(where.requests, seed, experiments, blows, diary, found, left, version))


if __name__ == "__main__":
    sys.exit(main())
