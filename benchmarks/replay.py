#!/usr/bin/env python3
"""Does the decision policy of this bench end lower than keep-if-lower, on real edits at equal device time?

Both policies walk the same list: real edits of the catalogue (tools/researcher/ideas.json) and some that do
nothing, in the same order, with real trainings of the small profile, until the same device time is spent.

  1. truth      each edit alone on the baseline, on several seeds, beside as many and more of the baseline
  2. campaigns  each policy walks the list, for each order of it; a run costs its training and a fixed overhead
  3. final      the train.py that each ends with, on fresh seeds beside the baseline

Every training is made once and lies in FOLDER under what it depends on: stop it at any time, and go on with the
same command. With a budget in tokens a run is the same however busy the machine is, but throughput is then not
rewarded.

examples:
  .venv/bin/python benchmarks/replay.py --keep FOLDER              100cpu, 5 seeds: on two idle cores five hours
  .venv/bin/python benchmarks/replay.py --keep FOLDER --budget 100000tok --seeds 3      an hour
  .venv/bin/python benchmarks/replay.py --short                    a few edits and steps: does it work at all?
  .venv/bin/python benchmarks/replay.py --keep FOLDER --analyse    what FOLDER has so far; trains nothing

exit code: 0 done, 2 it could not begin or a training was killed from outside, 130 stopped
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from researcher.catalogue import CatalogueError  # noqa: E402

from benchmarks.bench import campaign, edits, final, foretelling, trainings, truth  # noqa: E402
from benchmarks.bench.campaign import Campaign, Costs  # noqa: E402
from benchmarks.bench.policies import POLICIES  # noqa: E402
from benchmarks.figures import jsonable  # noqa: E402

PLAIN = "keep-if-lower"  # what the others are held against


@dataclass(frozen=True)
class Setting:
    """What was asked for. `device`: device time of a campaign, in runs that go to their end."""

    budget: str
    seeds: int
    baseline_seeds: int
    real: int
    nulls: int
    orders: int
    device: float
    overhead: float
    final_seeds: int
    policies: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """One campaign, and what its last train.py is worth. `ahead`: of keep-if-lower in the same order."""

    campaign: Campaign
    worth: final.Worth
    ahead: tuple[float, float]


@dataclass(frozen=True)
class Report:
    setting: Setting
    truths: list[truth.Truth]
    noise: truth.Noise
    baseline: list[float]
    outcomes: list[Outcome]
    false_keeps: dict[str, final.FalseKeeps]
    trainings_made: int
    minutes: float
    machine: str


@dataclass(frozen=True)
class Place:
    """Where trainings lie, and the list as it was when that was begun."""

    ideas: edits.Ideas
    baseline: str
    store: trainings.Store
    trainer: trainings.Trainer

    @classmethod
    def open(cls, folder: Path, say: Callable[[str], None]) -> Place:
        files = folder / "files"
        if changed := trainings.snapshot(ROOT, files):
            say(f"note: {changed}")
        baseline = (files / "train.py").read_text(encoding="utf-8")
        store = trainings.Store(folder / "trainings")
        return cls(edits.load(files / "ideas.json"), baseline, store, trainings.LocalTrainer(files))

    def plan(self, setting: Setting) -> truth.Plan:
        listed = self.listed(setting, 0)
        budget, seeds, baseline_seeds = setting.budget, setting.seeds, setting.baseline_seeds
        return truth.plan(self.ideas, listed, self.baseline, budget, seeds, baseline_seeds)

    def listed(self, setting: Setting, order: int) -> list[edits.Idea]:
        return self.ideas.listed(self.baseline, setting.real, order, setting.nulls)


def replay(place: Place, setting: Setting, jobs: int, say: Callable[[str], None]) -> Report:
    """All three stages."""
    began = time.monotonic()
    plan = place.plan(setting)
    with trainings.Trainings(place.store, place.trainer, jobs, say) as made:
        say(f"truth: {len(list(plan.jobs()))} trainings")
        truths, noise = truth.judge(plan, made)
        baseline = [result.val_bpb for result in made.all(plan.baseline_jobs())]
        walked = walk(place, setting, made, say)
        say("final")
        outcomes = weigh(walked, place.baseline, setting, made)
    false = {
        name: final.false_keeps([one for one in walked if one.policy == name], truths) for name in setting.policies
    }
    minutes = (time.monotonic() - began) / 60
    return Report(setting, truths, noise, baseline, outcomes, false, made.made, minutes, machine())


def walk(
    place: Place, setting: Setting, made: trainings.Trainings, say: Callable[[str], None]
) -> list[Campaign]:  # fmt: skip
    """Every policy in every order, side by side: a campaign is one run after another."""
    costs = Costs(setting.budget, setting.overhead)

    def one(name: str, order: int) -> Campaign:
        listed = place.listed(setting, order)
        device = setting.device * costs.most
        done = campaign.run(POLICIES[name](), listed, order, place.ideas, place.baseline, device, costs, made)
        spent = f"{done.spent / device:.0%} of its time"
        say(f"campaign {order}, {name}: {done.runs} runs, {len(done.kept)} kept, {spent}")
        return done

    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(one, name, order) for order in range(setting.orders) for name in setting.policies]
        try:
            return [future.result() for future in futures]
        except BaseException:
            made.close()  # or the other campaigns would go on to their ends
            raise


def weigh(
    walked: Sequence[Campaign], baseline: str, setting: Setting, made: trainings.Trainings
) -> list[Outcome]:  # fmt: skip
    texts = dict.fromkeys([baseline, *(one.text for one in walked)])
    made.all([job for text in texts for job in final.jobs(text, setting.budget, setting.final_seeds)])
    worths = {text: final.worth(text, baseline, setting.budget, made, setting.final_seeds) for text in texts}
    plain = {one.order: worths[one.text] for one in walked if one.policy == PLAIN}
    return [
        Outcome(one, worths[one.text], final.compare(worths[one.text], plain[one.order]))
        if one.order in plain
        else Outcome(one, worths[one.text], (math.nan, math.nan))
        for one in walked
    ]


HEAD = f"{'edit, alone on the baseline':30}{'gain':>10}{'± s.e.':>9}{'on same seeds':>15}{'± s.e.':>9}  runs"


def row(one: truth.Truth) -> str:
    name = one.idea.label + (" (null)" if one.idea.null else "")
    if one.outcome != "finished":
        return f"{name:30}{one.outcome:>10}"
    return f"{name:30}{one.gain:+10.5f}{one.error:9.5f}{one.paired:+15.5f}{one.paired_error:9.5f}{one.runs:6}"


def show(report: Report) -> list[str]:
    """The tables."""
    mean, error = final.mean_and_error(report.baseline)
    lines = [
        f"baseline val_bpb {mean:.5f} ± {error:.5f}, {len(report.baseline)} seeds; sigma of one run "
        f"{report.noise.score:.5f}, of a difference on the same seed {report.noise.difference:.5f}",
        "",
        HEAD,
    ]
    lines += [row(one) for one in sorted(report.truths, key=lambda one: -one.best[0])]
    lines += [
        "",
        f"{'order':>5}  {'policy':14}{'true gain':>10}{'± s.e.':>9}{'ahead':>10}{'± s.e.':>9}"
        f"{'runs':>6}{'tried':>7}{'kept':>6}{'device time':>13}",
    ]
    for outcome in report.outcomes:
        walked = outcome.campaign
        lines.append(
            f"{walked.order:5}  {walked.policy:14}{outcome.worth.gain:+10.5f}{outcome.worth.error:9.5f}"
            f"{outcome.ahead[0]:+10.5f}{outcome.ahead[1]:9.5f}{walked.runs:6}{walked.tried:7}{len(walked.kept):6}"
            f"{walked.spent / walked.device:13.0%}"
        )
    for name in report.setting.policies:
        own = [outcome for outcome in report.outcomes if outcome.campaign.policy == name]
        false = report.false_keeps[name]
        gain, gain_error = final.mean_and_error([outcome.worth.gain for outcome in own])
        ahead, ahead_error = final.mean_and_error([outcome.ahead[0] for outcome in own])
        over = f", over {len(own)} orders: gain {gain:+.5f} ± {gain_error:.5f}, "
        over += f"ahead {ahead:+.5f} ± {ahead_error:.5f}"
        lines.append(
            f"{name}{over if len(own) > 1 else ''}; keeps that gain nothing alone on the baseline: "
            f"{false.measured} of {false.known} as measured, {false.expected:.1f} expected given the errors above"
        )
    setting = report.setting
    costs = Costs(setting.budget, setting.overhead)
    for name in setting.policies:
        walked_by = [outcome.campaign for outcome in report.outcomes if outcome.campaign.policy == name]
        raced = final.raced(walked_by, report.truths, costs.most)
        if raced.runs:
            lines.append(
                f"{name}: {raced.runs} runs stopped by their curves, saving the time of {raced.saved:.1f}; "
                f"gain alone on the baseline: {raced.measured} of {raced.known} as measured, "
                f"{raced.expected:.1f} expected"
            )
    if costs.unit == "tok":
        lines += ["", "a budget in tokens does not reward throughput: what makes steps cheaper gains nothing here"]
    lines += [
        "",
        f"budget {setting.budget}, {setting.seeds} seeds for each edit, {setting.final_seeds} for the final ones, "
        f"device time of {setting.device:g} whole runs with {setting.overhead:.0%} overhead each",
        f"{report.trainings_made} trainings made in {report.minutes:.0f} minutes, the others were there",
        report.machine,
    ]
    return lines


def analyse(place: Place, setting: Setting) -> list[str]:
    """What the collection for the truth says so far about curves and noise."""
    plan = place.plan(setting)
    baseline = [result for job in plan.baseline_jobs() if (result := place.store.get(job)) is not None]
    found = [
        [place.store.get(plan.job(text, number)) for number in range(plan.seeds)] for text in plan.texts.values()
    ]
    there = len(baseline) + sum(result is not None for results in found for result in results)
    lines = [f"{there} of {len(list(plan.jobs()))} trainings are there, budget {setting.budget}; {machine()}"]
    if len(baseline) < plan.baseline_seeds:
        return [*lines, "the baseline is not complete yet"]
    lines += foretelling.table(baseline, found)
    whole = {
        idea: [result for result in results if result is not None]
        for idea, results in zip(plan.texts, found, strict=True)
    }
    truths, _ = truth.truths(baseline, whole)
    return [*lines, "", HEAD, *map(row, sorted(truths, key=lambda one: -one.best[0]))]


def machine() -> str:
    import torch

    return (
        f"CPU, 1 thread a run, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, torch "
        f"{torch.__version__}, Python {platform.python_version()}"
    )


def settings(given: argparse.Namespace) -> Setting:
    if given.short:
        # Three edits of 12 steps: enough for scores and curves, too short for either to say anything.
        return Setting("12288tok", 2, 2, 2, 1, 1, 5.0, given.overhead, 2, tuple(given.policies))
    return Setting(
        budget=given.budget,
        seeds=given.seeds,
        baseline_seeds=truth.BASELINE_SEEDS,
        real=given.edits,
        nulls=edits.NULLS,
        orders=given.orders,
        device=given.device or given.edits + edits.NULLS + 1.0,
        overhead=given.overhead,
        final_seeds=given.final_seeds,
        policies=tuple(given.policies),
    )


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="100cpu", help="of a run: 100cpu, 100000tok (default: 100cpu)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="of each edit's truth (default: 5)")
    parser.add_argument(
        "--edits", type=int, default=edits.REAL, metavar="N", help=f"real ones, besides the nulls ({edits.REAL})"
    )
    parser.add_argument("--orders", type=int, default=1, metavar="N", help="shuffles of the list (default: 1)")
    parser.add_argument(
        "--device", type=float, metavar="RUNS", help="device time of a campaign (default: one run for each edit)"
    )
    parser.add_argument(
        "--overhead", type=float, default=campaign.OVERHEAD, metavar="SHARE", help="of a run's budget, beside it"
    )
    parser.add_argument("--final-seeds", type=int, default=final.FINAL_SEEDS, metavar="N", help="(default: 8)")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="trainings at once (default: 2)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where trainings lie, and stay")
    parser.add_argument("--analyse", action="store_true", help="curves and noise, from what FOLDER has")
    parser.add_argument("--short", action="store_true", help="three edits, a few steps; says nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args()
    if min(given.seeds, given.final_seeds) < 2 or min(given.edits, given.orders, given.jobs) < 1:
        parser.error("at least two seeds of everything, one edit, one order and one job")
    if given.analyse and not given.keep:
        parser.error("--analyse reads what --keep FOLDER has")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = (given.keep or Path(tempfile.mkdtemp(prefix="replay-"))).resolve()
    try:
        place, setting = Place.open(folder, say), settings(given)
        if given.analyse:
            print("\n".join(analyse(place, setting)))
            return 0
        report = replay(place, setting, given.jobs, say)
    except (CatalogueError, trainings.Interrupted, OSError, ValueError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nreplay: stopped; the same command goes on", file=sys.stderr)
        return 130
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print()
    print("\n".join(show(report)))
    if given.json:
        given.json.write_text(json.dumps(jsonable(asdict(report)), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
