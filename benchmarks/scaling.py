#!/usr/bin/env python3
"""Which size for which budget? Real trainings of the small profile, a few sizes by a few budgets.

Each size is this checkout's train.py with another depth and width; each budget is a run of its own, since the
learning rate falls to its end. To what comes of it two laws are fitted:

  bpb     = E + A / N^a + B / D^b       N: FLOPs a token / 6, D: tokens (Chinchilla, arXiv 2203.15556, approach 3)
  CPU a token ~ N^k                     what a size costs here, which FLOPs alone do not say

and the size with the lowest bpb for a budget in CPU-seconds is read from both, beside the best that was trained.

Every training is made once and lies in FOLDER: stop it at any time, and go on with the same command.

examples:
  .venv/bin/python benchmarks/scaling.py --keep FOLDER --json FILE --plot FILE.png    some 20 minutes on two cores
  .venv/bin/python benchmarks/scaling.py --sizes 1x128,2x128 --budgets 10,20 --seeds 1
  .venv/bin/python benchmarks/scaling.py --short                                      does it work?

exit code: 0 done, 1 a training has no score, 2 it could not begin or was killed from outside, 130 stopped
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import numpy as np  # noqa: E402
from researcher.trainfile import TrainFile  # noqa: E402

from benchmarks import replay  # noqa: E402
from benchmarks.bench import trainings  # noqa: E402
from benchmarks.bench.trainings import Job, Result, Trainings  # noqa: E402
from benchmarks.figures import jsonable  # noqa: E402

SIZES = ("1x64", "2x64", "1x128", "2x128", "3x192")
BUDGETS = (12.5, 25.0, 50.0, 100.0)  # CPU-seconds
EXPONENTS = np.linspace(0.02, 2.0, 100)  # where the laws' are looked for
TRAINABLE = 1.5  # what the laws say is not believed beyond the trained sizes, by more than this factor


class NoScore(Exception):
    """A training crashed or was refused."""


@dataclass(frozen=True, order=True)
class Size:
    """Layers and channels, written 2x128."""

    depth: int
    width: int

    @classmethod
    def parse(cls, said: str) -> Size:
        depth, _, width = said.partition("x")
        if not (depth.isdigit() and width.isdigit() and int(depth) > 0 and int(width) > 0):
            raise ValueError(f"size {said!r}: write layers x channels, as in 2x128")
        return cls(int(depth), int(width))

    def __str__(self) -> str:
        return f"{self.depth}x{self.width}"

    def text(self, train: str) -> str:
        """train.py in this size. Raises ValueError where it has no such constants."""
        file = TrainFile(train, "small")
        for name, value in (("SMALL_DEPTH", self.depth), ("SMALL_WIDTH", self.width)):
            edit = file.setting(name, str(value))
            if edit is None:
                raise ValueError(f"train.py has no {name} on a line of its own")
            file = file.edited(edit) or file
        return file.text


@dataclass(frozen=True)
class Point:
    """What a size reached in a budget; means over the seeds. `work`: FLOPs a token / 6."""

    size: Size
    work: float
    budget: float  # CPU-seconds
    tokens: float
    cpu_seconds: float
    bpb: float
    spread: float  # of the seeds, standard deviation; not a number for one


@dataclass(frozen=True)
class Law:
    """bpb = E + A / N^a + B / D^b. `error`: root mean square over the points, bpb."""

    E: float
    A: float
    a: float
    B: float
    b: float
    error: float

    def bpb(self, work: float, tokens: float) -> float:
        return self.E + self.A * math.pow(work, -self.a) + self.B * math.pow(tokens, -self.b)

    def __str__(self) -> str:
        laws = f"bpb = {self.E:.3f} + {self.A:.3g} / N^{self.a:.2f} + {self.B:.3g} / D^{self.b:.2f}"
        return f"{laws}, off by {self.error:.4f} on average"


@dataclass(frozen=True)
class Cost:
    """CPU-seconds a token = c N^k."""

    c: float
    k: float

    def seconds(self, work: float) -> float:
        return self.c * math.pow(work, self.k)


def fit_law(points: Sequence[Point]) -> Law:
    """The law with the smallest squares: for each pair of exponents the rest is linear. Raises ValueError."""
    if len({point.size for point in points}) < 2 or len(points) < 6:
        raise ValueError("a law needs at least two sizes and six points")
    work, tokens, bpb = (np.array(x) for x in zip(*((p.work, p.tokens, p.bpb) for p in points), strict=True))
    best: Law | None = None
    for a in EXPONENTS:
        for b in EXPONENTS:
            columns = np.stack([np.ones_like(bpb), (work / work.mean()) ** -a, (tokens / tokens.mean()) ** -b], 1)
            found = np.linalg.lstsq(columns, bpb, rcond=None)[0]
            error = float(np.sqrt(np.square(columns @ found - bpb).mean()))
            if (found >= 0).all() and (best is None or error < best.error):
                E, A, B = (float(x) for x in found)
                A, B = A * float(work.mean() ** a), B * float(tokens.mean() ** b)
                best = Law(E, A, float(a), B, float(b), error)
    if best is None:
        raise ValueError("no law with falling terms fits: are the budgets long enough to tell the sizes apart?")
    return best


def fit_cost(points: Sequence[Point]) -> Cost:
    """By least squares in logarithms."""
    k, c = np.polyfit([math.log(p.work) for p in points], [math.log(p.cpu_seconds / p.tokens) for p in points], 1)
    return Cost(math.exp(c), float(k))


def best_work(law: Law, cost: Cost, budget: float, works: Iterable[float]) -> float:
    """The work a token with the lowest bpb for a budget, among sizes not far beyond those that were trained."""
    known = sorted(works)
    tried = np.geomspace(known[0] / TRAINABLE, known[-1] * TRAINABLE, 400)
    return float(min(tried, key=lambda work: law.bpb(work, budget / cost.seconds(work))))


# ---------------------------------------------------------------------------------------------------------


def work_of(text: str, vocab: int, context: int) -> float:
    """FLOPs a token / 6 of this train.py's model, by its own count."""
    import torch

    module = ModuleType("scaled_train")
    exec(compile(text, "train.py", "exec"), module.__dict__)
    hp = module.hyperparameters("small")
    with torch.device("meta"):
        model = module.build_model(module.model_config(hp, vocab, context, torch.float32, "plain"))
    return float(module.flops_per_token(model)) / 6


