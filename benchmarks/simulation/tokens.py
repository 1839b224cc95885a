"""What an iteration costs: everything new in tool outputs and prompts, from the request log alone.

The system prompt, and the history that a client sends again with each request or has summarized, are not counted:
they are what any loop of this length costs. A tool's output is known by its call; a prompt is new where the
conversation holds it once more often than at the request before, or where the conversation itself is.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BYTES_A_TOKEN = 3  # without a tokenizer: of such text that is more than o200k_base makes, not less
Count = Callable[[str], int]


def counter() -> tuple[str, Count]:
    """A way to count tokens, and its name.

    tiktoken looks for its ranks where TIKTOKEN_CACHE_DIR says, else fetches them; without them bytes are counted.
    """
    try:
        import tiktoken

        encoding = tiktoken.get_encoding("o200k_base")
    except Exception:  # of its many ways to have no network
        return f"{BYTES_A_TOKEN} bytes a token", lambda text: -(-len(text.encode()) // BYTES_A_TOKEN)
    return "o200k_base", lambda text: len(encoding.encode_ordinary(text))


@dataclass(frozen=True)
class Sent:
    """Something that the model was told for the first time: when (unix time), by whom (tool or user), what."""

    time: float
    role: str
    text: str


def news(folder: Path) -> Iterator[Sent]:
    """What the log in `folder` shows to be new, request by request."""
    messages = {entry["key"]: entry["message"] for entry in entries(folder / "messages.jsonl")}
    answered: set[str] = set()  # calls whose output was seen
    before: Counter[str] = Counter()
    for request in entries(folder / "requests.jsonl"):
        if request["kind"] != "chat":
            continue
        told = [messages[key] for key in request["messages"]]
        if is_fresh(told):
            before = Counter()
        prompts: Counter[str] = Counter()
        for message in told:
            text = text_of(message)
            if message["role"] == "tool" and message["tool_call_id"] not in answered:
                answered.add(message["tool_call_id"])
                yield Sent(request["time"], "tool", text)
            elif message["role"] == "user":
                prompts[text] += 1
                if prompts[text] > before[text]:
                    yield Sent(request["time"], "user", text)
        before = prompts


def is_fresh(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a conversation begins here: the model has said nothing in it."""
    return not any(message["role"] == "assistant" for message in messages)


def beginnings(folder: Path) -> list[float]:
    """Unix times at which the model had to begin anew: at a compaction, or in a fresh conversation."""
    messages = {entry["key"]: entry["message"] for entry in entries(folder / "messages.jsonl")}
    return [
        request["time"]
        for request in entries(folder / "requests.jsonl")
        if request["kind"] == "compaction"
        or (request["kind"] == "chat" and is_fresh([messages[key] for key in request["messages"]]))
    ]


def by_iteration(sent: Sequence[Sent], decided: Sequence[float], count: Count) -> list[int]:
    """Tokens of each iteration; the i-th lasts from the decision before, or the beginning, to `decided[i]`."""
    totals = [0] * len(decided)
    for one in sent:
        index = bisect_right(decided, one.time)
        if index < len(totals):
            totals[index] += count(one.text)
    return totals


def entries(path: Path) -> list[dict[str, Any]]:
    """A file of one JSON object a line; a line that a kill tore is passed by."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text, of its parts where it has several."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
