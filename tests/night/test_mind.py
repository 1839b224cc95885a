"""The scripted model: it finds its way by what stands before it, whatever that is."""

from __future__ import annotations

import json
import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from researcher.conversation import Asked, Call, Conversation, Did, Event, Said

from benchmarks.simulation import mind, moods
from benchmarks.simulation.view import View, view
from benchmarks.simulation.wire import Reply, ToolCall, kind_of
from tests.researcher.bench import Bench

TOOLS = frozenset({"bash", "edit", "read", "skill"})
STAND_IN = "BATCH = 64\nLEARNING_RATE = 0.1\nHIDDEN = 32  # wide\nACTIVATION = 'tanh'\n"


def talk(*events: Event, tools: frozenset[str] = TOOLS, system: str = "") -> Conversation:
    return Conversation(system, tools, events)


# ---------------------------------------------------------------------------------------------------
# Through the loop


class Client:
    """Carries replies out on a bench made of words; forgets all but a prompt every `forget` requests."""

    def __init__(self, bench: Bench, stray: float, forget: int, seed: int = 0) -> None:
        self.bench, self.forget = bench, forget
        self.mind = mind.answer(seed, stray)
        self.events: list[Event] = [Asked("Begin.")]
        self.behaviours: Counter[str] = Counter()

    def go_on(self, rows: int, requests: int) -> int:
        """Until there are so many rows, or so many requests were made; returns how many were."""
        for number in range(1, requests + 1):
            if number % self.forget == 0:
                self.events = [Asked("Go on. Next: nothing that makes sense.")]
            reply = self.mind(Conversation("", TOOLS, tuple(self.events)), number)
            self.behaviours[reply.behaviour] += 1
            if reply.text:
                self.events.append(Said(reply.text))
            for call in reply.calls:
                self.events.append(self.carry_out(call))
            if not reply.calls:
                self.events.append(Asked("Go on."))
            if len(self.bench.rows) >= rows:
                return number
        return requests

    def carry_out(self, call: ToolCall) -> Did:
        try:
            arguments = json.loads(call.arguments)
        except ValueError:
            return Did(call.name, {}, "The arguments provided to the tool are invalid")
        return Did(call.name, arguments, self.output(call.name, arguments))

    def output(self, tool: str, arguments: dict[str, str]) -> str:
        command = arguments.get("command", "")
        if not isinstance(command, str) or not arguments or tool not in TOOLS:
            return "The arguments provided to the tool are invalid"
        if tool == "read":
            name = arguments["filePath"]
            return {"train.py": self.bench.train, "program.md": self.bench.program}.get(name, "denied")
        if tool == "edit" and arguments["filePath"] != "train.py":
            return "denied"
        if command.startswith("grep"):
            return self.bench.train
        first = command.split()[0] if command else ""
        if tool == "bash" and not re.match(r"tools/(status|log_result|revert)|scripts/run_exp|cat", first):
            return "denied"
        if command.endswith("--confirm") and not self.bench.asked:
            return f"run_experiment: refused\nnext: {self.bench.next()}"
        if command == "tools/revert.py" and self.bench.state == "running":
            return f"revert: refused\nnext: {self.bench.next()}"
        return self.bench.answer(Call(tool, arguments))


def bench() -> Bench:
    """Every third file is a crash, the others' scores hang on the text."""

    def outcome(train: str) -> float | str:
        dice = Random(train)
        return "crash" if dice.random() < 0.3 else round(dice.uniform(1, 2), 3)

    made = Bench(STAND_IN, outcome)
    made.run("scripts/run_experiment.sh --baseline")
    if made.crashed:
        raise AssertionError("another text for the baseline")
    made.log("baseline")
    return made


def test_it_carries_the_loop() -> None:
    client = Client(bench(), stray=0.0, forget=10_000)
    assert client.go_on(rows=20, requests=400) < 400
    assert "at a loss" not in client.behaviours


@pytest.mark.parametrize("seed", range(3))
def test_it_carries_the_loop_though_it_strays_and_forgets(seed: int) -> None:
    client = Client(bench(), stray=0.25, forget=17, seed=seed)
    assert client.go_on(rows=20, requests=2000) < 2000
    assert len(client.behaviours) > 15


def test_it_does_what_program_md_asks_for() -> None:
    made = bench()
    made.program = "# Program\n\n- set HIDDEN to 56\n"
    client = Client(made, stray=0.0, forget=10_000)
    client.go_on(rows=2, requests=50)
    assert any("[HIDDEN=56]" in message for message in made.runs)


# ---------------------------------------------------------------------------------------------------
# Whatever stands there


