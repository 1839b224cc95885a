"""A made-up campaign is one that the bench takes for its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Refused, integrity, ledger
from harness.situation import look

from benchmarks import made_up
from tests.report.conftest import checkout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = checkout(tmp_path_factory.mktemp("made-up") / "project")
    made_up.make(root, 40, seed=11)
    return root


def test_the_bench_goes_on_with_it(root: Path) -> None:
    now = look(root)
    assert now.state.name == "clean" and now.notes == () and not now.edited
    assert now.campaign is not None and now.incumbent is not None
    decided = [one.decision.status for one in now.experiments if one.decision]
    assert len(decided) == 41
    assert set(decided) == {"keep", "discard", "crash"}
    assert len({one.commit for one in now.experiments}) == 41, "the same edit again is another commit"
    assert any(len(one.runs) > 1 for one in now.experiments[1:]), "some were confirmed"
    assert now.learned is not None and now.learned.raced > 0
    rows = ledger.parse((root / "results.tsv").read_text())
    assert [row.status for row in rows] == decided


def test_its_records_agree(root: Path) -> None:
    now = look(root)
    assert now.campaign is not None
    assert integrity.disagreeing(now.branch.git, now.campaign, now.runs) == {}


def test_the_same_seed_makes_the_same(root: Path, tmp_path: Path) -> None:
    other = checkout(tmp_path / "project")
    made_up.make(other, 40, seed=11)
    names = [sorted(path.name[:4] for path in (one / "runs/made-up").glob("[0-9]*")) for one in (root, other)]
    assert names[0] == names[1]
    assert [run.record for run in look(other).runs] != []
    scores = [[run.record.val_bpb for run in look(one).runs if run.record] for one in (root, other)]
    assert scores[0] == scores[1]


def test_one_checkout_one_campaign(root: Path) -> None:
    with pytest.raises(Refused, match="name another folder"):
        made_up.make(root, 1)
