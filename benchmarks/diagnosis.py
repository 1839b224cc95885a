#!/usr/bin/env python3
"""Does tools/diagnose.py name the right cause? On recorded runs that were broken on purpose, and healthy ones.

The runs lie in tests/diagnosis/curves (tests/diagnosis/record.py trains them anew). The thresholds were set on the
half `tune`; what counts is the half `report`, which is broken in other ways. Each run is judged twice: beside a
healthy baseline of its size, as in a campaign, and alone, as a campaign's baseline is.

examples:
  .venv/bin/python benchmarks/diagnosis.py
  .venv/bin/python benchmarks/diagnosis.py --json FILE
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from harness.diagnosis.causes import rank  # noqa: E402
from harness.diagnosis.features import Features, measure  # noqa: E402

from tests.diagnosis.cases import HEALTHY, RIVALS  # noqa: E402
from tests.diagnosis.load import Recorded, load  # noqa: E402


@dataclass(frozen=True)
class Judged:
    """One run: what it is, and what was named first ("" for nothing) and at all."""

    name: str
    label: str
    half: str
    how: str
    named: tuple[str, ...]

    @property
    def first(self) -> str:
        return self.named[0] if self.named else ""

    @property
    def right(self) -> bool:
        return not self.named if self.label == HEALTHY else self.first == self.label


@dataclass(frozen=True)
class Tally:
    """Of one half, with or without an incumbent beside it."""

    half: str
    beside: bool
    broken: int
    top_1: int
    top_3: int
    healthy: int
    false_alarms: int


def judge(runs: Sequence[Recorded], *, beside: bool) -> list[Judged]:
    measured: dict[str, Features] = {run.name: measure(run.rows, run.facts) for run in runs}
    rivals = {name: measured[name] for name in RIVALS.values()}
    judged = []
    for run in runs:
        rival = rivals[RIVALS[run.size]] if beside and run.name not in rivals else None
        named = tuple(one.cause.name for one in rank(measured[run.name], rival))
        judged.append(Judged(run.name, run.label, run.half, run.how, named))
    return judged


def tally(judged: Sequence[Judged], half: str, *, beside: bool) -> Tally:
    own = [one for one in judged if one.half == half]
    broken = [one for one in own if one.label != HEALTHY]
    healthy = [one for one in own if one.label == HEALTHY]
    return Tally(
        half=half,
        beside=beside,
        broken=len(broken),
        top_1=sum(one.right for one in broken),
        top_3=sum(one.label in one.named[:3] for one in broken),
        healthy=len(healthy),
        false_alarms=sum(not one.right for one in healthy),
    )


def table(judged: Sequence[Judged], half: str) -> list[str]:
    """Each label of a half, how many of its runs were named right, and what the others were taken for."""
    lines = [f"{'what it is (' + half + ')':24}{'runs':>5}{'right':>7}  taken for"]
    for label in dict.fromkeys(one.label for one in judged):
        own = [one for one in judged if one.half == half and one.label == label]
        wrong = [f"{one.name}: {', '.join(one.named[:3]) or 'nothing'}" for one in own if not one.right]
        if own:
            lines.append(f"{label:24}{len(own):5}{sum(one.right for one in own):7}  {'; '.join(wrong)}".rstrip())
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there; - is standard output")
    given = parser.parse_args()
    began, runs = time.process_time(), load()
    both = {beside: judge(runs, beside=beside) for beside in (True, False)}
    seconds = (time.process_time() - began) / max(1, 2 * len(runs))
    tallies = [tally(both[beside], half, beside=beside) for beside in (True, False) for half in ("tune", "report")]
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    found = {
        "tallies": [asdict(one) for one in tallies],
        "runs": [asdict(one) | {"beside": beside, "right": one.right} for beside in both for one in both[beside]],
        "cpu_seconds_a_run": seconds,
        "machine": machine,
    }
    if given.json == Path("-"):
        print(json.dumps(found, indent=2))
        return 0
    for half in ("tune", "report"):
        print("\n".join([*table(both[True], half), ""]))
    for one in tallies:
        where = "beside a baseline" if one.beside else "alone"
        print(
            f"{one.half:7} {where:18} cause right: {one.top_1} of {one.broken}"
            f" ({one.top_1 / max(1, one.broken):.0%}), among three: {one.top_3};"
            f" false alarms: {one.false_alarms} of {one.healthy} healthy"
        )
    print(f"{1000 * seconds:.1f} ms of CPU a run; {machine}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
