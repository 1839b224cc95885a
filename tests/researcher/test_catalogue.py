"""The catalogue: what a label means, and that a bad file is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import source
from researcher.catalogue import Catalogue, CatalogueError, Change, Fix, Idea, load
from researcher.server import CATALOGUE
from researcher.trainfile import Edit, TrainFile, number, written

LINES = (
    "RATE = 0.04  # Müller",
    "BETAS = (0.8, 0.95)",
    'SMALL_BATCH: int = 2**11  # "=" and 2**11',
    "FULL_BATCH = 2**18",
    "def f(): ...",
)
TRAIN = TrainFile("\n".join(LINES) + "\n", "small")


def idea(name: str = "x", settings: dict[str, tuple[str, ...]] | None = None, fix: Fix | None = None) -> Idea:
    return Idea(name, "what", "why", Change(settings or {}, () if settings else (Edit("f()", "g()"),)), fix)


def test_constants_are_found_where_they_stand():
    assert TRAIN.value("RATE") == "0.04"
    assert TRAIN.value("BETAS") == "(0.8, 0.95)"
    assert TRAIN.setting("SMALL_BATCH", "1024") == Edit(
        'SMALL_BATCH: int = 2**11  # "=" and 2**11', 'SMALL_BATCH: int = 1024  # "=" and 2**11'
    )
    assert TRAIN.full_name("BATCH") == "SMALL_BATCH"
    assert TRAIN.full_name("RATE") == "RATE"
    assert TRAIN.value("f") is None and TRAIN.value("NOWHERE") is None
    assert TrainFile("RATE = (").value("RATE") is None


NUMBERS = [("2**11", 2048), ("-0.5", -0.5), ("3 * 4 / 2", 6.0), ("'S'", None), ("True", None), ("", None)]


@pytest.mark.parametrize(("source", "value"), NUMBERS)
def test_numbers(source: str, value: float | None):
    assert number(source) == value


def test_written_numbers_stay_short():
    assert (written(0.1 * 3, False), written(1535.9, True)) == ("0.3", "1536")


def test_a_factor_is_worked_out_against_what_stands_there():
    batch = idea(settings={"BATCH": ("*0.5", "*2")})
    assert batch.labels(TRAIN) == ["x=1024", "x=4096"]
    proposal = Catalogue([batch]).propose("x=1024", TRAIN)
    assert proposal is not None
    assert proposal.summary == "[x=1024] what (SMALL_BATCH 2**11 -> 1024)"
    assert [edit.replace for edit in proposal.edits] == ['SMALL_BATCH: int = 1024  # "=" and 2**11']


def test_constants_change_together():
    catalogue = Catalogue([idea(settings={"RATE": ("0.1", "0.2"), "BATCH": ("*2", "*4")})])
    proposal = catalogue.propose("x=0.2", TRAIN)
    assert proposal is not None and proposal.summary.endswith("(RATE 0.04 -> 0.2, SMALL_BATCH 2**11 -> 8192)")
    assert catalogue.propose("x=0.3", TRAIN) is None


def test_labels_join_and_perturb():
    catalogue = Catalogue([idea("x"), idea("y", {"RATE": ("0.1",)})])
    both = catalogue.propose("x + y=0.1", TRAIN)
    assert both is not None and len(both.edits) == 2
    assert both.summary == "[x + y=0.1] what, and what (RATE 0.04 -> 0.1)"
    step = catalogue.propose("perturb:RATE=0.05", TRAIN)
    assert step is not None and "RATE 0.04 -> 0.05" in step.summary


@pytest.mark.parametrize("label", ["z", "x=1", "y=0.04", "y=2**2**-9", "y=spam", "perturb:NOWHERE=1", "x + x", ""])
def test_what_does_not_apply_or_changes_nothing_is_no_proposal(label: str):
    catalogue = Catalogue([idea("x"), idea("y", {"RATE": ("0.04",)})])
    assert catalogue.propose(label, TRAIN) is None or label == "y=2**2**-9"


def test_a_fix_applies_once():
    catalogue = Catalogue([idea("x", {"RATE": ("0.1",)}, Fix("lower", Change({"RATE": ("0.01",)}, ())))])
    mend = catalogue.mend("x=0.1", TRAIN)
    assert mend is not None and mend.summary == "[x=0.1] fix: lower"
    mended = TRAIN.edited(mend.edits[0])
    assert mended is not None and catalogue.mend("x=0.1", mended) is None
    assert catalogue.mend("x=0.1 + y", TRAIN) is None and catalogue.mend("y", TRAIN) is None


GOOD = {"id": "a", "idea": "what", "reason": "why", "set": {"A": 1}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "not a list of ideas"),
        ('["a"]', "idea 1"),
        (json.dumps([{**GOOD, "id": "A b"}]), "lower-case"),
        (json.dumps([{**GOOD, "edits": []}]), 'either "set" or "edits"'),
        (json.dumps([{"id": "a", "idea": "", "set": {}}]), "'reason' is missing"),
        (json.dumps([{**GOOD, "set": {"A": [1, 2], "B": 1}}]), "equally many"),
        (json.dumps([{**GOOD, "set": {"A": "1 +"}}]), "invalid syntax"),
        (json.dumps([{**GOOD, "set": {"A": "[1]"}}]), "mark labels"),
        (json.dumps([GOOD, GOOD]), "twice"),
    ],
)
def test_a_bad_catalogue_is_named(tmp_path: Path, text: str, says: str):
    file = tmp_path / "ideas.json"
    file.write_text(text)
    with pytest.raises(CatalogueError, match=says) as refused:
        load(file)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_catalogue_is_named(tmp_path: Path):
    with pytest.raises(CatalogueError, match="cannot be read"):
        load(tmp_path / "nowhere.json")


def test_no_idea_is_refused_for_what_it_contains():
    text = (Path(__file__).parents[2] / "train.py").read_text(encoding="utf-8")
    start, catalogue = TrainFile(text, "small"), load(CATALOGUE)
    for idea in catalogue.ideas.values():
        label = idea.labels(start)[0]
        proposal, train = catalogue.propose(label, start), start
        while proposal is not None:
            for edit in proposal.edits:
                train = train.edited(edit) or train
            source.check(train.text.encode(), text.encode())
            proposal = catalogue.mend(label, train)
