"""The wire: both forms of an answer, errors, the log; and the command itself."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from researcher.conversation import Asked, Call, Conversation, Did, Move, Said, Say, read
from researcher.protocol import Log, serve

SERVER = Path(__file__).parents[2] / "tools" / "researcher" / "server.py"
TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {}}}]


def policy(conversation: Conversation) -> Move:
    return Call("bash", {"command": "écho"}, "[x] why") if conversation.tools else Say("words")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    server = serve(policy, 0, Log(tmp_path / "log"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def post(address: str, body: bytes, path: str = "/chat/completions") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, body), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def request(**more: Any) -> bytes:
    return json.dumps({"model": "embedded", "messages": [{"role": "user", "content": "go"}], **more}).encode()


def test_a_whole_answer(address: str, tmp_path: Path):
    status, text = post(address, request())
    answer = json.loads(text)
    assert status == 200 and answer["object"] == "chat.completion" and answer["usage"]["total_tokens"] > 0
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "words"}
    assert answer["choices"][0]["finish_reason"] == "stop"
    (entry,) = [json.loads(line) for line in (tmp_path / "log" / "requests.jsonl").read_text().splitlines()]
    assert entry["request"]["messages"][0]["content"] == "go" and entry["answer"]["content"] == "words"


def test_a_streamed_call(address: str):
    status, text = post(address, request(stream=True, tools=TOOLS))
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert status == 200 and lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant"} and deltas[1] == {"content": "[x] why"}
    assert json.loads(deltas[2]["tool_calls"][0]["function"]["arguments"]) == {"command": "écho"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "tool_calls"]
    assert chunks[-1]["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"messages": 3}'])
def test_a_request_that_cannot_be_read_is_an_error(address: str, body: bytes):
    status, text = post(address, body)
    assert status == 400 and json.loads(text)["error"]["message"]


def test_other_paths(address: str):
    assert post(address, request(), "/embeddings")[0] == 404
    with urllib.request.urlopen(address + "/models", timeout=10) as answer:
        assert json.loads(answer.read())["data"][0]["id"] == "embedded"


def test_messages_become_events():
    messages = [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": [{"type": "text", "text": "go"}]},
        {"role": "assistant", "content": "why", "tool_calls": [
            {"id": "1", "function": {"name": "bash", "arguments": '{"command": "ls"}'}},
            {"id": "2", "function": {"name": "read", "arguments": "{broken"}},
        ]},
        {"role": "tool", "tool_call_id": "1", "content": "files"},
        {"role": "function", "content": "?"},
        "nonsense",
    ]  # fmt: skip
    conversation = read({"messages": messages, "tools": TOOLS})
    assert conversation.system == "rules" and conversation.tools == {"bash"}
    assert conversation.events == (
        Asked("go"),
        Said("why"),
        Did("bash", {"command": "ls"}, "files"),
        Did("read", {}, ""),
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SERVER), *arguments], capture_output=True, text=True, timeout=30)


def test_a_bad_catalogue_and_a_taken_port_are_one_line(tmp_path: Path, address: str):
    for arguments in (["--catalogue", str(tmp_path / "no.json")], ["--port", address.split(":")[2].split("/")[0]]):
        done = run(*arguments)
        assert done.returncode == 2 and done.stderr.startswith("researcher: ") and done.stderr.count("\n") == 1


def test_the_command_says_where_it_listens_and_ends_on_sigterm():
    process = subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    where = process.stdout.readline().strip().removeprefix("listening on ")
    assert "skill" not in where and post(where, request())[0] == 200
    process.terminate()
    assert process.wait(10) == 0
