"""The model's endpoint: OpenAI's chat completions as opencode speaks them, with the failures that a night brings.

What is answered is `mind`'s affair, and what goes wrong on the way `weather`'s. Every request is logged, each
message once: requests.jsonl names them by key, messages.jsonl holds them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from researcher.conversation import Conversation, read

from .weather import CALM, Fault

MODEL = "scripted"
BYTES_A_TOKEN = 4  # near enough for a client that only wants to know when its window is full


@dataclass(frozen=True)
class ToolCall:
    """`arguments` as they go over the wire: JSON, as a rule."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """One message of the model. `behaviour` says what kind of thing it does, for the log."""

    behaviour: str
    text: str = ""
    calls: tuple[ToolCall, ...] = ()

    def message(self) -> dict[str, Any]:
        """As the API has it, with ids for the calls."""
        calls = [
            {
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in self.calls
        ]
        return {"role": "assistant", "content": self.text, **({"tool_calls": calls} if calls else {})}


def call(behaviour: str, tool: str, text: str = "", **arguments: Any) -> Reply:
    """A reply with one call that is as it should be."""
    return Reply(behaviour, text, (ToolCall(tool, json.dumps(arguments, ensure_ascii=False)),))


Mind = Callable[[Conversation, int], Reply]  # what is said to the n-th request that offers tools
Weather = Callable[[int], Fault]  # what goes wrong with the n-th request


def kind_of(conversation: Conversation) -> str:
    """What the client wants: chat, with tools, or prose: a title, a compaction, or something else."""
    if conversation.tools:
        return "chat"
    system = conversation.system[:300].lower()
    return "title" if "title" in system else "compaction" if "summariz" in system else "other"


class RequestLog:
    """Requests with their answers in FOLDER/requests.jsonl, the messages they are made of in messages.jsonl."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self.last = time.monotonic()  # when something was asked

    def add(self, request: Mapping[str, Any], kind: str, reply: Reply | None, fault: str) -> None:
        """Append one request; `reply` is None where a failure took its place."""
        with self._lock:
            keys = []
            with (self.folder / "messages.jsonl").open("a", encoding="utf-8") as file:
                for message in request["messages"]:
                    text = json.dumps(message, ensure_ascii=False)
                    key = hashlib.sha256(text.encode()).hexdigest()[:16]
                    keys.append(key)
                    if key not in self._known:
                        self._known.add(key)
                        file.write(json.dumps({"key": key, "message": message}, ensure_ascii=False) + "\n")
            entry = {
                "time": round(time.time(), 3),
                "kind": kind,
                "bytes": len(json.dumps(request)),
                "behaviour": reply.behaviour if reply else "",
                "fault": fault,
                "messages": keys,
            }
            with (self.folder / "requests.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            self.last = time.monotonic()


class Endpoint:
    """Serves `mind` on a port of the loopback that can be closed and opened again."""

    def __init__(self, mind: Mind, weather: Weather, log: RequestLog) -> None:
        self.mind, self.weather, self.log = mind, weather, log
        self.port = 0
        self._counts = {"chat": 0, "prose": 0}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def open(self) -> None:
        """Listen, on the port from before where there was one."""

        class Handler(_Handler):
            endpoint = self

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def count(self, kind: str) -> int:
        """The number of a request: those with tools are counted apart, so that their mix repeats."""
        name = "chat" if kind == "chat" else "prose"
        with self._lock:
            self._counts[name] += 1
            return self._counts[name]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._whole(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = json.loads(body)
        conversation = read(request)
        kind = kind_of(conversation)
        number = self.endpoint.count(kind)
        fault = self.endpoint.weather(number) if kind == "chat" else CALM
        if fault.status:
            self.endpoint.log.add(request, kind, None, fault.name)
            retry = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
            self._whole(fault.status, {"error": {"message": fault.name, "type": "server_error"}}, retry)
            return
        reply = self.endpoint.mind(conversation, number)
        self.endpoint.log.add(request, kind, reply, fault.name)
        time.sleep(fault.hang)
        message = reply.message()
        usage = {"prompt_tokens": len(body) // BYTES_A_TOKEN}
        usage["completion_tokens"] = len(json.dumps(message)) // BYTES_A_TOKEN
        usage["total_tokens"] = sum(usage.values())
        with contextlib.suppress(ConnectionError):  # the client was killed meanwhile
            self._stream(list(chunks(message, usage)), fault)

    def _stream(self, pieces: list[Mapping[str, Any]], fault: Fault) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        if fault.cut:
            pieces = pieces[: max(1, round(fault.cut * (len(pieces) - 1)))]
        for piece in pieces:
            self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
        if not fault.cut:
            self.wfile.write(b"data: [DONE]\n\n")
        elif fault.reset:  # a close that the other side feels as an error
            self.wfile.flush()
            time.sleep(0.05)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def _whole(self, status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, content in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, content)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
        self.close_connection = True


def chunks(message: Mapping[str, Any], usage: Mapping[str, int]) -> Iterator[Mapping[str, Any]]:
    """The message in pieces, words and arguments torn in the middle, so that a cut can strike there."""
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": int(time.time())}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "model": MODEL, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant"})
    for part in halves(message["content"]):
        yield chunk({"content": part})
    calls = message.get("tool_calls", [])
    for index, made in enumerate(calls):
        function = made["function"]
        yield chunk({"tool_calls": [{**made, "index": index, "function": {**function, "arguments": ""}}]})
        for part in halves(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield {**chunk({}, "tool_calls" if calls else "stop"), "usage": usage}


def halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]
