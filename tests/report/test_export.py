"""tools/export.py: what other programs' pages get to show. The packages are extras: where they are not installed,
stand-ins write down what they were given."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from harness import export
from harness.export import Exported
from harness.report import book

from tests.harness.lab import Lab


@pytest.fixture
def runs(made: Path) -> list[Exported]:
    tag = next((made / "runs").iterdir()).name
    return list(export.exported(book.read(made, tag)))


def test_every_run_that_ended_is_there_with_its_curve(made: Path, runs: list[Exported]) -> None:
    tag = next((made / "runs").iterdir()).name
    found = book.read(made, tag)
    assert [run.name for run in runs] == [run.path.name for run in found.runs if run.record]
    for run in runs:
        record = json.loads((found.folder / run.name / "record.json").read_text())
        *_, (_, _, last) = run.steps()
        assert last.get("val_bpb") == record["val_bpb"]
        assert len(list(run.steps())) == max(1, len(run.points))
    assert {run.facts["status"] for run in runs} >= {"keep", "discard", "crash"}


def test_only_numbers_are_scores_and_the_score_comes_once(runs: list[Exported]) -> None:
    for run in runs:
        steps = list(run.steps())
        assert all(isinstance(value, (int, float)) for _, _, numbers in steps for value in numbers.values())
        assert sum("val_bpb" in numbers for _, _, numbers in steps) == ("val_bpb" in run.scores)


class Database:
    """Stands for trackio: runs by name, each a list of (numbers, step)."""

    def __init__(self) -> None:
        self.projects: dict[str, dict[str, list[Any]]] = {}

    def module(self) -> ModuleType:
        module = ModuleType("trackio")
        module.Api = lambda: self  # type: ignore[attr-defined]
        module.init = self.init  # type: ignore[attr-defined]
        return module

    def runs(self, project: str) -> list[Any]:
        if project not in self.projects:
            raise ValueError(f"Project '{project}' does not exist")
        own = self.projects[project]
        return [type("Run", (), {"name": name, "delete": lambda _, name=name: own.pop(name)})() for name in own]

    def init(self, project: str, name: str, config: dict[str, Any], **_: Any) -> Any:
        own = self.projects.setdefault(project, {})
        assert name not in own, "a run is written once, and not beside its last export"
        logged = own[name] = [config]
        log = lambda _, numbers, step: logged.append((numbers, step))  # noqa: E731
        return type("Run", (), {"log": log, "finish": lambda _: None})()


def test_an_export_takes_the_place_of_the_last(runs: list[Exported], monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database()
    monkeypatch.setitem(sys.modules, "trackio", database.module())
    for _ in range(2):
        export.to_trackio(runs, "autoresearch-t1")
    own = database.projects["autoresearch-t1"]
    assert list(own) == [run.name for run in runs]
    assert own[runs[0].name] == [runs[0].facts, *((numbers, step) for step, _, numbers in runs[0].steps())]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="an extra")
def test_tensorboard_reads_it(runs: list[Exported], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        export.to_tensorboard(runs, str(tmp_path / "boards"))
    assert sorted(path.name for path in (tmp_path / "boards").iterdir()) == [run.name for run in runs]
    events = EventAccumulator(str(tmp_path / "boards" / runs[0].name)).Reload()
    assert events.Scalars("val_bpb")[-1].value == pytest.approx(runs[0].scores["val_bpb"])
    assert len(events.Scalars("loss")) == len(runs[0].points)


@pytest.mark.parametrize("package", ["tensorboard", "trackio"])
def test_a_package_that_is_missing_is_named_with_its_remedy(lab: Lab, package: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip("it is installed")
    answer = lab.call("export.py", package)
    assert answer.code == 2
    assert f"the package {package} is not installed" in answer.err and f"--extra {package}" in answer.err


def test_a_notebook_reads_the_table(lab: Lab) -> None:
    """The five columns that karpathy/autoresearch's analysis.ipynb asks for, in its way."""
    header, *rows = (line.split("\t") for line in (lab.root / "results.tsv").read_text().splitlines())
    assert header == ["commit", "val_bpb", "memory_gb", "status", "description"]
    for row in (dict(zip(header, cells, strict=True)) for cells in rows):
        assert row["status"] in ("keep", "discard", "crash")
        assert float(row["val_bpb"]) >= 0 and float(row["memory_gb"]) >= 0
    assert rows
