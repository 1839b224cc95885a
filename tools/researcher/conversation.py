"""A chat-completions request, read into what happened: who said what, which tool was called, what it printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """The user's words (a person, or the client on their behalf, as after a compaction)."""

    text: str


@dataclass(frozen=True)
class Said:
    """The assistant's own words."""

    text: str


@dataclass(frozen=True)
class Did:
    """One tool call of the assistant with what came back. `output` is empty while no answer is there."""

    tool: str
    arguments: Mapping[str, Any]
    output: str

    def argument(self, name: str) -> str:
        """The argument as text; empty when it is missing."""
        value = self.arguments.get(name)
        return value if isinstance(value, str) else "" if value is None else str(value)


Event = Asked | Said | Did


@dataclass(frozen=True)
class Conversation:
    """`tools` are the names on offer; none means that the client wants prose (a title, a summary)."""

    system: str
    tools: frozenset[str]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Say:
    """A move that ends the turn."""

    text: str


@dataclass(frozen=True)
class Call:
    """A move that calls a tool, with a word on why in `text` (may be empty)."""

    tool: str
    arguments: Mapping[str, Any]
    text: str = ""


Move = Say | Call


def read(request: Mapping[str, Any]) -> Conversation:
    """The request's messages in order, unknown roles passed by. ValueError if there are none."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        raise ValueError("`messages` is missing or is not a list")
    messages = [m for m in messages if isinstance(m, dict)]
    answers = {m.get("tool_call_id"): _text(m.get("content")) for m in messages if m.get("role") == "tool"}
    system: list[str] = []
    events: list[Event] = []
    for message in messages:
        role, text = message.get("role"), _text(message.get("content"))
        if role in ("system", "developer"):
            system.append(text)
        elif role == "user":
            events.append(Asked(text))
        elif role == "assistant":
            if text.strip():
                events.append(Said(text))
            events.extend(_calls(message.get("tool_calls"), answers))
    names = (t.get("function", {}).get("name") for t in request.get("tools") or [] if isinstance(t, dict))
    return Conversation("\n".join(system), frozenset(n for n in names if n), tuple(events))


def _calls(calls: object, answers: Mapping[Any, str]) -> Sequence[Did]:
    done = []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function", {})
        try:
            arguments = json.loads(function.get("arguments") or "{}")
        except ValueError:
            arguments = {}
        if not isinstance(arguments, dict):
            arguments = {}
        done.append(Did(str(function.get("name")), arguments, answers.get(call.get("id"), "")))
    return done


def _text(content: object) -> str:
    """A message's content is a string, or a list of parts of which the text ones count."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
