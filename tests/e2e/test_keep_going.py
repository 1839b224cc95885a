"""The plugin in the real client: a model that stops is sent back to work, and nobody else is bothered.

The bench is a stand-in that takes a second a run; all the rest is real. The client is driven as a program does
(`opencode serve`) and as a person does (its window in a terminal).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from researcher.conversation import Asked, Call, Conversation, Did, Move, Say

from .stand_in import Lazy, Server, StandIn, left_over, served, shell, text_of, wait_for, windowed

EXPERIMENTS = 5
WINDOW = 24_000  # tokens: full after a few experiments
AFTER = (
    "Load the skill autoresearch again and run tools/status.py before anything else: what it says is how things "
    "stand. Do what its line `next:` says, and go on with the loop. Nobody is there to answer questions."
)  # the first words after a compaction
FRESH = "session before this one"  # in the first prompt of a session that takes over from one that is stuck


@pytest.fixture(scope="module")
def lab(programs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    lab = StandIn(tmp_path_factory.mktemp("served"), *programs, tmp_path_factory.mktemp("cache"))
    lab.build()
    yield lab
    wait_for("everything ended", lambda: not left_over(lab))


@dataclass
class Night:
    """What was seen of a night, with a person who interferes."""

    research: list[dict[str, Any]] = field(default_factory=list)  # the session's messages at the end
    heard_then: int = 0  # prompts when the person aborted …
    heard_later: int = 0  # … and a while later
    bystander: list[dict[str, Any]] = field(default_factory=list)  # the messages of another session
    steps: list[dict[str, Any]] = field(default_factory=list)  # what the client says of each step of the model


@pytest.fixture(scope="module")
def night(lab: StandIn) -> Night:
    night, lazy = Night(), Lazy()
    with lab.model(lazy) as model, served(lab, model, WINDOW) as server:
        other = server.session()
        server.say(other, "hello")
        session = server.session()
        server.say(session, "Do some research.")
        wait_for("experiments and a compaction", lambda: len(lab.rows) > EXPERIMENTS and AFTER in lazy.heard)
        abort(server, session)
        night.heard_then = len(server.messages(session, "user"))
        time.sleep(1 + 3 * slowest_prompt(server, session))
        night.heard_later, rows = len(server.messages(session, "user")), len(lab.rows)
        server.say(session, "hello")
        wait_for("another experiment", lambda: len(lab.rows) > rows)
        server.command(session, "stop")
        wait_for("the end", lambda: "Research is over" in text_of_user(server.messages(session, "user")[-1]))
        night.research = server.ask("GET", f"/session/{session}/message")
        night.bystander = server.ask("GET", f"/session/{other}/message")
        parts = [part for message in night.research + night.bystander for part in message["parts"]]
        night.steps = [part for part in parts if part["type"] == "step-finish"]
    return night


def abort(server: Server, session: str) -> None:
    """Esc, while the model is at work; again where its turn ended by itself just before."""

    def is_aborted() -> bool:
        wait_for("work", lambda: server.busy(session))
        server.ask("POST", f"/session/{session}/abort")
        wait_for("rest", lambda: not server.busy(session))
        answer = server.messages(session, "assistant")[-1]["info"]
        return bool(answer.get("error", {}).get("name") == "MessageAbortedError")

    wait_for("an aborted turn", is_aborted)


def slowest_prompt(server: Server, session: str) -> float:
    """Seconds that the plugin took at most, on this machine and with its load, from a turn's end to its prompt."""
    messages = server.ask("GET", f"/session/{session}/message")
    took = [
        message["info"]["time"]["created"] - before["info"]["time"]["completed"]
        for before, message in itertools.pairwise(messages)
        if text_of_user(message).startswith("Go on")
    ]
    return float(max(took)) / 1000


def text_of_user(message: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in message["parts"])


def test_a_model_that_stops_is_sent_back_to_work(night: Night) -> None:
    prompts = [text_of_user(message) for message in night.research if message["info"]["role"] == "user"]
    again = [prompt for prompt in prompts if prompt.startswith("Go on")]
    assert len(again) >= EXPERIMENTS - 1
    assert all("next:" in prompt.lower() and "val_bpb" in prompt for prompt in again[1:])


def test_the_agent_and_the_model_stay_as_they_were(night: Night) -> None:
    said = [message["info"] for message in night.research if message["info"]["role"] == "user"]
    assert {(own["agent"], own["model"]["modelID"]) for own in said} == {("researcher", "researcher")}


def test_no_experiment_is_lost_or_made_twice(lab: StandIn, night: Night) -> None:
    lab.check_books()


