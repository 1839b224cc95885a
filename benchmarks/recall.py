#!/usr/bin/env python3
"""Does the bench know an experiment that was tried before? Planted duplicates found, and false warnings.

Memory holds the researcher's catalogue, each idea as one experiment on train.py (profile small). Then come

  duplicates   ideas of the catalogue once more: laid out anew, put through a formatter, with locals renamed, with
               a value a few percent beside, with sums turned round, with a number given a name, reworded by hand
  others       each idea of the catalogue against all the others; neighbours: another value of the same constant,
               the same code with a rate tuned, two ideas at once. A warning for one of them is false.

A duplicate is found where the rule of run_experiment.sh refuses it, naming the idea that it is. No run is made.

examples:
  .venv/bin/python benchmarks/recall.py
  .venv/bin/python benchmarks/recall.py --planted 50 --json FILE

exit code: 0 done
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from harness import similar  # noqa: E402
from harness.similar import Change  # noqa: E402

from benchmarks.bench import edits, planting  # noqa: E402
from benchmarks.bench.planting import Planted  # noqa: E402


@dataclass(frozen=True)
class Report:
    """By disguise or kind: how many there were, and how many the bench took for one that it knows."""

    known: int
    planted: dict[str, tuple[int, int]]
    others: dict[str, tuple[int, int]]
    missed: list[str]
    warned: list[str]
    milliseconds: float  # CPU, to describe one edit

    @property
    def recall(self) -> float:
        return _share(self.planted)

    @property
    def false_warnings(self) -> float:
        return _share(self.others)


def _share(counted: dict[str, tuple[int, int]]) -> float:
    total = sum(of for _, of in counted.values())
    return sum(hits for hits, _ in counted.values()) / total if total else 0.0


def measure(base: str, ideas: edits.Ideas, count: int, seed: int) -> Report:
    texts = planting.catalogue(ideas, base)
    began, described = time.process_time(), 0

    def describe(text: str) -> Change:
        nonlocal described
        described += 1
        return similar.describe(base, text, planting.PROFILE) or ()

    memory = {label: describe(text) for label, text in texts.items()}

    def known(change: Change, but: str = "") -> list[str]:
        return [label for label, past in memory.items() if label != but and similar.near(change, past)]

    found: Counter[str] = Counter()
    listed = planting.planted(base, texts, count, seed)
    missed = []
    for one in listed:
        if one.label in known(describe(one.text)):
            found[one.how] += 1
        else:
            missed.append(f"{one.label}, {one.how}")
    warnings: Counter[str] = Counter()
    warned = []
    neighbours = planting.others(base, texts, ideas)
    checks = [Planted(label, "the catalogue's others", text) for label, text in texts.items()] + neighbours
    for one in checks:
        alone = one.how == "the catalogue's others"
        if near := known(memory[one.label] if alone else describe(one.text), one.label if alone else ""):
            warnings[one.how] += 1
            warned.append(f"{one.label}, {one.how}: taken for {', '.join(near)}")
    took = time.process_time() - began
    return Report(
        known=len(memory),
        planted=_counts(listed, found),
        others=_counts(checks, warnings),
        missed=missed,
        warned=warned,
        milliseconds=1000 * took / described,
    )


def _counts(listed: list[Planted], hits: Counter[str]) -> dict[str, tuple[int, int]]:
    of = Counter(one.how for one in listed)
    return {how: (hits[how], count) for how, count in of.items()}


def table(report: Report) -> list[str]:
    lines = [f"{report.known} experiments in memory; {report.milliseconds:.1f} ms of CPU to describe an edit", ""]
    lines.append(f"{'duplicates':28}{'found':>8}{'of':>6}")
    lines += [f"{how:28}{hits:8}{of:6}" for how, (hits, of) in report.planted.items()]
    lines.append(f"{'all':28}{sum(h for h, _ in report.planted.values()):8}{_total(report.planted):6}"
                 f"   recall {report.recall:.1%}")  # fmt: skip
    lines += ["", f"{'other experiments':28}{'warned':>8}{'of':>6}"]
    lines += [f"{how:28}{hits:8}{of:6}" for how, (hits, of) in report.others.items()]
    lines.append(f"{'all':28}{sum(h for h, _ in report.others.values()):8}{_total(report.others):6}"
                 f"   false warnings {report.false_warnings:.1%}")  # fmt: skip
    lines += ["", *(f"missed: {one}" for one in report.missed), *(f"false: {one}" for one in report.warned)]
    return lines


def _total(counted: dict[str, tuple[int, int]]) -> int:
    return sum(of for _, of in counted.values())


def as_json(report: Report, seed: int) -> dict[str, Any]:
    return {
        "known": report.known,
        "planted": {how: {"found": hits, "of": of} for how, (hits, of) in report.planted.items()},
        "others": {how: {"warned": hits, "of": of} for how, (hits, of) in report.others.items()},
        "recall": report.recall,
        "false_warnings": report.false_warnings,
        "missed": report.missed,
        "false": report.warned,
        "ms_per_edit": report.milliseconds,
        "seed": seed,
        "machine": f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planted", type=int, default=200, metavar="N", help="duplicates (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of duplicates (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    asked = parser.parse_args(arguments)
    base = (ROOT / "train.py").read_text(encoding="utf-8")
    ideas = edits.load(ROOT / "tools" / "researcher" / "ideas.json", planting.PROFILE)
    report = measure(base, ideas, asked.planted, asked.seed)
    print("\n".join(table(report)))
    if asked.json:
        asked.json.write_text(json.dumps(as_json(report, asked.seed), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
