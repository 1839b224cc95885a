"""The researcher against a bench made of words: it does what it is told, and loses nothing when it forgets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from researcher.catalogue import Catalogue, Change, Fix, Idea
from researcher.conversation import Asked, Call, Conversation, Did, Event, Said, Say
from researcher.policy import SUMMARY, next_move
from researcher.search import Row
from researcher.trainfile import Edit, TrainFile, number

from .bench import SYSTEM, TOOLS, Bench, Client, commands

HEAD = ("LR = 0.04  # a rate", "SMALL_HEADS = 4", "FULL_HEADS = 8")
TRAIN = "\n".join([*HEAD, *(f"# {i}" for i in range(60)), "def relu(): ...", ""])


def constants(**settings: str | tuple[str, ...]) -> Change:
    return Change({name: (v,) if isinstance(v, str) else v for name, v in settings.items()}, ())


RATE = Idea("rate", "another rate", "why not", constants(LR="*2"), None)
GELU = Idea("gelu", "GELU", "smooth", Change({}, (Edit("def relu()", "def gelu()"), Edit("# 7\n", ""))), None)
HEADS = Idea("heads", "three heads", "cheap", constants(HEADS="3"), Fix("two heads", constants(HEADS="2")))
ODD = Idea("odd", "five heads", "odd", constants(HEADS="5"), None)
GONE = Idea("gone", "what is no longer there", "old", Change({}, (Edit("nowhere", "else"),)), None)


def value(name: str, train: str) -> float:
    found = number(TrainFile(train).value(name))
    assert found is not None
    return float(found)


def outcome(train: str) -> float | str:
    """Best at LR 0.16 and GELU; odd numbers of heads crash."""
    if value("SMALL_HEADS", train) % 2:
        return "crash"
    return (
        2.0
        + abs(value("LR", train) - 0.16)
        - ("gelu" in train) * 0.01
        + (value("SMALL_HEADS", train) != 4) * 0.005
    )


def client(*ideas: Idea, limit: int | None = None, forget: int = 10_000, **bench: object) -> Client:
    catalogue = Catalogue(ideas)
    made = Bench(TRAIN, **{"outcome": outcome, **bench})  # type: ignore[arg-type]
    return Client(made, lambda conversation: next_move(conversation, catalogue, limit), forget)


def outcomes(of: Client) -> list[tuple[str, str]]:
    """Label (or description, where there is none) and status of every row."""
    found = [Row(commit, bpb, status, text) for commit, bpb, status, text in of.bench.rows]
    return [(row.label or row.description, row.status) for row in found]


def test_it_loads_the_skill_looks_round_and_runs_the_baseline_first():
    c = client(GELU)
    c.go(stop_after=1)
    assert [call.tool for call in c.calls[:2]] == ["skill", "bash"]
    assert c.calls[0].arguments == {"name": "autoresearch"}
    assert c.calls[1].arguments["command"] == "tools/status.py"
    assert commands(c) == ["scripts/run_experiment.sh --baseline", "tools/log_result.py -d baseline"]


def test_a_win_is_followed_further_until_it_loses():
    c = client(RATE, GELU)
    c.go(stop_after=5)
    won = [("rate=0.08", "keep"), ("rate=0.16", "keep"), ("rate=0.32", "discard"), ("gelu", "keep")]
    assert outcomes(c) == [("baseline", "keep"), *won]
    assert c.bench.train == c.bench.incumbent.replace("# 7\n", "")
    assert c.bench.rows[1][3] == "[rate=0.08] another rate (LR 0.04 -> 0.08)"
    assert any("--note 'why not'" in command for command in commands(c))


def test_a_crash_is_fixed_once_and_one_without_a_fix_is_logged():
    c = client(HEADS, ODD)
    c.go(stop_after=3)
    assert outcomes(c) == [("baseline", "keep"), ("heads=3", "discard"), ("odd=5", "crash")]
    assert c.bench.rows[1][3] == "[heads=3] three heads (SMALL_HEADS 4 -> 3); two heads"
    assert c.bench.runs[1:3] == ["exp: [heads=3] three heads (SMALL_HEADS 4 -> 3)", "fix: [heads=3] two heads"]


def test_a_fix_that_crashes_too_is_logged():
    c = client(HEADS, outcome=lambda train: 2.0 if value("SMALL_HEADS", train) == 4 else "crash")
    c.go(stop_after=2)
    assert outcomes(c) == [("baseline", "keep"), ("heads=3", "crash")]
    assert len(c.bench.runs) == 3


def test_it_confirms_when_told():
    c = client(GELU, outcome=lambda train: 2.0 - ("gelu" in train) * 0.0005)
    c.go(stop_after=2)
    assert "scripts/run_experiment.sh --confirm" in commands(c)
    assert outcomes(c)[-1] == ("gelu", "keep")


def test_it_confirms_again_when_told_again():
    c = client(GELU, outcome=lambda train: 2.0 - ("gelu" in train) * 0.0005)
    c.bench.confirms = 3
    c.go(stop_after=2)
    assert commands(c).count("scripts/run_experiment.sh --confirm") == 3
    assert outcomes(c)[-1] == ("gelu", "keep")


def test_a_keep_that_stands_after_its_re_test_is_followed_further():
    c = client(RATE, soft=lambda train: outcome(train) if value("LR", train) == 0.08 else None)
    c.go(stop_after=3)
    assert outcomes(c) == [("baseline", "keep"), ("rate=0.08", "keep"), ("rate=0.16", "keep")]
    assert c.bench.rows[1][3] == "[rate=0.08] another rate (LR 0.04 -> 0.08)"
    assert commands(c).count("scripts/run_experiment.sh --confirm") == 1


@pytest.mark.parametrize("forgets", [False, True], ids=["one conversation", "a new one before the re-test"])
def test_a_keep_that_is_undone_is_gone_from_memory(forgets: bool):
    """It is logged under its own name again, and the next idea starts from the incumbent before it."""
    c = client(RATE, GELU, soft=lambda train: 9.0 if value("LR", train) == 0.08 else None)
    c.go(stop_after=2)
    assert c.bench.state == "provisional"
    if forgets:
        c.events = [Asked("Start again.")]
    c.go(stop_after=3)
    assert outcomes(c) == [("baseline", "keep"), ("rate=0.08", "discard"), ("gelu", "keep")]
    assert c.bench.rows[1][3] == "[rate=0.08] another rate (LR 0.04 -> 0.08)"
    assert value("LR", c.bench.train) == 0.04
    assert commands(c).count("tools/revert.py") == 1


def test_a_run_that_was_stopped_is_logged_and_no_near_miss():
    c = client(RATE, GELU, HEADS, outcome=lambda train: "stop" if value("LR", train) != 0.04 else outcome(train))
    c.go(stop_after=6)
    assert outcomes(c)[1] == ("rate=0.08", "discard") and c.bench.rows[1][3].endswith("[stopped at 30 %]")
    assert not any("rate=" in label and "+" in label for label, _ in outcomes(c))


def test_what_status_offers_is_passed_by():
    c = client(GELU)
    c.bench.offer = "prospect: run 0003 (x) again, 31% likely a gain: scripts/run_experiment.sh --retry 0003\n"
    c.go(stop_after=2)
    assert outcomes(c) == [("baseline", "keep"), ("gelu", "keep")]
    assert not any("--retry" in command for command in commands(c))


def test_it_waits_as_long_as_it_takes():
    c = client(GELU, waits=7)
    c.go(stop_after=2)
    assert commands(c).count("scripts/run_experiment.sh --wait") == 14


def test_it_ends_the_turn_after_as_many_experiments_as_it_was_told():
    c = client(RATE, GELU, HEADS, ODD, limit=3)
    assert c.go().startswith("3 experiments")
    assert len(c.bench.rows) == 4
    c.events.append(Asked("Go on."))
    assert c.go().startswith("3 experiments")


def test_it_never_runs_dry():
    c = client(RATE, GELU, HEADS)
    c.go(stop_after=40)
    tried = [label for label, _ in outcomes(c)]
    assert len(set(tried)) == 40
    assert any(label.startswith("perturb:") for label in tried)


@pytest.mark.parametrize("how", ["refuse", "tried"])
def test_a_refused_edit_is_taken_back_and_not_tried_again(how):
    c = client(GELU, RATE, outcome=lambda train: how if "gelu" in train else outcome(train))
    c.go(stop_after=4)
    assert [label for label, _ in outcomes(c)] == ["baseline", "rate=0.08", "rate=0.16", "rate=0.32"]
    assert sum("exp: [gelu]" in command for command in commands(c)) == 1


def test_an_edit_that_fails_halfway_is_taken_back():
    c = client(GELU, RATE)
    c.go(stop_after=1)
    while not c.calls[-1].text.startswith("[gelu]"):
        _step(c)
    c.bench.train = c.bench.train.replace("# 7\n", "# seven\n")  # somebody edits train.py meanwhile
    c.go(stop_after=2)
    assert "tools/revert.py" in commands(c)
    assert outcomes(c)[-1] == ("rate=0.08", "keep")


def _step(c: Client) -> None:
    """One move."""
    with pytest.raises(AssertionError, match="no end"):
        c.go(moves=1)


def test_a_compaction_that_keeps_the_end_does_not_hide_what_was_tried():
    c = client(RATE, GELU, HEADS)
    c.go(stop_after=6)
    tails = [i for i, event in enumerate(c.events) if isinstance(event, Did) and "tail" in str(event.arguments)]
    c.events = [Asked("What did we do so far?"), Said(SUMMARY), *c.events[tails[-1] :], Asked("Continue if …")]
    c.go(stop_after=7)
    assert len({label for label, _ in outcomes(c)}) == 7


def test_what_does_not_apply_is_passed_over():
    c = client(GONE, GELU)
    c.go(stop_after=2)
    assert outcomes(c)[-1] == ("gelu", "keep")


def test_an_edit_of_unknown_origin_is_tried_as_what_it_is():
    c = client(RATE)
    c.go(stop_after=1)
    c.bench.train = c.bench.train.replace("# 9\n", "")
    c.events = [Asked("Start again.")]
    c.go(stop_after=2)
    assert c.bench.rows[-1][3] == "an edit found in train.py"


def test_program_md_steers():
    c = client(RATE, GELU, HEADS, program="## Ideas\n- [gelu] first\n## Leave alone\n- [rate]\n## Budget\n")
    c.go(stop_after=20)
    labels = [label for label, _ in outcomes(c)]
    assert labels[1] == "gelu"
    assert not any(label.startswith("rate") for label in labels)


@settings(deadline=None, max_examples=40)
@given(forget=st.integers(8, 40), waits=st.integers(0, 2))  # below 8 moves no idea fits into the memory
def test_forgetting_at_any_moment_loses_nothing_and_repeats_nothing(forget: int, waits: int):
    c = client(RATE, GELU, HEADS, ODD, limit=7, forget=forget, waits=waits)
    assert c.go().startswith("7 experiments")
    assert len(c.bench.runs) - sum(run.startswith("fix:") for run in c.bench.runs) == len(c.bench.rows) == 8
    named = [re.sub(r"^\w+: ", "", run) for run in c.bench.runs if not run.startswith("fix:")]
    assert len(set(named)) == len(named) or any("an edit found" in run for run in named)


@pytest.mark.parametrize("output", ["", "Segmentation fault", "The user has specified a rule which prevents you"])
def test_it_gives_up_on_a_bench_that_says_nothing(output: str):
    events: list[Event] = [Asked("Start."), Did("skill", {}, "error")]
    for _ in range(10):
        move = next_move(Conversation(SYSTEM, TOOLS, tuple(events)), Catalogue([GELU]))
        if isinstance(move, Say):
            assert move.text.startswith("I stop")
            assert len(events) < 7
            return
        events.append(Did(move.tool, move.arguments, output))
    pytest.fail("it goes on for ever")


def test_it_gives_up_on_a_command_that_is_refused_again_and_again():
    events: list[Event] = [Asked("Start."), Did("skill", {}, "")]
    for _ in range(10):
        move = next_move(Conversation(SYSTEM, TOOLS, tuple(events)), Catalogue([GELU]))
        if isinstance(move, Say):
            assert "refuses" in move.text
            return
        events.append(Did(move.tool, move.arguments, "no\nnext: scripts/run_experiment.sh --baseline"))
    pytest.fail("it goes on for ever")


def test_the_client_s_own_questions_are_answered():
    title = next_move(Conversation("You are a title generator.", frozenset(), (Asked("go"),)), Catalogue([GELU]))
    assert isinstance(title, Say) and "\n" not in title.text and len(title.text) <= 50
    asked = Conversation("You are a context summarization agent.", frozenset(), (Asked("…"),))
    assert next_move(asked, Catalogue([GELU])) == Say(SUMMARY)
    assert "tools/status.py" in SUMMARY


def test_started_in_a_subfolder_it_works_from_the_root():
    system = "<env>\n  Working directory: /repo/tools\n  Workspace root folder: /repo\n</env>"
    move = next_move(Conversation(system, TOOLS, (Asked("go"), Did("skill", {}, "ok"))), Catalogue([GELU]))
    assert move == Call("bash", {"command": "tools/status.py", "workdir": "/repo"})


def test_it_goes_on_without_a_skill_tool():
    move = next_move(Conversation(SYSTEM, TOOLS - {"skill"}, (Asked("go"), Said("hm"))), Catalogue([GELU]))
    assert move == Call("bash", {"command": "tools/status.py"})
