"""What the report shows, from records to facts."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from harness import campaign as campaigns
from harness import record
from harness.branch import Git
from harness.curve import Point
from harness.report import book, curves, diffs, facts, health
from harness.report.facts import Facts
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import made_up
from tests.report.conftest import EXPERIMENTS, checkout


def gathered(root: Path, private: bool = False) -> Facts:
    return facts.gather(book.read(root, made_up.TAG), Git(root), private)


@pytest.fixture(scope="module")
def told(made: Path) -> Facts:
    return gathered(made)


# ---------------------------------------------------------------------------------------------------
# A whole campaign


def test_every_experiment_is_there(told: Facts) -> None:
    assert len(told.trials) == EXPERIMENTS + 1
    assert sum(told.counts.values()) == EXPERIMENTS
    assert told.counts["keep"] > 1 and told.counts["crash"] > 0
    assert [one.number for one in told.trials] == sorted(one.number for one in told.trials)
    assert told.trials[0].baseline and len(told.trials[0].runs) == 3
    assert not told.damaged


def test_the_staircase_is_that_of_the_keeps(told: Facts) -> None:
    kept = [(one.number, one.val_bpb) for one in told.trials if one.state == "keep"]
    assert [(step.number, step.val_bpb) for step in told.steps] == kept
    assert told.best is not None and told.best.number == kept[-1][0]
    low, high = told.span
    assert all(low < step.val_bpb < high for step in told.steps)


def test_what_is_believed_of_the_incumbent_follows_it(told: Facts) -> None:
    assert [level.number for level in told.levels] == [one.number for one in told.trials]
    assert all(level.sd > 0 for level in told.levels)
    level = told.levels[-1]
    assert told.best is not None and told.noise is not None
    assert abs(level.mean - told.best.mean) < 5 * told.noise.sigma


def test_each_diff_is_that_of_its_experiment(told: Facts) -> None:
    for one in told.trials[1:]:
        name, _, rest = one.description.partition(" ")
        before, _, after = rest.partition(" to ")
        after = after.split(" ")[0]
        assert f"\n-{name} = {before}" in one.diff and f"\n+{name} = {after}" in one.diff
        of_others = name.startswith("FULL_")  # the campaign is of the other profile
        known = {"MATRIX_LR": "learning rate", "HEAD_LR": "learning rate", "SMALL_WIDTH": "width and depth"}
        assert one.theme == ("other" if of_others else known[name])
    assert not told.trials[0].diff


def test_themes_hold_every_experiment_once(told: Facts) -> None:
    assert sum(theme.tried for theme in told.themes) == EXPERIMENTS
    dead = [number for theme in told.themes for number in theme.dead]
    assert sorted(dead) == [one.number for one in told.trials if one.state in ("discard", "crash")]
    assert [theme.tried for theme in told.themes] == sorted((t.tried for t in told.themes), reverse=True)


def test_layers_of_the_incumbent(told: Facts, campaign: Path) -> None:
    held = {layer.name: layer.held for layer in told.layers}
    assert [held[name] for name in ("guard", "box", "clock", "scorer", "records")] == [True] * 5
    assert held["held-out"] is None
    assert told.best is not None
    path = next((campaign / "runs" / made_up.TAG).glob(f"{told.best.number:04d}-*"))
    (path / "score.json").write_text('{"val_bpb": 1.0}')
    doctored = {layer.name: layer for layer in gathered(campaign).layers}
    assert doctored["records"].held is False and "val_bpb" in doctored["records"].told


def test_what_verify_found_is_for_the_person_alone(campaign: Path) -> None:
    made_up.verify(campaign)
    assert not gathered(campaign).verified
    private = gathered(campaign, private=True)
    assert any(line.startswith("held-out text: ") for line in private.verified)
    assert {layer.name: layer.held for layer in private.layers}["held-out"] is True


def test_health_of_a_sound_campaign(told: Facts) -> None:
    found = {one.name: one for one in told.health}
    assert found["verified results"].value == "100.0%" and found["verified results"].met is True
    assert found["errors of the bench"].value == "0.0%" and found["errors of the bench"].met is True
    assert found["boxed runs"].met is True
    assert found["pace"].target == "36 an hour", "12 an hour at 300 s a run, and this budget is a third of it"


def test_a_record_from_elsewhere_is_not_verified(campaign: Path) -> None:
    path = sorted((campaign / "runs" / made_up.TAG).glob("[0-9]*-*"))[-1]
    request = record.request(path)
    assert request is not None
    record.write(path, replace(request, pin_sha256="another"))
    found = {one.name: one for one in gathered(campaign).health}
    assert found["verified results"].value == f"{(EXPERIMENTS - 1) / EXPERIMENTS:.1%}"
    assert found["verified results"].met is False


def test_pauses_are_not_idle_time(made: Path) -> None:
    runs = campaigns.runs(made, made_up.TAG)
    before = health.time_of(runs)
    half = len(runs) // 2
    later = [
        replace(run, request=replace(run.request, created=run.request.created + 86400.0 * (at >= half)))
        for at, run in enumerate(runs)
    ]
    after = health.time_of(later)
    assert after.pauses == before.pauses + 1
    assert after.idle <= before.idle and after.busy == before.busy


# ---------------------------------------------------------------------------------------------------
# What is missing, and what is damaged


def test_no_campaign(tmp_path: Path) -> None:
    root = checkout(tmp_path / "project")
    told = facts.gather(book.read(root, "none"), Git(root), True)
    assert told.trials == () and told.best is None and told.layers == ()


def test_a_baseline_alone(tmp_path: Path) -> None:
    root = checkout(tmp_path / "project")
    made_up.make(root, 0)
    told = gathered(root)
    assert len(told.trials) == 1 and told.best is not None and told.best.believed is None
    assert sum(told.counts.values()) == 0


@pytest.mark.parametrize("name", ["run.json", "record.json", "decision.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"val_bpb": "low"}'])
def test_a_damaged_file_is_named_and_the_rest_is_shown(campaign: Path, name: str, text: str) -> None:
    decided = [path.parent for path in sorted((campaign / "runs" / made_up.TAG).glob("*/decision.json"))]
    path = decided[7]
    (path / name).write_text(text)
    told = gathered(campaign)
    assert told.damaged == (f"{path.name}/{name}",)
    assert len(told.trials) >= EXPERIMENTS


def test_a_value_of_another_type_is_damage(campaign: Path) -> None:
    path = sorted((campaign / "runs" / made_up.TAG).glob("*/record.json"))[9]
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "val_bpb": "1.9", "machine": None}))
    assert gathered(campaign).damaged == (f"{path.parent.name}/record.json",)


def test_a_decision_of_another_type_leaves_the_themes_of_others(campaign: Path) -> None:
    path = sorted((campaign / "runs" / made_up.TAG).glob("*/decision.json"))[9]
    path.write_text(json.dumps({**json.loads(path.read_text()), "val_bpb": {}, "gain": []}))
    told = gathered(campaign)
    assert told.damaged == (f"{path.parent.name}/decision.json",)
    assert {theme.name for theme in told.themes} > {"other"}


def test_a_commit_that_is_gone_has_no_diff(made: Path) -> None:
    real = next(one for one in book.read(made, made_up.TAG).experiments if not one.is_baseline)
    pairs = [("f" * 40, real.candidate.request.parent), (real.commit, real.candidate.request.parent), ("x", "y")]
    assert set(diffs.read(Git(made), pairs)) == {real.commit}


# ---------------------------------------------------------------------------------------------------
# Hostile text


NASTY = st.sampled_from("<>&\"'\x1b[\u202e\u200d\r\n\t\u2028😀ش\x00")
HOSTILE = st.text(alphabet=st.one_of(st.characters(), NASTY), max_size=300)


@given(HOSTILE)
def test_what_is_shown_is_one_clean_line(text: str) -> None:
    line = facts.clean(text)
    assert len(line) <= facts.TEXT_MOST
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in line)
    assert facts.clean(line) == line


@given(st.lists(HOSTILE, max_size=8))
def test_any_diff_can_be_split(lines: list[str]) -> None:
    commit = "a" * 40
    head = [commit, "", "diff --git a/train.py b/train.py", "@@ -1 +1 @@"]
    shown = "\n".join([*head, *(f"+{one}" for one in lines)])
    found = diffs.split(shown)
    assert set(found) == {commit}
    assert "\x1b" not in found[commit] and "\u202e" not in found[commit]


def test_a_long_diff_is_cut(made: Path) -> None:
    commit = "b" * 40
    body = "\n".join("+x" for _ in range(3 * diffs.LINES_MOST))
    shown = diffs.split(f"{commit}\n\n@@ -1 +1 @@\n{body}")[commit]
    assert shown.count("\n") == diffs.LINES_MOST and shown.endswith("more lines)")


# ---------------------------------------------------------------------------------------------------
# Curves


@given(st.lists(st.floats(0, 20), min_size=1, max_size=1500))
def test_a_thinned_curve_ends_where_the_curve_does(losses: list[float]) -> None:
    points = [Point(at, at / len(losses), at * 0.1, at * 512, loss) for at, loss in enumerate(losses)]
    found = curves.columns(1, 1, points)
    assert len(found.loss) == len(found.tokens) == len(found.seconds) <= curves.POINTS
    assert found.tokens[-1] == points[-1].tokens
    assert list(found.tokens) == sorted(set(found.tokens))
    assert all(min(losses) - 1e-3 <= loss <= max(losses) + 1e-3 for loss in found.loss if loss is not None)


def test_a_loss_that_is_no_number_is_a_gap() -> None:
    points = [Point(0, 0.5, 1.0, 512, 3.0), Point(1, 1.0, 2.0, 1024, float("nan"))]
    assert curves.columns(1, 1, points).loss == (3.0, None)


def test_the_curves_of_keeps_come_first(made: Path) -> None:
    runs = campaigns.runs(made, made_up.TAG)
    kept = {run.request.commit for run in runs if run.decision and run.decision.status == "keep"}
    chosen = curves.chosen(runs, kept, 12)
    assert len(chosen) == 12
    steps = [run for run in runs if run.request.commit in kept and run.request.kind != "confirm"]
    assert {run.request.number for run in steps} <= {run.request.number for run in chosen}
    assert chosen[-1] == runs[-1]
    assert curves.chosen(runs, kept) == runs
    assert curves.chosen(runs, kept, 2)[0].request.kind == "baseline"
