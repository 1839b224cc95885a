"""What becomes of a model that ended its turn: the decision over its whole space, then in a campaign."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from harness import continuation
from harness.continuation import (
    ERRORS_MOST,
    FINISH_MOST,
    FRESH_MOST,
    FRUITLESS_MOST,
    REFUSED_MOST,
    SILENT_MOST,
    Counts,
    Facts,
    TurnReport,
    count,
    decide,
    renewed,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.lab import Lab

small = st.integers(0, 2 * FRUITLESS_MOST)
counts = st.builds(Counts, silent=small, fruitless=small, errors=small, refused=small, fresh=small)
facts = st.builds(
    Facts,
    counts,
    stuck=st.sampled_from(["", "the same failing call"]),
    stop=st.sampled_from(["", "STOP"]),
    now=st.booleans(),
    undecided=st.booleans(),
)


@given(facts)
def test_every_turn_has_one_answer(given: Facts) -> None:
    action = decide(given)
    assert action.kind in ("prompt", "fresh", "stop")
    assert action.text or action.kind == "prompt"


@given(facts)
def test_research_ends_for_a_person_or_for_want_of_experiments_alone(given: Facts) -> None:
    if decide(given).kind == "stop":
        assert given.stop or given.counts.fresh >= FRESH_MOST
    if given.stop and not given.undecided:
        assert decide(given).kind == "stop"


@given(facts)
def test_an_experiment_in_hand_is_finished_while_the_model_works(given: Facts) -> None:
    able = given.counts.fruitless < FINISH_MOST and not given.counts.errors and not given.counts.refused
    if given.stop and given.undecided and not given.now and able and not given.stuck and given.counts.silent < 3:
        assert decide(given).kind == "prompt"


def turns(reports: list[TurnReport], moves: Collection[int] = ()) -> list[str]:
    """The kinds of answer, turn by turn; the campaign moves in the turns named; a fresh session counts anew."""
    kinds, now, position, sessions = [], Counts(), 0, 0
    for number, report in enumerate(reports):
        position += number in moves
        now = count(now, replace(report, session=f"session {sessions}"), position, 0)
        kinds.append(decide(Facts(now, report.stuck)).kind)
        if kinds[-1] == "fresh":
            sessions += 1
            now = renewed(now)
    return kinds


TALK, WORK = TurnReport("", 0), TurnReport("", 3)
LOST = TurnReport("", 2, error="connection refused")
REFUSED = TurnReport("", 0, error="no such model", retryable=False)


def test_a_model_that_only_talks() -> None:
    kinds = turns([TALK] * 40)
    told = SILENT_MOST + 1
    assert [number for number, kind in enumerate(kinds, 1) if kind == "fresh"] == [told, 2 * told, 3 * told]
    assert kinds.index("stop") + 1 == (FRESH_MOST + 1) * told


def test_a_model_that_never_comes_to_an_experiment() -> None:
    kinds = turns([WORK] * 60)
    assert kinds.index("fresh") == FRUITLESS_MOST
    assert kinds.index("stop") + 1 == (FRESH_MOST + 1) * (FRUITLESS_MOST + 1)


def test_a_model_that_repeats_a_failing_call() -> None:
    stuck = TurnReport("", 8, stuck="the same failing call 8 times in a row")
    assert turns([stuck] * 4) == ["fresh"] * FRESH_MOST + ["stop"]


def test_an_endpoint_that_is_away_is_waited_for_all_night() -> None:
    """A fresh session is tried now and then: it may be the old one that cannot go on."""
    kinds = turns([LOST] * 300)
    assert set(kinds) == {"prompt", "fresh"} and kinds.count("fresh") == 300 // ERRORS_MOST


def test_an_endpoint_that_refuses_is_given_up() -> None:
    kinds = turns([REFUSED] * 40)
    assert kinds.index("stop") + 1 == (FRESH_MOST + 1) * REFUSED_MOST


@given(st.lists(st.sampled_from([TALK, WORK, LOST]), min_size=1, max_size=60))
def test_a_model_that_gets_somewhere_now_and_then_goes_on(reports: list[TurnReport]) -> None:
    kinds = turns(reports, moves=set(range(0, 60, SILENT_MOST)))
    assert "stop" not in kinds
    assert "fresh" not in kinds or LOST in reports


@given(st.integers(0, 10_000))
def test_the_pause_grows_up_to_a_limit(errors: int) -> None:
    pause = continuation.back_off(errors)
    assert 0 <= pause <= continuation.BACK_OFF_MOST
    assert continuation.back_off(errors + 1) >= pause


@pytest.mark.parametrize(("silent", "word"), [(SILENT_MOST - 1, ""), (SILENT_MOST, "without calling a tool")])
def test_a_model_is_told_before_it_is_replaced(silent: int, word: str) -> None:
    action = decide(Facts(Counts(silent=silent, fruitless=silent)))
    assert action.kind == "prompt" and word in action.text and bool(word) == bool(action.text)


# ---------------------------------------------------------------------------------------------------
# With a campaign around it


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BACK_OFF", "BACK_OFF_MOST", "LOOK"):
        monkeypatch.setattr(continuation, name, 0.01)


def after(lab: Lab, report: TurnReport) -> continuation.Action:
    return continuation.after_turn(lab.root, "t1", report)


def test_the_prompt_says_where_the_campaign_stands(lab: Lab, quick: None) -> None:
    first = after(lab, TurnReport("a", 1))
    assert first.kind == "prompt" and "State: clean" in first.text and "next: edit train.py" in first.text
    lab.try_idea(SCORE=1.4)
    second = after(lab, TurnReport("a", 1))
    assert "run 0001, not logged" in second.text and "next: tools/log_result.py" in second.text
    assert "Best val_bpb 1.5" in second.text and "Nobody is there to answer" in second.text
    assert len(second.text) < 600


def test_a_run_in_progress_is_waited_for(lab: Lab, quick: None) -> None:
    lab.edit(SCORE=1.4, STEP=0.1)
    lab.run("-m", "exp: slow", "--wait", "0")
    assert lab.state == "running"
    action = after(lab, TurnReport("a", 0))
    assert lab.state == "finished" and "next: tools/log_result.py" in action.text


def test_asked_to_stop_the_experiment_in_hand_is_finished(lab: Lab, quick: None) -> None:
    lab.try_idea(SCORE=1.4)
    (lab.root / "STOP").touch()
    action = after(lab, TurnReport("a", 1))
    assert action.kind == "prompt" and "begin no other" in action.text and "next: tools/log_" in action.text
    lab.log()
    action = after(lab, TurnReport("a", 1))
    assert action.kind == "stop" and "STOP" in action.text


def test_the_counts_outlive_a_client(lab: Lab, quick: None) -> None:
    after(lab, TurnReport("a", 1))
    for _ in range(SILENT_MOST):
        action = after(lab, TurnReport("a", 0))
        assert action.kind == "prompt"
    assert "without calling a tool" in action.text
    assert after(lab, TurnReport("a", 0)).kind == "fresh"
    assert not continuation.given_up(lab.root, "t1")
    (lab.root / "runs" / "t1" / "conversation.json").write_text('{"of another": "version"}')
    assert after(lab, TurnReport("a", 0)).kind == "prompt"


def test_given_up_for_good(lab: Lab, quick: None) -> None:
    kinds = [after(lab, TurnReport(f"{n}", 9, stuck="the same failing call")).kind for n in range(6)]
    assert kinds == ["fresh"] * FRESH_MOST + ["stop"] * 3
    assert "no experiment in 3 fresh sessions" in continuation.given_up(lab.root, "t1")
    continuation.forget(lab.root, "t1")
    assert not continuation.given_up(lab.root, "t1")


def test_what_the_tools_refuse_the_model_is_told_so_often_and_no_more(lab: Lab, quick: None) -> None:
    (lab.root / "runs" / "t1" / "campaign.json").write_text("torn")
    action = after(lab, TurnReport("a", 1))
    assert action.kind == "prompt" and "campaign.json cannot be read" in action.text
    kinds = [after(lab, TurnReport("a", 0)).kind for n in range((SILENT_MOST + 1) * (FRESH_MOST + 1))]
    assert kinds.count("fresh") == FRESH_MOST and kinds[-1] == "stop"
    (lab.root / "STOP").touch()
    assert after(lab, TurnReport("b", 0)).kind == "stop"


@pytest.mark.parametrize("where", ["main", "--detach", "-c autoresearch/other"])
def test_a_branch_that_was_left_is_checked_out_again(lab: Lab, quick: None, where: str) -> None:
    text = lab.edit(SCORE=1.4)
    lab.git("switch", "-q", *where.split())
    action = after(lab, TurnReport("a", 1))
    assert action.kind == "prompt" and "had been left; it is checked out again" in action.text
    assert lab.git("rev-parse", "--abbrev-ref", "HEAD") == "autoresearch/t1" and lab.train == text
