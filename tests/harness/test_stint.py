"""A stint: what it counts, what it survives, and how its limits end research, from the page or from flags."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from harness import Refused, driver, stint
from harness.limits import EXPERIMENTS, UNTIL
from harness.situation import Situation, look
from harness.stint import Usage
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.lab import Lab

STEP = {"at": 5.0, "session": "s", "tokens": {"input": 10, "output": 2, "reasoning": 3, "cache_read": 100}}


def budget(lab: Lab, *lines: str, age: float = 0.0) -> None:
    """Write program.md's section on the budget, `age` seconds ago."""
    (lab.root / "program.md").write_text("# Program\n\n## Budget\n\n" + "".join(f"{line}\n" for line in lines))
    os.utime(lab.root / "program.md", (time.time() - age, time.time() - age))


def at(lab: Lab) -> Situation:
    return look(lab.root)


def value(now: Situation, kind: str) -> float | None:
    """Of the limit in force that is reached first."""
    limit = stint.limits(now)[0].first(kind)
    return limit.value if limit else None


def write_stint(lab: Lab, **fields: Any) -> None:
    (lab.root / "runs/t1/stint.json").write_text(json.dumps(fields))


def local(hours: float) -> str:
    """The time of day so many hours from now, to the minute before."""
    return time.strftime("%H:%M", time.localtime(time.time() + hours * 3600))


# ---------------------------------------------------------------------------------------------------
# Counting


def test_experiments_count_within_the_stint(lab: Lab) -> None:
    assert stint.spent(at(lab)).experiments == 0, "the baseline is none"
    lab.try_idea(SCORE=1.4)
    assert stint.spent(at(lab)).experiments == 0, "not decided yet"
    lab.log()
    lab.try_idea(SCORE=1.6)
    lab.log()
    lab.revert()
    spent = stint.spent(at(lab))
    assert (spent.experiments, spent.without_keep) == (2, 1)
    assert spent.best == 1.4
    assert spent.device_hours > 0
    begun = stint.begin(lab.root, "t1", started_by="client")
    assert begun.experiments == 2
    assert stint.load(lab.root, "t1") == begun
    spent = stint.spent(at(lab))
    assert (spent.experiments, spent.without_keep, spent.device_hours) == (0, 0, 0)
    lab.try_idea(CRASH="always")
    lab.log()
    lab.revert()
    spent = stint.spent(at(lab))
    assert (spent.experiments, spent.without_keep) == (1, 1), "what came before the stint is no part of the row"


def test_the_run_in_progress_counts_by_its_age(lab: Lab) -> None:
    lab.edit(STEP=9.0)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    now = at(lab)
    assert now.newest is not None
    later = time.time() + 7200
    assert stint.device_seconds(now.newest.runs, later) == pytest.approx(7200, abs=60)
    assert stint.device_seconds(now.newest.runs, 0.0) == 0, "a clock that went back"
    lab.run("--stop")


def test_before_the_campaign(new: Lab) -> None:
    now = at(new)
    assert stint.spent(now).experiments == 0
    assert not stint.limits(now)[0]
    assert not (new.root / "runs/t1").exists(), "looking makes nothing"
    stint.begin(new.root, "t1", {"experiments": "3"}, started_by="client")
    assert new.state == "new"
    assert new.run("--baseline").code == 0
    assert value(at(new), EXPERIMENTS) == 3


def test_usage(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    assert stint.usage(path) == Usage()
    line = json.dumps({**STEP, "cost": 0.25}) + "\n"
    path.write_text(line * 3)
    assert stint.usage(path) == Usage(345, 0.75, 3, 5.0)
    assert stint.usage(path, len(line)) == Usage(230, 0.5, 2, 5.0)
    assert stint.usage(path, 10**6) == stint.usage(path), "a file that was begun anew"
    foreign = ["", "null", "[1]", '"x"', "{", '{"tokens": 5}', '{"tokens": {"input": "x"}}', "\0\xff", "[" * 9999]
    foreign += ['{"tokens": {"input": 1e999, "output": -5, "x": true, "y": NaN}, "cost": -1, "at": "x"}']
    path.write_text("\n".join(foreign) + "\n" + line + line[:20])
    assert (stint.usage(path).tokens, stint.usage(path).dollars) == (115, 0.25)


@given(st.binary(), st.integers(0, 50))
def test_usage_of_anything(tmp_path_factory: pytest.TempPathFactory, content: bytes, start: int) -> None:
    path = tmp_path_factory.getbasetemp() / "client.jsonl"
    path.write_bytes(content)
    assert stint.usage(path, start).tokens >= 0


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"started": "x"}',
        '{"started": NaN}',
        '{"started": -1}',
        '{"started": 1e300}',
        '{"started": 5, "flags": 3, "until": [], "experiments": "x", "device_seconds": null, "client_bytes": -1}',
        '{"started": 5, "flags": {"experiments": "x", "nonsense": "y"}, "until": {"07:00": "soon"}, "more": 1}',
    ],
)
def test_a_damaged_stint_is_no_obstacle(lab: Lab, content: str) -> None:
    (lab.root / "runs/t1/stint.json").write_text(content)
    budget(lab, "until: 07:00", "experiments: 5")
    found = lab.status()
    assert found["state"] == "clean"
    assert "of 5 experiments" in found["limits"][0]


