"""The study of levers: every lever means something for today's train.py, and a row says what was measured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import recipe
from benchmarks.bench import edits
from benchmarks.bench.trainings import Job, Result, Store, Trainings

TEXT = (recipe.ROOT / "train.py").read_text(encoding="utf-8")
IDEAS = edits.load(recipe.LEVERS)


class Made:
    """A trainer whose score and cost are known: seeds differ by more than the lever does."""

    def __call__(self, job: Job) -> Result:
        edited = job.text != TEXT
        if "WIDTH = 96" in job.text:
            return Result("crashed", math.nan, (), 0, 0.0, 0.0, 0.0, 1.0, "no")
        score = 2.0 + job.seed % 7 - (0.01 + 0.002 * (job.seed % 2) if edited else 0.0)
        return Result("finished", score, (), 1000, 1.0, 0.5 if edited else 1.0, 1.0, 1.0)

    def close(self) -> None: ...


@pytest.mark.parametrize("label", recipe.labels(IDEAS, TEXT, []))
def test_every_lever_changes_train_py(label: str) -> None:
    text = IDEAS.apply(edits.Idea(label, False), TEXT)
    assert text is not None and text != TEXT
    compile(text, "train.py", "exec")


def test_gains_are_taken_seed_by_seed(tmp_path: Path) -> None:
    with Trainings(Store(tmp_path), Made(), 1, lambda _: None) as made:
        baseline, rows = recipe.measure(IDEAS, TEXT, ["narrow-mlp", "width=96"], "10tok", 3, made)
    assert [row.lever for row in rows] == ["narrow-mlp", "width=96"]
    assert 0.01 <= rows[0].gain <= 0.012 and rows[0].cost == pytest.approx(0.5)
    assert all(0.0099 < gain < 0.0121 for gain in rows[0].gains)
    assert rows[1].outcome == "crashed" and math.isnan(rows[1].gain)
    assert any("crashed" in line for line in recipe.show(baseline, rows, "10tok"))


def test_an_unknown_lever_is_named_beside_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no lever is called nothing.*pair-rows"):
        recipe.labels(IDEAS, TEXT, ["nothing"])
