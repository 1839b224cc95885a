#!/usr/bin/env python3
"""Decision policies side by side at equal device time, in campaigns without training where the truth is known.

Ideas, noise and curves are drawn (benchmarks/policies/world.py says after which published campaigns). The pack's
own policy is made of the very functions that its tools call. Gains are true ones, in bpb; a ratio is over
keep-if-lower. Constants were tuned on the priors mar8 and lean with good curves; the headline is of the others,
rich and nudges.

examples:
  .venv/bin/python benchmarks/policy.py --json policy.json     under 8 minutes on two idle cores
  .venv/bin/python benchmarks/policy.py --short                under a minute, ratios to a few per cent

exit code: 0
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from benchmarks.policies.figures import Estimate, Figures, figures, pooled, ratio  # noqa: E402
from benchmarks.policies.rivals import POLICIES, RUN, Outcome  # noqa: E402
from benchmarks.policies.world import ALL, CURVES, REPORTED_ON, TUNED_ON, Curves, Ideas, World  # noqa: E402

PLAIN, OURS = "keep if lower", "ours"
NOISES = (0.0004, 0.001)
TIME = 100.0  # of a campaign, in runs
SHARED = 0.6  # share of the noise that a seed makes, in the lines where it makes any
CHUNK = 20  # campaigns of one job
GOOD, POOR = CURVES
APART = 1_000_000  # seeds between priors, so that their campaigns are independent


@dataclass(frozen=True)
class Cell:
    """One world: `ideas`, `curves`, `noise` of a run (bpb), and the share of it that a seed makes."""

    ideas: Ideas
    curves: Curves
    noise: float
    shared: float = 0.0

    def world(self, number: int) -> World:
        return World(self.ideas, self.curves, self.noise, ALL.index(self.ideas) * APART + number, self.shared)


@dataclass(frozen=True)
class Job:
    """Campaigns `first` to `first + count` of a policy in a world."""

    policy: str
    cell: Cell
    first: int
    count: int


def play(job: Job) -> list[tuple[Outcome, float]]:
    """The outcome of each campaign, and what its ideas would have gained in all."""
    found = []
    for number in range(job.first, job.first + job.count):
        outcome = POLICIES[job.policy](job.cell.world(number), TIME)
        found.append((outcome, job.cell.world(number).worth(PLAIN_IDEAS)))
    return found


PLAIN_IDEAS = int(TIME / RUN)  # that fit into a campaign when each has one run


@dataclass(frozen=True)
class Size:
    """Campaigns a cell: of the pack's policy in the headline and elsewhere, of keep-if-lower, of other rivals."""

    headline: int
    ours: int
    plain: int
    rivals: int


DEFAULT, SHORT = Size(600, 160, 4000, 400), Size(60, 20, 400, 40)


def plan(size: Size) -> Iterator[tuple[str, Cell, int]]:
    """Which policies meet which worlds, and how often. Curves make a difference to the pack's alone."""
    for noise in NOISES:
        for ideas in ALL:
            cell = Cell(ideas, GOOD, noise)
            yield OURS, cell, size.headline if ideas in REPORTED_ON else 2 * size.ours
            yield OURS, Cell(ideas, POOR, noise), size.ours
            yield PLAIN, cell, size.plain
            for name in POLICIES:
                if name not in (PLAIN, OURS):
                    yield name, cell, size.rivals
        for ideas in REPORTED_ON:
            yield OURS, Cell(ideas, GOOD, noise, SHARED), size.ours
            yield PLAIN, Cell(ideas, GOOD, noise, SHARED), size.plain


Results = dict[tuple[str, Cell], Figures]


def simulate(size: Size, workers: int) -> Results:
    """All campaigns of the plan."""
    found: dict[tuple[str, Cell], list[tuple[Outcome, float]]] = {}
    jobs = [
        Job(policy, cell, first, min(CHUNK, count - first))
        for policy, cell, count in plan(size)
        for first in range(0, count, CHUNK)
    ]
    jobs.sort(key=lambda job: job.policy != OURS)  # the long ones first
    with ProcessPoolExecutor(workers) as pool:
        for job, played in zip(jobs, pool.map(play, jobs), strict=True):
            found.setdefault((job.policy, job.cell), []).extend(played)
    results = {}
    for (policy, cell), played in found.items():
        outcomes, worth = zip(*played, strict=True)
        results[policy, cell] = figures(outcomes, worth, cell.ideas.worth(PLAIN_IDEAS))
    return results


def against(results: Results, policy: str, cells: Sequence[Cell]) -> tuple[Figures, Estimate]:
    """A policy's figures over some worlds, and its gain over keep-if-lower's there."""
    own = [results[policy, cell] for cell in cells]
    plain = [results[PLAIN, Cell(cell.ideas, GOOD, cell.noise, cell.shared)] for cell in cells]
    return pooled(own), ratio([one.gain for one in own], [one.gain for one in plain])


