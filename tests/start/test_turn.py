"""Following a turn of the client: how it ended, and when it has to be cut short."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from harness.turn import IDLE_MOST, REPEATS_MOST, Event, Repeats, follow

from tests.start.test_client import speaking


def test_a_turn_is_followed_to_its_end(tmp_path: Path) -> None:
    agent = speaking(
        tmp_path,
        """
print(json.dumps({"type": "text", "sessionID": "s1", "part": {"text": " ".join(sys.argv[1:])}}))
print("not JSON at all")
print(json.dumps({"type": "error", "sessionID": "s1", "error": {"data": {"message": "no credit"}}}))
""",
    )
    seen: list[Event] = []
    took = follow(agent.turn("go", "s0"), seen.append, lambda: False)
    assert [event["type"] for event in seen] == ["text", "error"]
    assert seen[0]["part"]["text"] == "run --format json --model a/b --session s0 go"
    assert (took.session, took.error) == ("s1", "no credit")


def test_a_client_that_fails_without_a_word_is_an_error(tmp_path: Path) -> None:
    took = follow(speaking(tmp_path, "sys.exit(3)").turn("go", None), print, lambda: False)
    assert "exit code 3" in took.error


def test_a_client_that_is_killed_has_crashed(tmp_path: Path) -> None:
    took = follow(speaking(tmp_path, "os.kill(os.getpid(), 9)").turn("go", None), print, lambda: False)
    assert took.crashed and "SIGKILL" in took.error


def test_what_it_says_at_its_end_is_why(tmp_path: Path) -> None:
    agent = speaking(tmp_path, 'sys.exit("Error: no such model")')
    took = follow(agent.turn("go", None), print, lambda: False)
    assert took.crashed and took.error == "Error: no such model"


def call(command: str, code: int | None = 0, status: str = "completed") -> Event:
    return {"tool": "bash", "state": {"status": status, "input": {"command": command}, "metadata": {"exit": code}}}


def test_a_failing_call_again_and_again() -> None:
    repeats = Repeats()
    said = [repeats.add(call("tools/xyz", 127)) for _ in range(REPEATS_MOST)]
    assert not any(said[:-1]) and "tools/xyz" in said[-1]


@pytest.mark.parametrize(
    "other",
    [call("tools/xyz", 0), call("tools/abc", 1), call("scripts/run_experiment.sh --wait", 75)],
)
def test_anything_in_between_is_a_new_beginning(other: Event) -> None:
    repeats = Repeats()
    for _ in range(3):
        for _ in range(REPEATS_MOST - 1):
            assert not repeats.add(call("tools/xyz", 1))
        assert not repeats.add(other)


def test_waiting_is_not_failing() -> None:
    repeats = Repeats()
    assert not any(repeats.add(call("scripts/run_experiment.sh --wait", 75)) for _ in range(50))


def test_a_refused_call_counts() -> None:
    repeats = Repeats()
    assert any(repeats.add(call("git push", None, "error")) for _ in range(REPEATS_MOST))


def test_a_malformed_call_counts() -> None:
    repeats = Repeats()
    part = {"tool": "invalid", "state": {"status": "completed", "input": {"tool": "bsh", "error": "no such tool"}}}
    assert any(repeats.add(part) for _ in range(REPEATS_MOST))


def test_reading_without_an_end() -> None:
    repeats = Repeats()
    said = [repeats.add({"tool": "read", "state": {"input": {"filePath": str(n)}}}) for n in range(IDLE_MOST)]
    assert not any(said[:-1]) and "without an experiment" in said[-1]
    assert not repeats.add(call("scripts/run_experiment.sh -m x"))


def test_a_stuck_turn_is_cut_short(tmp_path: Path) -> None:
    part = json.dumps(call("tools/xyz", 1))
    script = f"""
for _ in range(99):
    print(json.dumps({{"type": "tool_use", "sessionID": "s1", "part": json.loads({part!r})}}), flush=True)
time.sleep(60)
"""
    process = speaking(tmp_path, script).turn("go", None)
    took = follow(process, lambda event: None, lambda: False)
    assert took.calls == REPEATS_MOST and "times in a row" in took.stuck
    assert process.returncode == -signal.SIGTERM and not took.crashed


def test_an_endpoint_that_refuses(tmp_path: Path) -> None:
    error = {"type": "error", "error": {"name": "APIError", "data": {"message": "no", "isRetryable": False}}}
    took = follow(speaking(tmp_path, f"print(json.dumps({error!r})); sys.exit(1)").turn("go", None), print, bool)
    assert (took.error, took.retryable, took.crashed) == ("no", False, False)
