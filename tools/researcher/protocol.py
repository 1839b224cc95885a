"""The wire: OpenAI's chat completions over HTTP, streamed or whole, as far as opencode needs them."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from researcher.conversation import Call, Conversation, Move, read

MODEL = "embedded"
Policy = Callable[[Conversation], Move]


class Log:
    """Every request with its answer, one JSON object a line in DIR/requests.jsonl; without DIR, nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._path = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / "requests.jsonl"

    def add(self, request: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Append one exchange; `answer` is the assistant's message."""
        if self._path is None:
            return
        entry = {"time": round(time.time(), 3), "request": request, "answer": answer}
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def serve(policy: Policy, port: int, log: Log) -> ThreadingHTTPServer:
    """A server bound to the loopback (`port` 0: a free one), not yet running. OSError when the port is taken."""

    class Handler(_Handler):
        pass

    Handler.policy, Handler.log = staticmethod(policy), log
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    policy: Policy
    log: Log

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the terminal belongs to the client."""

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/models"):
            model = {"id": MODEL, "object": "model", "owned_by": "autoresearch"}
            self._whole(200, {"object": "list", "data": [model]})
        else:
            self._error(404, f"no such path: {self.path}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.path.rstrip("/").endswith("/chat/completions"):
            self._error(404, f"no such path: {self.path}")
            return
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise ValueError("the body is not a JSON object")
            conversation = read(request)
        except ValueError as error:
            self._error(400, str(error))
            return
        message = _message(self.policy(conversation))
        self.log.add(request, message)
        reason = "tool_calls" if "tool_calls" in message else "stop"
        # Four bytes a token is near enough for a client that only wants to know when its window is full.
        usage = {"prompt_tokens": len(body) // 4, "completion_tokens": len(json.dumps(message)) // 4}
        usage["total_tokens"] = sum(usage.values())
        name = request.get("model", MODEL)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": name}
        if request.get("stream"):
            self._stream(_chunks(head, message, reason, usage))
        else:
            choice = {"index": 0, "message": message, "finish_reason": reason}
            self._whole(200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    def _stream(self, chunks: Iterator[Mapping[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def _whole(self, status: int, value: Mapping[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status: int, why: str) -> None:
        self._whole(status, {"error": {"message": why, "type": "invalid_request_error"}})


def _message(move: Move) -> dict[str, Any]:
    if not isinstance(move, Call):
        return {"role": "assistant", "content": move.text}
    function = {"name": move.tool, "arguments": json.dumps(move.arguments, ensure_ascii=False)}
    call = {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}
    return {"role": "assistant", "content": move.text, "tool_calls": [call]}


def _chunks(
    head: Mapping[str, Any], message: Mapping[str, Any], reason: str, usage: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Role, words, calls, end: the order in which clients expect them."""

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**head, "object": "chat.completion.chunk", "choices": [choice]}

    yield chunk({"role": "assistant"})
    if message["content"]:
        yield chunk({"content": message["content"]})
    for index, call in enumerate(message.get("tool_calls", [])):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    yield {**chunk({}, reason), "usage": usage}