def test_the_first_thing_after_a_compaction_leads_to_status(lab: StandIn, night: Night) -> None:
    """In the place of the client's own words, which tell the model to stop and ask; the summary says it too."""
    said = [text_of(message) for entry in lab.requests for message in entry["request"]["messages"]]
    assert AFTER in said and not any("stop and ask for clarification" in text for text in said)
    summaries = [entry["request"]["messages"] for entry in lab.requests if not entry["request"].get("tools")]
    assert any(text_of(messages[-1]).endswith(AFTER) for messages in summaries)


def test_a_compaction_brings_no_second_prompt(night: Night) -> None:
    """Every prompt of ours follows an answer that ended a turn."""
    for before, message in itertools.pairwise(night.research):
        if message["info"]["role"] == "user" and text_of_user(message).startswith("Go on"):
            assert before["info"]["role"] == "assistant"
            assert before["info"].get("finish") == "stop" and not before["info"].get("summary")


def test_after_an_abort_the_person_speaks_next(night: Night) -> None:
    assert night.heard_later == night.heard_then


def test_a_session_without_research_is_left_alone(night: Night) -> None:
    assert [text_of_user(message) for message in night.bystander] == ["hello", "Hello to you."]


def test_stop_ends_it_and_says_so(lab: StandIn, night: Night) -> None:
    assert "a person asked for the end" in text_of_user(night.research[-1])
    assert (lab.repo / "STOP").exists()
    assert lab.git("status", "--porcelain", "--untracked-files=all") == ""


def test_what_a_step_costs_is_written_down_once(lab: StandIn, night: Night) -> None:
    """From the first one on that ended with a campaign there: the skill and status came before it, and hello."""
    counted = sorted(step["tokens"]["input"] for step in lab.paid)
    told = sorted(step["tokens"]["input"] for step in night.steps)
    assert len(counted) == len(told) - 3
    assert set(counted) <= set(told) and all(step["tokens"]["output"] > 0 for step in lab.paid)


# ---------------------------------------------------------------------------------------------------
# Subagents


def delegating(conversation: Conversation) -> Move:
    """Loads the skill, has a subagent look at a command of the bench, and stops."""
    done = [event for event in conversation.events if isinstance(event, Did)]
    if not conversation.tools:
        return Say("Research")
    if any(isinstance(event, Asked) and "subagent" in event.text for event in conversation.events):
        return Say("I looked.") if done else shell("tools/log_result.py --help")
    if not done:
        return Call("skill", {"name": "autoresearch"})
    if len(done) == 1:
        work = {"description": "look", "prompt": "You are a subagent: look.", "subagent_type": "general"}
        return Call("task", work)
    return Say("What now?")


def test_a_subagent_is_left_alone(programs: tuple[Path, Path], tmp_path: Path) -> None:
    lab = StandIn(tmp_path / "lab", *programs, tmp_path / "cache")
    lab.build()
    with lab.model(delegating) as model, served(lab, model, permission={"task": "allow"}) as server:
        session = server.session()
        server.say(session, "Do some research.")
        wait_for("another prompt", lambda: len(server.messages(session, "user")) > 1)
        (child,) = server.ask("GET", f"/session/{session}/children")
        assert [text_of_user(message) for message in server.messages(child["id"], "user")] == [
            "You are a subagent: look."
        ]


# ---------------------------------------------------------------------------------------------------
# In the window


@dataclass
class Moody:
    """Works, until it only talks."""

    working: Lazy = field(default_factory=Lazy)
    talks: bool = False

    def __call__(self, conversation: Conversation) -> Move:
        if self.talks and conversation.tools:
            first = conversation.events[0]
            return Say("Refreshed." if isinstance(first, Asked) and FRESH in first.text else "Interesting.")
        return self.working(conversation)


def test_the_window(programs: tuple[Path, Path], tmp_path: Path) -> None:
    """Experiments, then talk until a fresh session takes over and is shown, and a clean end."""
    lab, model = StandIn(tmp_path / "lab", *programs, tmp_path / "cache"), Moody()
    lab.build()
    with lab.model(model) as address, windowed(lab, address) as window:
        wait_for("the prompt", lambda: window.shows("commands"))
        window.type("/research")
        window.type("")
        wait_for("experiments", lambda: len(lab.rows) > 3)
        model.talks = True
        wait_for("a fresh session", lambda: any(FRESH in text for text in lab.told))
        wait_for("the fresh session on the screen", lambda: window.shows("Refreshed."))
        model.talks = False
        rows = len(lab.rows)
        wait_for("an experiment in it", lambda: len(lab.rows) > rows)
        window.type("/stop")
        window.type("")
        wait_for("the end", lambda: window.shows("Research is over"))
    lab.check_books()
    wait_for("everything ended", lambda: not left_over(lab))