def measure(
    sizes: Sequence[Size], budgets: Sequence[float], seeds: int, train: str, made: Trainings
) -> list[Point]:
    """Trains what is missing, the shortest first. Raises NoScore."""
    import prepare

    meta = prepare.load_meta()
    texts = {size: size.text(train) for size in sizes}
    jobs = {
        (size, budget): [Job(texts[size], trainings.seed_of("scaling", n), f"{budget:g}cpu") for n in range(seeds)]
        for budget in sorted(budgets)
        for size in sizes
    }
    results = made.all(job for own in jobs.values() for job in own)
    if lost := next((one for one in results if not one.scored), None):
        raise NoScore(f"a training has no score: {lost.word or lost.outcome}")
    work = {size: work_of(texts[size], meta["vocab_size"], meta["sequence_length"]) for size in sizes}
    return [point(size, work[size], budget, made.all(own)) for (size, budget), own in jobs.items()]


def point(size: Size, work: float, budget: float, results: Sequence[Result]) -> Point:
    scores = [one.val_bpb for one in results]
    return Point(
        size=size,
        work=work,
        budget=budget,
        tokens=statistics.fmean(one.tokens for one in results),
        cpu_seconds=statistics.fmean(one.cpu_seconds for one in results),
        bpb=statistics.fmean(scores),
        spread=statistics.stdev(scores) if len(scores) > 1 else math.nan,
    )


