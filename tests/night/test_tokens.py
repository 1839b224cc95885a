"""What an iteration costs, from a request log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.simulation import report, tokens
from benchmarks.simulation.course import WISH
from benchmarks.simulation.tokens import Sent
from benchmarks.simulation.wire import Reply, RequestLog

SYSTEM = {"role": "system", "content": "long " * 100}
FIRST = {"role": "user", "content": "Begin."}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def told(call: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": text}


def log(folder: Path, *requests: list[dict[str, Any]], kind: str = "chat") -> RequestLog:
    made = RequestLog(folder)
    for messages in requests:
        made.add({"messages": messages}, kind, Reply("diligent"), "")
    return made


def texts(folder: Path) -> list[str]:
    return [sent.text for sent in tokens.news(folder)]


def test_everything_is_counted_once(tmp_path: Path) -> None:
    begun = [SYSTEM, FIRST]
    then = [*begun, said("a"), told("1", "out")]
    log(tmp_path, begun, then, then, [*then, said("b"), told("2", "out")])
    assert texts(tmp_path) == ["Begin.", "out", "out"]


def test_the_same_prompt_again_is_another_prompt(tmp_path: Path) -> None:
    begun = [SYSTEM, FIRST, said("a")]
    log(tmp_path, begun, [*begun, FIRST], [*begun, FIRST, said("b"), FIRST])
    assert texts(tmp_path) == ["Begin."] * 3


def test_a_fresh_conversation_begins_anew(tmp_path: Path) -> None:
    log(tmp_path, [SYSTEM, FIRST], [SYSTEM, FIRST, said("a"), told("1", "out")], [SYSTEM, FIRST])
    assert texts(tmp_path) == ["Begin.", "out", "Begin."]
    assert report.sessions(tmp_path) == 2


def test_what_is_told_again_for_a_summary_is_not_counted(tmp_path: Path) -> None:
    made = log(tmp_path, [SYSTEM, FIRST])
    made.add({"messages": [SYSTEM, {"role": "user", "content": "all of it"}]}, "compaction", Reply("prose"), "")
    made.add({"messages": [SYSTEM, FIRST, said("s"), {"role": "user", "content": "Go."}]}, "chat", None, "")
    assert texts(tmp_path) == ["Begin.", "Go."]


def test_where_the_model_begins_anew(tmp_path: Path) -> None:
    made = log(tmp_path, [SYSTEM, FIRST], [SYSTEM, FIRST, said("a")])
    made.add({"messages": [SYSTEM, {"role": "user", "content": "all of it"}]}, "compaction", Reply("prose"), "")
    made.add({"messages": [SYSTEM, {"role": "user", "content": "?"}]}, "title", Reply("prose"), "")
    assert len(tokens.beginnings(tmp_path)) == 2


def test_a_torn_line_is_passed_by(tmp_path: Path) -> None:
    log(tmp_path, [SYSTEM, FIRST])
    with (tmp_path / "requests.jsonl").open("a") as file:
        file.write('{"time": 1, "ki')
    assert texts(tmp_path) == ["Begin."]


def test_an_iteration_lasts_from_decision_to_decision() -> None:
    sent = [Sent(1.0, "user", "aa"), Sent(2.5, "tool", "b"), Sent(9.0, "tool", "ccc"), Sent(11.0, "tool", "d")]
    assert tokens.by_iteration(sent, [2.0, 3.0, 10.0], len) == [2, 1, 3]


def test_parts_are_joined() -> None:
    assert tokens.text_of({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}) == "ab"
    assert tokens.text_of({"content": None}) == ""


def test_a_tokenizer_is_found_or_stood_in_for(tmp_path: Path) -> None:
    name, count = tokens.counter()
    assert name in ("o200k_base", "3 bytes a token")
    assert count("val_bpb 3.941432\n") >= 4


def test_steering_is_seen_when_the_next_iteration_shows_it() -> None:
    wish = Sent(25.0, "tool", f"## Ideas\n\n{WISH}\n")
    assert report.steering_seen([wish], 12.0, [10.0, 20.0, 30.0])
    assert not report.steering_seen([wish], 5.0, [10.0, 20.0, 30.0])  # an iteration too late
    assert not report.steering_seen([], 12.0, [10.0, 20.0])


def test_quantiles() -> None:
    assert [report.quantile([3, 1, 2], share) for share in (0.0, 0.5, 0.95)] == [1.0, 2.0, 3.0]
    assert report.quantile([], 0.5) == 0.0
