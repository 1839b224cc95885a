"""The recorded runs: that they are what cases.py says, and that their causes are found."""

from __future__ import annotations

import json

import pytest
from harness.diagnosis.causes import CAUSES, rank
from harness.diagnosis.features import measure

from benchmarks import diagnosis
from tests.diagnosis.cases import CASES, HEALTHY, RIVALS
from tests.diagnosis.load import CURVES, Recorded, load

RUNS = load()
NAMES = [cause.name for cause in CAUSES]


def test_every_case_has_its_curve() -> None:
    said = {(run.name, run.label, run.half, run.how, run.size) for run in RUNS}
    assert said == {(case.name, case.label, case.half, case.how, case.size) for case in CASES}
    assert max(path.stat().st_size for path in CURVES.iterdir()) < 25_000


def test_there_are_enough_and_the_halves_differ() -> None:
    for half in ("tune", "report"):
        assert sum(run.label != HEALTHY for run in RUNS if run.half == half) >= 20
    assert sum(run.label == HEALTHY for run in RUNS) >= 20
    tuned = {run.how for run in RUNS if run.half == "tune" and run.label != HEALTHY}
    assert not tuned & {run.how for run in RUNS if run.half == "report"}
    labels = {run.label for run in RUNS} - {HEALTHY}
    assert labels == set(NAMES) - {"out-of-memory"}  # whose evidence is the log's


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("half", ["tune", "report"])
def test_causes_are_found(half: str, beside: bool) -> None:
    tally = diagnosis.tally(diagnosis.judge(RUNS, beside=beside), half, beside=beside)
    assert tally.top_1 >= 0.8 * tally.broken
    assert tally.false_alarms <= 0.05 * tally.healthy


@pytest.mark.parametrize("run", [run for run in RUNS if run.label != HEALTHY], ids=lambda run: str(run.name))
def test_what_is_named_is_complete(run: Recorded) -> None:
    for named in rank(measure(run.rows, run.facts)):
        assert 0.5 <= named.finding.strength <= 1
        assert named.finding.evidence
        assert all(named.finding.evidence)


def test_the_benchmark_prints_its_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["diagnosis.py", "--json", "-"])
    assert diagnosis.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert {tally["half"] for tally in found["tallies"]} == {"tune", "report"}
    assert len(found["runs"]) == 2 * len(RUNS)
    assert set(RIVALS.values()) <= {run["name"] for run in found["runs"]}