def show(points: Sequence[Point], law: Law, cost: Cost, chosen: Size) -> list[str]:
    lines = [f"{'size':>6}{'N':>10}{'CPU-s':>8}{'tokens':>12}{'a CPU-s':>10}{'bpb':>9}{'± seeds':>9}{'law':>9}"]
    for one in points:
        lawful = law.bpb(one.work, one.tokens)
        lines.append(
            f"{one.size!s:>6}{one.work:10,.0f}{one.cpu_seconds:8.1f}{one.tokens:12,.0f}"
            f"{one.tokens / one.cpu_seconds:10,.0f}{one.bpb:9.4f}{one.spread:9.4f}{lawful:9.4f}"
        )
    lines += ["", str(law), f"CPU-seconds a token ~ N^{cost.k:.2f}", ""]
    works = {one.size: one.work for one in points}
    for budget in sorted({one.budget for one in points}):
        rivals = [one for one in points if one.budget == budget]
        best = min(rivals, key=lambda one: one.bpb)
        work = best_work(law, cost, budget, works.values())
        nearest = min(works, key=lambda size: abs(math.log(works[size] / work)))
        said = f"{budget:6g} CPU-s: best trained {best.size} ({best.bpb:.4f})"
        said += f"; by the laws N = {work:,.0f}, nearest {nearest}"
        own = next((one for one in rivals if one.size == chosen), None)
        if own is not None:
            said += f"; train.py's {chosen} is {own.bpb - best.bpb:.4f} above the best"
        lines.append(said)
    return lines


def plot(points: Sequence[Point], law: Law, path: Path) -> None:
    """bpb over tokens with the law, and over CPU-seconds, a line a size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, constrained_layout=True)
    for n, size in enumerate(dict.fromkeys(one.size for one in points)):
        own = [one for one in points if one.size == size]
        tokens, bpb = [one.tokens for one in own], [one.bpb for one in own]
        axes[0].plot(tokens, bpb, "o", color=f"C{n}", label=f"{size}, N = {own[0].work / 1e6:.2f} M")
        along = np.geomspace(min(tokens), max(tokens), 50)
        axes[0].plot(along, [law.bpb(own[0].work, D) for D in along], color=f"C{n}", linewidth=1, alpha=0.6)
        axes[1].plot([one.cpu_seconds for one in own], bpb, "o-", color=f"C{n}", label=str(size))
    for axis, label in zip(axes, ("tokens (lines: the law)", "CPU-seconds of training"), strict=True):
        axis.set_xscale("log")
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("val_bpb at the end of a run")
    for set_formatter in (axes[1].xaxis.set_major_formatter, axes[1].xaxis.set_minor_formatter):
        set_formatter("{x:.0f}")  # 20 rather than 2×10¹
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SIZES), help=f"layers x channels (default: {','.join(SIZES)})")
    parser.add_argument("--budgets", default=",".join(f"{one:g}" for one in BUDGETS), help="CPU-seconds of a run")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="(default: 2)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="trainings at once (default: 2)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where trainings lie, and stay")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture there")
    parser.add_argument("--short", action="store_true", help="two sizes, a few CPU-seconds; says nothing")
    given = parser.parse_args()
    if min(given.seeds, given.jobs) < 1:
        parser.error("at least one seed and one job")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = (given.keep or Path(tempfile.mkdtemp(prefix="scaling-"))).resolve()
    try:
        sizes = [Size.parse(one) for one in ("1x64,2x128" if given.short else given.sizes).split(",")]
        budgets = [float(one) for one in ("1,2,3" if given.short else given.budgets).split(",")]
        if note := trainings.snapshot(ROOT, folder / "files"):
            replay.say(note)
        train = (folder / "files" / "train.py").read_text(encoding="utf-8")
        file = TrainFile(train, "small")
        chosen = Size(int(file.value("SMALL_DEPTH") or 0), int(file.value("SMALL_WIDTH") or 0))
        trainer = trainings.LocalTrainer(folder / "files")
        with Trainings(trainings.Store(folder / "trainings"), trainer, given.jobs, replay.say) as made:
            points = measure(sizes, budgets, 1 if given.short else given.seeds, train, made)
        law, cost = fit_law(points), fit_cost(points)
    except (NoScore, trainings.Interrupted, OSError, ValueError) as error:
        print(f"scaling: {error}", file=sys.stderr)
        return 1 if isinstance(error, NoScore) else 2
    except KeyboardInterrupt:
        print("\nscaling: stopped; the same command goes on", file=sys.stderr)
        return 130
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n" + "\n".join([*show(points, law, cost, chosen), "", replay.machine()]))
    if given.json:
        said = {"points": [asdict(one) for one in points], "law": asdict(law), "cost": asdict(cost)}
        given.json.write_text(json.dumps(jsonable(said), indent=2) + "\n", encoding="utf-8")
    if given.plot:
        plot(points, law, given.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