def test_a_flag_of_nonsense_begins_nothing(lab: Lab) -> None:
    with pytest.raises(Refused, match='--tokens "few"'):
        stint.begin(lab.root, "t1", {"tokens": "few"})
    assert stint.load(lab.root, "t1") is None


# ---------------------------------------------------------------------------------------------------
# Times of day


def test_a_time_is_resolved_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    budget(lab, f"until: {local(2)}")
    begun = stint.begin(lab.root, "t1", started_by="client")
    (when,) = begun.until.values()
    assert 0 < when - time.time() <= 2 * 3600
    real = time.time()
    for later in (-86400.0, 3600.0, 3 * 3600.0, 9 * 86400.0):  # the clock moves, also past it: the same moment
        monkeypatch.setattr(time, "time", lambda later=later: real + later)
        assert value(at(lab), UNTIL) == when
    assert (at(lab).stop or "").startswith("it is past ")


def test_an_edit_elsewhere_on_the_page_does_not_move_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    budget(lab, f"until: {local(2)}")
    when = next(iter(stint.begin(lab.root, "t1", started_by="client").until.values()))
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 3 * 3600)
    text = (lab.root / "program.md").read_text()
    (lab.root / "program.md").write_text(f"{text}experiments: 9\n")
    os.utime(lab.root / "program.md", (real + 3 * 3600, real + 3 * 3600))
    now = at(lab)
    assert (value(now, UNTIL), value(now, EXPERIMENTS)) == (when, 9)


