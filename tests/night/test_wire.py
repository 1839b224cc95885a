"""The endpoint and the ways in which it fails, as a client feels them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.simulation import schedule, weather
from benchmarks.simulation.tokens import entries
from benchmarks.simulation.weather import CALM, Fault
from benchmarks.simulation.wire import Endpoint, RequestLog, call

TOOL = {"type": "function", "function": {"name": "bash"}}
REQUEST = {"messages": [{"role": "user", "content": "Begin."}], "tools": [TOOL], "stream": True}
ANSWER = call("diligent", "bash", "So be it.", command="tools/status.py")


@contextmanager
def serving(folder: Path, fault: Fault = CALM) -> Iterator[Endpoint]:
    endpoint = Endpoint(lambda conversation, number: ANSWER, lambda number: fault, RequestLog(folder))
    endpoint.open()
    try:
        yield endpoint
    finally:
        endpoint.close()


def ask(endpoint: Endpoint) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps(REQUEST))
    return connection.getresponse()


def stream(answer: http.client.HTTPResponse) -> list[dict[str, Any]]:
    lines = [line for line in answer.read().decode().splitlines() if line]
    return [json.loads(line.removeprefix("data: ")) for line in lines if not line.endswith("[DONE]")]


def put_together(pieces: list[dict[str, Any]]) -> tuple[str, str]:
    """The words, and the arguments of the call."""
    deltas = [piece["choices"][0]["delta"] for piece in pieces]
    calls = [made for delta in deltas for made in delta.get("tool_calls", [])]
    words = "".join(delta.get("content", "") for delta in deltas)
    return words, "".join(made["function"]["arguments"] for made in calls)


def test_an_answer_arrives_in_pieces(tmp_path: Path) -> None:
    with serving(tmp_path) as endpoint:
        pieces = stream(ask(endpoint))
    assert put_together(pieces) == ("So be it.", ANSWER.calls[0].arguments)
    assert pieces[-1]["choices"][0]["finish_reason"] == "tool_calls" and pieces[-1]["usage"]["total_tokens"] > 0
    (entry,) = entries(tmp_path / "requests.jsonl")
    assert (entry["kind"], entry["behaviour"], entry["fault"]) == ("chat", "diligent", "")


def test_an_error_is_an_error(tmp_path: Path) -> None:
    with serving(tmp_path, Fault("429, Retry-After", status=429, retry_after=2)) as endpoint:
        answer = ask(endpoint)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
    assert entries(tmp_path / "requests.jsonl")[0]["behaviour"] == ""


@pytest.mark.parametrize(("cut", "torn"), [(0.3, 0), (0.8, 1)])
def test_a_stream_is_cut_in_its_words_or_in_its_call(tmp_path: Path, cut: float, torn: int) -> None:
    with serving(tmp_path, Fault("cut", cut=cut)) as endpoint:
        made = put_together(stream(ask(endpoint)))
    whole = ("So be it.", ANSWER.calls[0].arguments)
    assert whole[torn].startswith(made[torn]) and 0 < len(made[torn]) < len(whole[torn])


def test_a_reset_is_felt(tmp_path: Path) -> None:
    with serving(tmp_path, Fault("cut", cut=0.5, reset=True)) as endpoint:
        answer = ask(endpoint)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            answer.read()


def test_a_closed_port_refuses_and_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path) as endpoint:
        port = endpoint.port
        endpoint.close()
        with pytest.raises(ConnectionError):
            ask(endpoint)
        endpoint.open()
        assert endpoint.port == port and ask(endpoint).status == 200


def test_the_weather_repeats_and_is_mostly_calm() -> None:
    faults = [weather.weather(3, number) for number in range(2000)]
    assert faults == [weather.weather(3, number) for number in range(2000)]
    assert {fault.name for fault in faults} == {"", *(fault.name for fault in weather.FAULTS)}
    assert 0.02 < sum(fault != CALM for fault in faults) / len(faults) < 0.06


@pytest.mark.parametrize(("experiments", "wanted"), [(10, (1, 1)), (100, (12, 2))])
def test_the_schedule_has_what_a_night_is_to_have(experiments: int, wanted: tuple[int, int]) -> None:
    plan: Callable[[int], list[schedule.Blow]] = lambda seed: schedule.plan(experiments, seed)  # noqa: E731
    for seed in range(20):
        kinds = [blow.what for blow in plan(seed)]
        assert (kinds.count(schedule.KILL), kinds.count(schedule.REBOOT)) == wanted
        assert kinds.count(schedule.OUTAGE) == 2 and kinds.count(schedule.STOP) == kinds.count(schedule.STEER) == 1
        assert all(blow.after <= experiments - 2 for blow in plan(seed))
    assert plan(1) == plan(1) != plan(2)
    longest = max(blow.seconds for blow in plan(0))
    assert longest >= 75 if experiments >= schedule.LONG else longest <= 15
