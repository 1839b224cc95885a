"""A campaign's runs for other programs' pages: TensorBoard's event files, trackio's local database.

What is written can be made again from runs/ at any time, so each export takes the place of the last.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import curve
from .curve import Point
from .record import Record, Run
from .report.book import Book

Number = int | float


@dataclass(frozen=True)
class Exported:
    """One run. `facts`: what it was; `scores`: what came of it, numbers alone."""

    name: str
    began: float  # unix time
    facts: dict[str, str | Number]
    scores: dict[str, Number]
    points: list[Point]

    def steps(self) -> Iterable[tuple[int, float, dict[str, Number]]]:
        """Of each logged step its number, its time (unix) and its numbers; the scores come with the last."""
        for n, point in enumerate(self.points):
            numbers: dict[str, Number] = {"loss": point.loss, "progress": point.progress, "tokens": point.tokens}
            if point.lr is not None:
                numbers["lr"] = point.lr
            if point.seconds > 0:
                numbers["tokens_per_second"] = point.tokens / point.seconds
            last = n == len(self.points) - 1
            yield point.step, self.began + point.seconds, numbers | (self.scores if last else {})
        if not self.points and self.scores:
            yield 0, self.began, self.scores


def exported(book: Book) -> Iterable[Exported]:
    """Every run that ended, oldest first."""
    for one in book.experiments:
        for run in one.runs:
            if run.record is not None:
                yield _exported(run, run.record, one.decision.status if one.decision else "")


def _exported(run: Run, record: Record, status: str) -> Exported:
    request = run.request
    scores: dict[str, Number] = {
        "peak_memory_mb": record.peak_memory_mb,
        "mfu_percent": record.mfu_percent,
        "training_seconds": record.seconds,
        "total_seconds": record.total_seconds,
    }
    if record.val_bpb is not None:
        scores["val_bpb"] = record.val_bpb
    facts: dict[str, str | Number] = {
        "experiment": request.experiment,
        "idea": request.message.split("\n", 1)[0],
        "status": status,
        "outcome": record.outcome,
        "kind": request.kind,
        "commit": request.commit,
        "seed": request.seed,
        "num_params": record.num_params,
        "depth": record.depth if record.depth is not None else "",
        "sandbox": record.sandbox,
    }
    return Exported(run.path.name, request.created, facts, scores, curve.read(run.path / "curve.jsonl"))


def to_tensorboard(runs: Iterable[Exported], place: str) -> None:
    """Event files in the folder `place`, one folder a run."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    shutil.rmtree(place, ignore_errors=True)
    for run in runs:
        writer = EventFileWriter(str(Path(place) / run.name))
        hparams = hparams_pb(run.facts, trial_id=run.name, start_time_secs=run.began)
        writer.add_event(Event(wall_time=run.began, summary=hparams))
        for step, at, numbers in run.steps():
            values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
            writer.add_event(Event(wall_time=at, step=step, summary=Summary(value=values)))
        writer.close()


def to_trackio(runs: Iterable[Exported], place: str) -> None:
    """The project `place` in trackio's database on this machine."""
    import trackio

    try:
        known = {run.name: run for run in trackio.Api().runs(place)}
    except ValueError:  # there is no such project yet
        known = {}
    for run in runs:
        if run.name in known:
            known[run.name].delete()
        with contextlib.redirect_stdout(io.StringIO()):  # it has several lines to say about each
            own = trackio.init(
                place, run.name, config=run.facts, embed=False, auto_log_gpu=False, auto_log_cpu=False
            )
            for step, _, numbers in run.steps():
                own.log(numbers, step)
            own.finish()


@dataclass(frozen=True)
class Target:
    """Where an export may go. `extra`: of pyproject.toml, and the package; `place`: what it is called there, by
    the campaign's folder and tag; `look`: the command that shows it."""

    extra: str
    write: Callable[[Iterable[Exported], str], None]
    place: str
    look: str


TARGETS = {
    "tensorboard": Target(
        "tensorboard", to_tensorboard, "{folder}/tensorboard", ".venv/bin/tensorboard --logdir {place}"
    ),
    "trackio": Target(
        "trackio", to_trackio, "autoresearch-{tag}", ".venv/bin/trackio show --project {place}"
    ),
}