def test_a_time_written_later_is_meant_from_then_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun in the evening, edited at noon to say a time of the morning: the next morning."""
    real = time.time()
    stint.begin(lab.root, "t1", started_by="client")
    noon = real + 14 * 3600
    morning = local(9)
    monkeypatch.setattr(time, "time", lambda: noon)
    budget(lab, f"until: {morning}")
    until = value(at(lab), UNTIL)
    assert until is not None
    assert 0 < until - noon <= 86400
    assert at(lab).stop is None


def test_without_a_stint_a_time_is_the_next_after_it_was_written(lab: Lab) -> None:
    pin = json.loads((lab.root / "runs/t1/campaign.json").read_text())
    old = {**pin, "created": time.time() - 3 * 86400}
    (lab.root / "runs/t1/campaign.json").write_text(json.dumps(old))
    budget(lab, f"until: {local(2)}")
    until = value(at(lab), UNTIL)
    assert until is not None
    assert 0 < until - time.time() <= 2 * 3600
    budget(lab, f"until: {local(-2)}", age=3 * 3600)
    assert at(lab).stop is not None, "written three hours ago, two hours ago it was reached"


def test_a_default_stands_still_as_well(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    budget(lab, "until: soon")
    begun = stint.begin(lab.root, "t1", started_by="client")
    assert begun.until == {"soon": pytest.approx(begun.started + 12 * 3600)}
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 13 * 3600)
    assert at(lab).stop is not None
    notes = lab.status()["notes"]
    assert notes == ['program.md, line 5: "until: soon" is no time such as 07:00 or 2026-11-24 07:00 '
                     "(local time, without a zone or a weekday): 12 hours counts instead"]  # fmt: skip


# ---------------------------------------------------------------------------------------------------
# Limits that end it


def experiment(lab: Lab, score: float) -> None:
    lab.try_idea(SCORE=score)
    lab.log()
    if lab.state == "logged":
        lab.revert()


@pytest.mark.parametrize(
    "line, told",
    [
        ("experiments: 2", "2 of 2 experiments are done (limit set by program.md line 5)"),
        ("stop after two experiments without a keep", "2 experiments in a row brought no keep"),
        ("target: 1.5", "val_bpb 1.500000 is at the target of 1.5"),
        ("client tokens: 1000", "1.15k of 1k client tokens are used"),
        ("no more than $2", "$2.50 of $2 are spent"),
        ("until: 2026-11-20 07:00", "it is past 2026-11-20 07:00"),
        ("device hours: 0.001", "of 0.001 device hours are used"),
    ],
)
def test_each_limit_ends_it(lab: Lab, line: str, told: str) -> None:
    budget(lab, line)
    path = lab.path(0) / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_seconds": 7.0}))
    (lab.root / "runs/t1/client.jsonl").write_text(10 * (json.dumps({**STEP, "cost": 0.25}) + "\n"))
    for _ in range(3):
        found = lab.status()
        if found["stop"]:
            break
        experiment(lab, 1.6)
    assert told in found["stop"]
    assert found["next"] == f"end your turn: {found['stop']}"
    lab.edit(SCORE=1.4)
    answer = lab.run("-m", "exp: one more")
    assert answer.code == 2
    assert (
        answer.err.count("\n") == 1
        and "the person may raise it in program.md or with scripts/start.sh" in answer.err
    )
    assert answer.err == f"run_experiment: no further experiment begins: {found['stop']}\n"
    assert answer.next == found["next"]
    budget(lab, "Go on.")
    assert lab.run("-m", "exp: one more").code == 0, "the person thought again"


def test_flags_and_page_count_together(lab: Lab) -> None:
    budget(lab, "experiments: 3")
    stint.begin(lab.root, "t1", {"experiments": "1", "target": "1.0"}, started_by="client")
    experiment(lab, 1.6)
    assert lab.status()["stop"] == "1 of 1 experiments are done (limit set by --experiments 1)"
    stint.begin(lab.root, "t1", {"experiments": "5"}, started_by="client")
    assert lab.status()["limits"] == ["limits: 0 of 3 experiments"]


def test_status_says_how_far_it_is(lab: Lab) -> None:
    assert "limits" not in lab.call("status.py").out
    budget(lab, "at most 30 experiments", "stop before breakfast", f"until: {(when := local(2))}")
    out = lab.call("status.py").out
    assert re.search(rf"\nlimits: until {when} \(1 h 5\d min left\), 0 of 30 experiments\n", out)
    assert 'note: program.md, line 6: "stop before breakfast" sets no limit; a limit is a line such as' in out


# ---------------------------------------------------------------------------------------------------
# After its end


def test_flags_end_with_their_stint(lab: Lab) -> None:
    with driver.the_only_one(lab.root, "t1"):
        stint.begin(lab.root, "t1", {"experiments": "1"})
        experiment(lab, 1.6)
        assert lab.status()["stop"] == "1 of 1 experiments are done (limit set by --experiments 1)"
        stint.end(lab.root, "t1")
    before = stint.load(lab.root, "t1")
    assert before is not None and before.ended and [own.value for own in before.held] == [1]
    stint.end(lab.root, "t1")
    assert stint.load(lab.root, "t1") == before, "it ends once"
    assert lab.status()["stop"] is None
    experiment(lab, 1.6)
    budget(lab, "experiments: 2")
    assert lab.status()["limits"] == ["limits: 1 of 2 experiments"], "counted from that end on"
    experiment(lab, 1.6)
    assert "2 of 2 experiments are done" in lab.status()["stop"]
    lab.edit(SCORE=1.6)
    refused = lab.run("-m", "exp: one more")
    assert refused.code == 2 and "raise it in program.md" in refused.err


def test_a_time_of_a_stint_that_is_over_is_the_next_one(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended by hand in the evening, before its limit of the morning; a person goes on two evenings later."""
    budget(lab, f"until: {local(9)}")
    with driver.the_only_one(lab.root, "t1"):
        when = next(iter(stint.begin(lab.root, "t1").until.values()))
        stint.end(lab.root, "t1")
    real = time.time()
    assert value(at(lab), UNTIL) == when
    monkeypatch.setattr(time, "time", lambda: real + 2 * 86400)
    assert (value(at(lab), UNTIL) or 0) - when == pytest.approx(2 * 86400, abs=7200)
    lab.edit(SCORE=1.6)
    assert lab.run("-m", "exp: by hand").code == 0
    lab.log()
    lab.revert()
    next_morning = value(at(lab), UNTIL)
    monkeypatch.setattr(time, "time", lambda: real + 3 * 86400)
    assert value(at(lab), UNTIL) == next_morning, "from its first run on it stands"
    assert "to go on, the person may raise it" in (at(lab).stop or "")


def test_a_start_that_was_killed_is_over_since_its_last_activity(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driver.the_only_one(lab.root, "t1"):
        stint.begin(lab.root, "t1", {"experiments": "1"})
        experiment(lab, 1.6)
    last = time.time()
    assert stint.load(lab.root, "t1").ended == 0  # type: ignore[union-attr]
    monkeypatch.setattr(time, "time", lambda: last + 3600)
    assert at(lab).stop is None
    begun = stint.load(lab.root, "t1")
    assert begun is not None
    assert last - 60 < begun.ended <= last
    budget(lab, "experiments: 1")
    experiment(lab, 1.6)
    assert stint.load(lab.root, "t1") == begun, "what came later is no part of it"
    assert at(lab).stop is not None


def test_another_campaigns_start_keeps_no_stint_in_force(lab: Lab) -> None:
    stint.begin(lab.root, "t1", {"target": "1.9"})
    with driver.the_only_one(lab.root, "other"):
        assert at(lab).stop is None


def test_the_clients_stint_needs_no_process(lab: Lab) -> None:
    budget(lab, "experiments: 1")
    stint.begin(lab.root, "t1", started_by="client")
    experiment(lab, 1.6)
    assert at(lab).stop is not None


def test_none_to_end(new: Lab) -> None:
    stint.end(new.root, "t1")
    assert not (new.root / "runs/t1").exists()