def entry(results: Results, policy: str, cells: Sequence[Cell]) -> dict[str, Any]:
    """What the JSON says of a policy over some worlds."""
    found, times = against(results, policy, cells)
    return {
        "noise": cells[0].noise,
        "priors": [cell.ideas.name for cell in cells],
        "curves": cells[0].curves.name,
        "shared": cells[0].shared,
        "policy": policy,
        "campaigns": found.campaigns,
        "true_gain": found.gain.mean,
        "true_gain_error": found.gain.error,
        "gain_ratio": times.mean,
        "gain_ratio_error": times.error,
        "false_keep_share": found.false_keep_share,
        "bias": found.bias.mean,
        "bias_error": found.bias.error,
        "keeps": found.keeps,
        "ideas": found.ideas,
        "racing_lost_keeps": found.racing_lost_keeps,
        "device_time_saved": found.device_time_saved,
    }


def summary(results: Results) -> dict[str, Any]:
    """`pack`: the headline, the pack's policy over the priors that nothing was tuned on, an entry a noise level.
    `pools`: over other sets of priors and curves. `policies`: every policy in every world."""

    def cells(noise: float, priors: Sequence[Ideas], curves: Curves, shared: float = 0.0) -> list[Cell]:
        return [Cell(ideas, curves, noise, shared) for ideas in priors]

    pools = []
    for noise in NOISES:
        pools += [entry(results, OURS, cells(noise, ideas, GOOD)) for ideas in (TUNED_ON, ALL)]
        pools += [entry(results, OURS, cells(noise, ideas, POOR)) for ideas in (REPORTED_ON, ALL)]
        pools.append(entry(results, OURS, cells(noise, REPORTED_ON, GOOD, SHARED)))
    return {
        "pack": [entry(results, OURS, cells(noise, REPORTED_ON, GOOD)) for noise in NOISES],
        "pools": pools,
        "policies": [entry(results, policy, [cell]) for policy, cell in results],
        "tuned_on": [ideas.name for ideas in TUNED_ON],
        "reported_on": [ideas.name for ideas in REPORTED_ON],
        "sources": {ideas.name: ideas.source for ideas in ALL},
        "device_time": TIME,
    }


HEAD = f"{'':30} campaigns     gain   ratio  ± s.e.  keeps  false      bias  saved   lost"


def line(name: str, one: dict[str, Any]) -> str:
    raced = f"{one['device_time_saved']:7.1%}{one['racing_lost_keeps']:7.1%}" if one["policy"] == OURS else ""
    return (
        f"{name:30}{one['campaigns']:10}{one['true_gain']:9.5f}{one['gain_ratio']:8.3f}"
        f"{one['gain_ratio_error']:8.3f}{one['keeps']:7.1f}{one['false_keep_share']:7.1%}{one['bias']:+10.5f}{raced}"
    )


def table(found: dict[str, Any]) -> str:
    """For a person."""
    lines = [
        f"{found['machine']}; {found['seconds']:.0f} s. A campaign has the time of {TIME:.0f} runs.",
        f"Tuned on {', '.join(found['tuned_on'])}; the headline is of {', '.join(found['reported_on'])}.",
    ]
    for noise in NOISES:
        lines += ["", f"noise {noise}", HEAD]
        lines += [line("ours, headline", one) for one in found["pack"] if one["noise"] == noise]
        for one in found["pools"]:
            if one["noise"] == noise:
                seeds = f", seed {one['shared']:.0%}" if one["shared"] else ""
                names = "all" if len(one["priors"]) == len(ALL) else "+".join(one["priors"])
                lines.append(line(f"ours, {names}, {one['curves']}{seeds}", one))
        for ideas in ALL:
            lines.append(f"  {ideas.name}")
            rows = [one for one in found["policies"] if one["noise"] == noise and one["priors"] == [ideas.name]]
            for one in sorted(rows, key=lambda row: (row["shared"], list(POLICIES).index(row["policy"]))):
                curves = f", {one['curves']} curves" if one["policy"] == OURS else ""
                seeds = f", seed {one['shared']:.0%}" if one["shared"] else ""
                lines.append(line(f"    {one['policy']}{curves}{seeds}", one))
    lines += ["", *(f"{name}: {source}" for name, source in found["sources"].items())]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--short", action="store_true", help="a tenth of the campaigns")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 2), help="processes (2)")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    size = SHORT if asked.short else DEFAULT
    found = summary(simulate(size, asked.workers))
    found |= {
        "size": asdict(size),
        "seconds": time.monotonic() - began,
        "machine": f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
    }
    print(table(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
