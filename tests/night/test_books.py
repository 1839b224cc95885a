"""The books: a campaign that is in order balances, and each thing that is doctored is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.simulation import books
from tests.harness.lab import Lab, score_for, unsure

TAG = "t1"


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A baseline, a keep that was confirmed, a discard, a crash that was fixed, a crash that was not."""
    lab = Lab.build(tmp_path_factory.mktemp("books") / "lab")
    lab.run("--baseline")
    lab.log("baseline")
    lab.try_idea("exp: better by a little", SCORE=score_for(unsure))
    assert "confirm" in lab.log("better by a little").out
    while lab.status()["next"].endswith("--confirm"):
        lab.run("--confirm")
    lab.log("better by a little")
    if lab.state == "logged":
        lab.revert()
    lab.try_idea("exp: better", SCORE=1.3)
    assert "verdict: keep" in lab.log("better").out
    lab.try_idea("exp: worse", SCORE=1.6)
    lab.log("worse")
    lab.revert()
    lab.try_idea("exp: broken", CRASH="boom")
    lab.edit(CRASH="")
    lab.edit(SCORE=1.31)
    lab.run("--fix", "-m", "fix: mended")
    lab.log("mended")
    lab.revert()
    lab.try_idea("exp: broken for good", CRASH="boom")
    lab.log("broken")
    lab.revert()
    return lab


@pytest.fixture
def lab(campaign: Lab, tmp_path: Path) -> Lab:
    return campaign.copy(tmp_path / "lab")


def check(lab: Lab) -> books.Books:
    return books.check(lab.root, TAG)


def rewrite(lab: Lab, change: Callable[[list[str]], list[str]]) -> None:
    """results.tsv, line by line."""
    path = (lab.root / "results.tsv").resolve()
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


def test_a_campaign_in_order_balances(lab: Lab) -> None:
    found = check(lab)
    assert found.imbalances == []
    assert (found.experiments, found.logged_once, found.unknown_commits) == (5, 5, 0)
    assert found.statuses["crash"] == 1 and found.statuses.total() == 5
    assert len(found.decided_at) == len(found.idle_seconds) == 5
    assert all(seconds >= 0 for seconds in found.idle_seconds)


def test_a_missing_row(lab: Lab) -> None:
    rewrite(lab, lambda lines: lines[:-1])
    found = check(lab)
    assert found.imbalances == [f"experiment {_last(lab)}: 0 rows in results.tsv"]
    assert (found.experiments, found.logged_once) == (5, 4)


def test_a_doubled_row(lab: Lab) -> None:
    rewrite(lab, lambda lines: [*lines, lines[2]])
    found = check(lab)
    assert found.logged_once == 4 and "2 rows in results.tsv" in found.imbalances[0]


def test_a_row_with_another_score(lab: Lab) -> None:
    rewrite(lab, lambda lines: [line.replace("1.300000", "1.200000") for line in lines])
    assert "results.tsv says keep 1.200000" in check(lab).imbalances[0]


def test_a_row_that_nobody_knows(lab: Lab) -> None:
    rewrite(lab, lambda lines: [*lines, "1234567\t1.000000\t0.1\tkeep\tinvented"])
    found = check(lab)
    assert found.unknown_commits == 1 and "1234567" in found.imbalances[0]


def test_no_ledger_at_all(lab: Lab) -> None:
    (lab.root / "results.tsv").unlink()
    assert any("missing" in line for line in check(lab).imbalances)


def test_a_foreign_commit_on_the_branch(lab: Lab) -> None:
    (lab.root / "notes.md").write_text("mine\n")
    commit = lab.commit("not an experiment", "notes.md")
    found = check(lab)
    assert found.unknown_commits == 1
    assert found.imbalances == [f"commit {commit[:7]} on the branch belongs to no run"]


def test_a_person_may_commit_program_md(lab: Lab) -> None:
    (lab.root / "program.md").write_text("mine\n")
    lab.commit("another goal", "program.md")
    assert check(lab).imbalances == []


def test_a_lost_ref(lab: Lab) -> None:
    lab.git("update-ref", "-d", f"refs/autoresearch/{TAG}/{_last(lab)}")
    found = check(lab)
    assert found.imbalances == [f"experiment {_last(lab)}: its ref {_last(lab)} is lost"]
    assert found.logged_once == 4


def test_a_ref_without_a_run_is_counted(lab: Lab) -> None:
    lab.git("update-ref", f"refs/autoresearch/{TAG}/0099", "HEAD")
    lab.git("update-ref", f"refs/autoresearch/{TAG}/hand/abc", "HEAD")
    found = check(lab)
    assert (found.refs_without_run, found.commits_by_hand, found.imbalances) == (1, 1, [])


def test_a_keep_that_is_not_on_the_branch(lab: Lab) -> None:
    lab.git("reset", "-q", "--soft", "HEAD~1")
    assert any("is not on the branch" in line for line in check(lab).imbalances)


def test_an_experiment_decided_twice(lab: Lab) -> None:
    fixed = next(e for e in books.group(books.read_runs(lab.root / "runs" / TAG)) if len(e.runs) > 1)
    last, first = fixed.runs[-1].folder, fixed.runs[0].folder
    shutil.copy(last / "decision.json", first)
    assert any("decided 2 times" in line for line in check(lab).imbalances)


def test_a_decision_without_a_measurement(lab: Lab) -> None:
    (lab.path(int(_last(lab))) / "record.json").unlink()
    assert "without a record" in check(lab).imbalances[0]


def test_an_experiment_that_was_forgotten(lab: Lab) -> None:
    """Two lines for its row, which is nobody's now, and for itself."""
    worse = next(e for e in books.group(books.read_runs(lab.root / "runs" / TAG)) if _status(e) == "discard")
    (worse.runs[-1].folder / "decision.json").unlink()
    found = check(lab)
    assert any("never decided" in line for line in found.imbalances) and found.unknown_commits == 1


def test_a_commit_that_was_run_as_two_experiments(lab: Lab) -> None:
    runs = books.read_runs(lab.root / "runs" / TAG)
    again = lab.root / "runs" / TAG / "0098-again"
    shutil.copytree(runs[-1].folder, again)
    request = {**runs[-1].request, "number": 98, "experiment": 98}
    (again / "run.json").write_text(json.dumps(request))
    lab.git("update-ref", f"refs/autoresearch/{TAG}/0098", runs[-1].commit)
    assert any("was run as 2 experiments" in line for line in check(lab).imbalances)


def _last(lab: Lab) -> str:
    """The number of the last run, an experiment of its own."""
    return f"{books.read_runs(lab.root / 'runs' / TAG)[-1].number:04d}"


def _status(experiment: books.Experiment) -> str:
    return str(experiment.decisions[0]["status"]) if experiment.decisions else ""
