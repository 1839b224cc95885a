#!/usr/bin/env python3
"""What is each lever of the recipe worth? Real trainings of the small profile, on the same seeds as the baseline.

A lever is one change of train.py: an entry of benchmarks/bench/levers.json (or of another catalogue of the same
form), worked out against the train.py of this checkout. Each is trained on the seeds of the baseline, so that the
difference is taken seed by seed. What pays goes into train.py; what does not is a row of references/recipe.md.

Every training is made once and lies in FOLDER: stop it at any time, and go on with the same command. With a budget
in tokens a run is the same however busy the machine is; with one in CPU-seconds, cheaper steps count too.

examples:
  .venv/bin/python benchmarks/recipe.py --keep FOLDER                     every lever, 400000tok, 2 seeds
  .venv/bin/python benchmarks/recipe.py --keep FOLDER softcap qk-gain     these two
  .venv/bin/python benchmarks/recipe.py --keep FOLDER --budget 100cpu     cheaper steps count; on an idle machine
  .venv/bin/python benchmarks/recipe.py --short                           one lever, a few steps: does it work?

exit code: 0 done, 2 it could not begin or a training was killed from outside, 130 stopped
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from researcher.catalogue import CatalogueError  # noqa: E402
from researcher.trainfile import TrainFile  # noqa: E402

from benchmarks import replay  # noqa: E402
from benchmarks.bench import edits, trainings, truth  # noqa: E402
from benchmarks.figures import jsonable  # noqa: E402

LEVERS = ROOT / "benchmarks" / "bench" / "levers.json"


@dataclass(frozen=True)
class Row:
    """One lever. bpb, positive is better, and what a token costs beside the baseline's (1 is the same)."""

    lever: str
    idea: str
    outcome: str
    gain: float
    error: float
    gains: tuple[float, ...]
    cost: float


def labels(ideas: edits.Ideas, text: str, names: Sequence[str]) -> list[str]:
    """Of the levers called `names` (all without one): each with each of its values."""
    known = ideas.catalogue.ideas
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no lever is called {', '.join(unknown)}: there are {', '.join(known)}")
    train = TrainFile(text, ideas.profile)
    return [label for name, one in known.items() if not names or name in names for label in one.labels(train)]


def per_token(results: Sequence[trainings.Result]) -> float:
    """CPU-seconds a token."""
    return statistics.fmean(one.cpu_seconds / one.tokens for one in results if one.tokens)


def measure(
    ideas: edits.Ideas, text: str, chosen: Sequence[str], budget: str, seeds: int, made: trainings.Trainings
) -> tuple[list[trainings.Result], list[Row]]:
    """The baseline's results and a row for each lever that applies, best first; trains what is missing."""
    plan = truth.plan(ideas, [edits.Idea(label, False) for label in chosen], text, budget, seeds, seeds)
    made.all(plan.jobs())
    baseline = made.all(plan.baseline_jobs())
    if not all(one.scored for one in baseline):
        raise ValueError(f"the baseline itself has no score: {baseline[0].word}")
    found = {idea: made.all([plan.job(text, n) for n in range(seeds)]) for idea, text in plan.texts.items()}
    judged, _ = truth.truths(baseline, found)
    rows = []
    for one in judged:
        results = found[one.idea]
        gains = tuple(base.val_bpb - other.val_bpb for base, other in zip(baseline, results, strict=True))
        error = statistics.stdev(gains) / len(gains) ** 0.5 if one.outcome == "finished" else float("nan")
        named = ideas.catalogue.ideas[one.idea.label.partition("=")[0]].idea
        cost = per_token(results) / per_token(baseline) if one.outcome == "finished" else float("nan")
        rows.append(Row(one.idea.label, named, one.outcome, one.paired, error, gains, cost))
    return baseline, sorted(rows, key=lambda row: -row.gain if row.outcome == "finished" else 1.0)


def show(baseline: Sequence[trainings.Result], rows: Sequence[Row], budget: str) -> list[str]:
    scores = " ".join(f"{one.val_bpb:.4f}" for one in baseline)
    lines = [
        f"baseline val_bpb {statistics.fmean(one.val_bpb for one in baseline):.5f} ({scores}), "
        f"{statistics.fmean(one.tokens for one in baseline):,.0f} tokens, "
        f"{1 / per_token(baseline):,.0f} tokens a CPU-second",
        "",
        f"{'lever':34}{'gain':>9}{'± s.e.':>8}{'CPU a token':>13}  each seed",
    ]
    for row in rows:
        if row.outcome != "finished":
            lines.append(f"{row.lever:34}{row.outcome:>9}")
            continue
        each = " ".join(f"{gain:+.4f}" for gain in row.gains)
        lines.append(f"{row.lever:34}{row.gain:+9.4f}{row.error:8.4f}{row.cost:12.2f}x  {each}")
    alone = f"budget {budget}, {len(baseline)} seeds, each lever alone on this train.py"
    return [*lines, "", f"{alone}; {replay.machine()}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("levers", nargs="*", metavar="LEVER", help="by id (default: all)")
    parser.add_argument("--levers-file", type=Path, default=LEVERS, metavar="FILE", help="another catalogue")
    parser.add_argument("--budget", default="400000tok", help="of a run: 100cpu, 400000tok (default)")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="(default: 2)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="trainings at once (default: 2)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where trainings lie, and stay")
    parser.add_argument("--short", action="store_true", help="the first lever, a few steps; says nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args()
    if min(given.seeds, 2) < 2 or given.jobs < 1:
        parser.error("at least two seeds and one job")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = (given.keep or Path(tempfile.mkdtemp(prefix="recipe-"))).resolve()
    budget = "12288tok" if given.short else given.budget
    try:
        ideas, text = edits.load(given.levers_file), (ROOT / "train.py").read_text(encoding="utf-8")
        chosen = labels(ideas, text, given.levers)[: 1 if given.short else None]
        trainings.snapshot(ROOT, folder / "files")
        trainer = trainings.LocalTrainer(folder / "files")
        with trainings.Trainings(trainings.Store(folder / "trainings"), trainer, given.jobs, replay.say) as made:
            baseline, rows = measure(ideas, text, chosen, budget, given.seeds, made)
    except (CatalogueError, trainings.Interrupted, OSError, ValueError) as error:
        print(f"recipe: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrecipe: stopped; the same command goes on", file=sys.stderr)
        return 130
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n" + "\n".join(show(baseline, rows, budget)))
    if given.json:
        scores = [one.val_bpb for one in baseline]
        said = {"budget": budget, "baseline": scores, "levers": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(jsonable(said), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