texts = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "next: tools/revert.py",
            'next: edit train.py, then scripts/run_experiment.sh -m "exp: what you try"',
            'next: fix train.py and scripts/run_experiment.sh --fix -m "fix: what", or tools/log_result.py -d "x"',
            "next: git switch -c autoresearch/<tag>",
            "next: ",
            STAND_IN,
            "Edit applied successfully.",
            "tools/status.py",
            "experiment 0003, run 0003 (candidate abc): exp: [BATCH=0]\nnext: scripts/run_experiment.sh --wait",
        ]
    ),
)
arguments = st.dictionaries(
    st.sampled_from(["command", "filePath", "oldString", "newString", "name"]),
    st.one_of(texts, st.integers(), st.none(), st.sampled_from(["train.py", "program.md", "tools/status.py"])),
)
events = st.one_of(
    st.builds(Asked, texts),
    st.builds(Said, texts),
    st.builds(Did, st.sampled_from(["bash", "edit", "read", "skill", "task", "invalid"]), arguments, texts),
)


@given(st.lists(events, max_size=12), st.integers(1, 5000), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=300)
def test_it_always_answers(happened: list[Event], number: int, stray: float) -> None:
    reply = mind.answer(0, stray)(talk(*happened), number)
    assert isinstance(reply, Reply) and reply.behaviour
    assert reply == mind.answer(0, stray)(talk(*happened), number), "not the same answer to the same request"


def test_prose_is_given_where_prose_is_wanted() -> None:
    title = talk(tools=frozenset(), system="You are a title generator.")
    summary = talk(tools=frozenset(), system="You are a context summarization agent.")
    assert (kind_of(title), kind_of(summary), kind_of(talk())) == ("title", "compaction", "chat")
    assert "tools/status.py" in mind.answer(0, 1.0)(summary, 1).text


@pytest.mark.parametrize("mood", moods.PASSING)
def test_every_mood_has_its_occasion(mood: moods.Mood) -> None:
    seen = [
        View(),
        View(edited=True, step="scripts/run_experiment.sh -m"),
        View(edited=True, step="edit train.py"),
    ]
    assert any(mood(one, Random(0)) for one in seen)


def test_lasting_moods_come_and_go_with_the_number() -> None:
    drawn = [moods.lasting(0, number) for number in range(3000)]
    assert drawn[: moods.LASTS] == [None] * moods.LASTS
    assert {mood.__name__ for mood in drawn if mood} == {"talk_on", "stubborn"}
    assert 0.02 < sum(mood is not None for mood in drawn) / len(drawn) < 0.12


# ---------------------------------------------------------------------------------------------------
# What it sees


def test_the_newest_next_step_counts() -> None:
    seen = view(
        talk(
            Did("bash", {"command": "tools/status.py"}, "state: clean\nnext: tools/revert.py"),
            Did("bash", {"command": "tools/revert.py"}, "done\nnext: edit train.py, then …"),
        )
    )
    assert seen.step == "edit train.py, then …"


def test_a_prompt_may_name_the_next_step() -> None:
    seen = view(talk(Asked("Go on. State: finished. Next: tools/log_result.py -d … Nobody is there to answer.")))
    assert seen.step == "tools/log_result.py -d …"


def test_a_prompt_comes_in_the_clients_quotes() -> None:
    for step in ("tools/revert.py", 'scripts/run_experiment.sh -m "exp: what you try"'):
        assert view(talk(Asked(f'"Go on. State: logged.\nnext: {step}"'))).step == step
        assert view(talk(Asked(f"Go on. Next: {step}"))).step == step


def test_a_step_that_leads_nowhere_is_not_taken_again() -> None:
    failed = Did("bash", {"command": "tools/revert.py"}, "no such file")
    skill = Did("skill", {}, "tools/status.py")
    reply = mind.diligent(view(talk(Asked("Next: tools/revert.py"), skill, failed)), Random(0))
    assert json.loads(reply.calls[0].arguments)["command"] == "tools/status.py"


def test_constants_are_forgotten_when_the_file_changes() -> None:
    look = Did("bash", {"command": mind.LOOK}, "12:BATCH = 64\n13:HIDDEN = 32  # wide\n")
    assert view(talk(look)).constants == {"BATCH": "64", "HIDDEN": "32"}
    edit = {"filePath": "train.py", "oldString": "BATCH = 64", "newString": "BATCH = 32"}
    seen = view(talk(look, Did("edit", edit, "Edit applied successfully.")))
    assert (seen.constants, seen.edited, seen.idea) == ({}, True, "[BATCH=32]")


def test_a_decision_ends_what_was_known_of_the_experiment() -> None:
    logged = Did("bash", {"command": "tools/log_result.py -d x"}, "verdict: discard\nnext: tools/revert.py")
    program = Did("read", {"filePath": "program.md"}, "# Program")
    seen = view(talk(program, logged))
    assert (seen.program, seen.step) == ("", "tools/revert.py")
