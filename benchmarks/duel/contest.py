"""The comparison: the other's settings are searched first, then its best and ours meet on every seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.duel.trials import Job, Result, Trials

POINTS = 12  # of a curve
BEST = 2  # settings of a search that are run on every seed
SEARCH_SEED = 42


@dataclass(frozen=True)
class Setting:
    """What a trainer is told in place of its own constants, and a name for the table. Empty: its own."""

    name: str
    told: Mapping[str, object] = field(default_factory=dict)


def sized(depth: int, width: int, head: int, batch: int, T: int, windows: str = "L", rate: float = 1.0) -> Setting:
    """The reference's constants for a model of `depth` layers and `width` channels, `batch` tokens a step; its
    learning rates times `rate`."""
    name = f"depth {depth}, width {width}, heads of {head}, {batch:,} tokens a step, windows {windows}"
    told: dict[str, object] = {
        "DEPTH": depth, "ASPECT_RATIO": width // depth, "HEAD_DIM": head, "TOTAL_BATCH_SIZE": batch,
        "DEVICE_BATCH_SIZE": batch // T, "WINDOW_PATTERN": windows,
    }  # fmt: skip
    if rate != 1.0:
        told["factors"] = {f"{name}_LR": rate for name in ("EMBEDDING", "UNEMBEDDING", "MATRIX")}
        name += f", learning rates × {rate:g}"
    return Setting(name, told)


def small_settings(T: int) -> list[Setting]:
    """For a CPU: what its README advises for small machines (depth 4, 2**14 tokens, windows L), and smaller."""
    return [
        sized(4, 256, 128, 2**14, T),
        sized(4, 256, 128, 2**12, T),
        sized(4, 256, 128, 2**11, T),
        sized(3, 192, 64, 2**11, T),
        sized(2, 256, 128, 2**11, T),
        sized(2, 128, 128, 2**12, T),
        sized(2, 128, 128, 2**11, T),
        sized(2, 128, 64, 2**11, T),
        sized(2, 128, 128, 2**10, T),
        sized(2, 64, 64, 2**12, T),
        sized(2, 64, 64, 2**11, T),
        sized(1, 128, 128, 2**12, T),
    ]


def full_settings() -> list[Setting]:
    """For a GPU: as it is, and nearby, with what its own users found to pay."""
    stock = Setting("as it is")

    def near(name: str, **told: object) -> Setting:
        return Setting(name, told)

    return [
        stock,
        near("2**18 tokens a step", TOTAL_BATCH_SIZE=2**18),
        near("2**17 tokens a step", TOTAL_BATCH_SIZE=2**17, DEVICE_BATCH_SIZE=64),
        near("depth 9, 2**18 tokens a step", DEPTH=9, ASPECT_RATIO=57, TOTAL_BATCH_SIZE=2**18),
        near("depth 6, 2**18 tokens a step", DEPTH=6, TOTAL_BATCH_SIZE=2**18),
        near("depth 10, 2**18 tokens a step", DEPTH=10, TOTAL_BATCH_SIZE=2**18, DEVICE_BATCH_SIZE=64),
    ]


def general_settings() -> list[Setting]:
    """For a general trainer with AdamW: the sizes at which the others are best, and a few learning rates."""

    def sized(depth: int, width: int, rows: int, rate: float) -> Setting:
        name = f"depth {depth}, width {width}, {rows} rows a step, learning rate {rate:g}"
        return Setting(name, {"depth": depth, "width": width, "rows": rows, "rate": rate})

    return [
        *(sized(2, 128, 8, rate) for rate in (2e-3, 4e-3, 8e-3)),
        *(sized(2, 128, 4, rate) for rate in (2e-3, 4e-3)),
        *(sized(4, 256, 8, rate) for rate in (1e-3, 2e-3)),
        *(sized(2, 64, 8, rate) for rate in (4e-3, 8e-3, 16e-3)),
    ]


def rates(setting: Setting) -> list[Setting]:
    """The same size with its learning rates lower and higher: small batches may want others."""
    names = ("EMBEDDING_LR", "UNEMBEDDING_LR", "MATRIX_LR")
    return [
        Setting(f"{setting.name}, learning rates × {by:g}", {**setting.told, "factors": dict.fromkeys(names, by)})
        for by in (0.5, 2.0)
    ]


@dataclass(frozen=True)
class Tried:
    setting: Setting
    results: tuple[Result, ...]  # one a seed

    @property
    def scores(self) -> list[float]:
        return [result.bpb for result in self.results]

    @property
    def bpb(self) -> float:
        """The mean over its seeds; infinite where one of them gave no score."""
        mean = statistics.fmean(self.scores)
        return mean if math.isfinite(mean) else math.inf

    @property
    def error(self) -> float:
        """Standard error of it; nan of one run."""
        scores = self.scores
        return statistics.stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else math.nan

    def mean(self, name: str) -> float:
        """The mean of a figure of its results."""
        return statistics.fmean(getattr(result, name) for result in self.results)


@dataclass(frozen=True)
class Entrant:
    """A trainer with the settings that it may choose from. `job`: for a seed, but for the setting."""

    name: str
    job: Job
    settings: Sequence[Setting]
    refine: bool = False  # whether the best size is tried at other learning rates
    own_evaluation: bool = True  # whether its own evaluation is run and timed as well, when it meets the others

    def at(self, setting: Setting, seed: int, points: int) -> Job:
        own = self.own_evaluation and points > 1
        return replace(self.job, setting=setting.told, seed=seed, points=points, own_evaluation=own)


@dataclass(frozen=True)
class Searched:
    entrant: str
    tried: tuple[Tried, ...]  # each of one seed, best first

    @property
    def best(self) -> list[Setting]:
        return [one.setting for one in self.tried if math.isfinite(one.bpb)][:BEST]


def search(entrant: Entrant, trials: Trials) -> Searched:
    """One seed of each setting."""

    def once(setting: Setting) -> Tried:
        job = entrant.at(setting, SEARCH_SEED, points=1)
        return Tried(setting, (trials(job, f"search {entrant.name}, {setting.name}"),))

    tried = [once(setting) for setting in entrant.settings]
    if entrant.refine and math.isfinite(min(tried, key=lambda one: one.bpb).bpb):
        tried += [once(setting) for setting in rates(min(tried, key=lambda one: one.bpb).setting)]
    return Searched(entrant.name, tuple(sorted(tried, key=lambda one: one.bpb)))


@dataclass(frozen=True)
class Row:
    """An entrant at a setting, on every seed."""

    entrant: str
    seconds: float
    tried: Tried


def meet(pairs: Sequence[tuple[Entrant, Setting]], seeds: int, trials: Trials) -> list[Row]:
    """Every pair on every seed, in turn: what the machine does to one, it does to the others."""
    results: list[list[Result]] = [[] for _ in pairs]
    for seed in range(1, seeds + 1):
        for (entrant, setting), own in zip(pairs, results, strict=True):
            label = f"{entrant.name}, {setting.name}, {entrant.job.seconds:g} s"
            own.append(trials(entrant.at(setting, seed, POINTS), label))
    return [
        Row(entrant.name, entrant.job.seconds, Tried(setting, tuple(own)))
        for (entrant, setting), own in zip(pairs, results, strict=True)
    ]


def best_row(rows: Sequence[Row], entrant: str, seconds: float) -> Row | None:
    """Its best setting at these seconds; None where it has no score."""
    own = [row for row in rows if row.entrant == entrant and row.seconds == seconds]
    best = min(own, key=lambda row: row.tried.bpb, default=None)
    return best if best is not None and math.isfinite(best.tried.bpb) else None


def reached(tried: Tried, bpb: float, level: float) -> float:
    """Seconds after which its mean curve, whose end is moved to `level`, is at `bpb` or below; infinite if never.

    A curve is of a part of the text, so that its end differs a little from the score of the whole."""
    curves = [result.curve for result in tried.results if result.curve]
    if not curves:
        return math.inf
    for points in zip(*curves, strict=False):
        shift = level - statistics.fmean(curve[-1][2] for curve in curves)
        if statistics.fmean(point[2] for point in points) + shift <= bpb:
            return statistics.fmean(point[0] for point in points)
    return math.inf
