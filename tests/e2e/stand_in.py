"""The real client on a bench that takes a second a run, a model that does not like to work, and hands for both."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import demo
from researcher.conversation import Asked, Call, Conversation, Did, Move, Say

from .lab import ROOT, TAG, Lab

BENCH = ROOT / "tests" / "harness" / "bench"
SECONDS = 300.0  # to wait for anything at most: other work may keep the machine busy


class StandIn(Lab):
    """A checkout whose train.py, prepare.py and evaluate.py are stand-ins; the rest is the project's own."""

    def build(self, edit: Callable[[str], str] = lambda train: train) -> None:
        super().build(edit)
        for name in ("train.py", "prepare.py", "evaluate.py"):
            shutil.copy(BENCH / name, self.repo)
        self.git("commit", "--quiet", "--all", "-m", "a bench that takes a second")
        data = self.cache / "preparations" / "one"
        data.mkdir(parents=True)
        facts = {"key": "one", "profile": "small", "device": "cuda", "budget": "5s", "noise_prior": 0.002}
        meta = {**facts, "splits": {"train": {"bytes": 360, "tokens": 100}}}
        (data / "meta.json").write_text(json.dumps(meta))
        (self.cache / "current.json").write_text(json.dumps({"preparation": str(data)}))

    @property
    def runs(self) -> Path:
        return self.repo / "runs" / TAG

    @property
    def rows(self) -> list[list[str]]:
        """results.tsv without its header."""
        path = self.repo / "results.tsv"
        return [line.split("\t") for line in path.read_text().splitlines()[1:]] if path.exists() else []

    @property
    def paid(self) -> list[dict[str, Any]]:
        """client.jsonl: what each step of the model cost."""
        return [json.loads(line) for line in (self.runs / "client.jsonl").read_text().splitlines()]

    @property
    def told(self) -> list[str]:
        """The user's words in the last request, oldest first; after a compaction, those since then."""
        messages = [r["request"] for r in self.requests if r["request"].get("tools")][-1]["messages"]
        return [text_of(message) for message in messages if message["role"] == "user"]

    def check_books(self) -> None:
        """Every run belongs to one row, and none is there twice."""
        runs = sorted(path.name.split("-")[1] for path in self.runs.glob("[0-9]*-*"))
        assert sorted(row[0] for row in self.rows) == runs


def text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def wait_for(what: str, seen: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until `seen` is true."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s not seen: {what}"
        time.sleep(0.1)


# ---------------------------------------------------------------------------------------------------
# The model


@dataclass
class Lazy:
    """Does one experiment a turn by what `next:` says, then ends its turn with a question."""

    scores: Iterator[float] = field(default_factory=lambda: (1.4 + 0.3 * (n * 0.618 % 1) for n in range(1, 999)))
    heard: set[str] = field(default_factory=set)  # what it was asked to do

    def __call__(self, conversation: Conversation) -> Move:
        if not conversation.tools:
            return Say("Research on train.py")
        events = conversation.events
        start = max((n for n, event in enumerate(events) if isinstance(event, Asked)), default=0)
        asked = events[start]
        done = [event for event in events[start:] if isinstance(event, Did)]
        if isinstance(asked, Asked) and not done:
            self.heard.add(asked.text)
        if isinstance(asked, Asked) and "hello" in asked.text:
            return Say("Hello to you.")
        if not any(event.argument("name") == "autoresearch" for event in events if isinstance(event, Did)):
            return Call("skill", {"name": "autoresearch"})
        if not done:
            return shell("tools/status.py")
        if "sed" in done[-1].argument("command"):
            return shell('scripts/run_experiment.sh -m "exp: another score"')
        following = re.findall(r"^next: (.*)$", done[-1].output, re.MULTILINE)
        if not following:
            return shell("tools/status.py")
        return self.go_on(following[-1], any("log_result" in event.argument("command") for event in done))

    def go_on(self, following: str, logged: bool) -> Move:
        if following.startswith("edit"):
            if logged:
                return Say("That was that. Should I go on?")
            return shell(f"sed -i 's/^SCORE = .*/SCORE = {next(self.scores):.4f}/' train.py")
        if following.startswith("tools/log_result"):
            return shell('tools/log_result.py -d "another score" --note "as it is"')
        if following.startswith("end your turn"):
            return Say("So I stop.")
        return shell(following)


def shell(command: str) -> Call:
    return Call("bash", {"command": command, "description": "the next step"})


# ---------------------------------------------------------------------------------------------------
# The client without a window


@dataclass
class Server:
    """`opencode serve`, spoken to as any other program would."""

    address: str
    process: subprocess.Popen[str]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, data, head, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            content = reply.read()
        return json.loads(content) if content else None

    def session(self) -> str:
        return str(self.ask("POST", "/session", {})["id"])

    def say(self, session: str, text: str, **more: object) -> None:
        """Begin a turn."""
        self.ask("POST", f"/session/{session}/prompt_async", {"parts": [{"type": "text", "text": text}], **more})

    def command(self, session: str, name: str, arguments: str = "") -> None:
        """Use a command, and wait for the turn that it brings."""
        self.ask("POST", f"/session/{session}/command", {"command": name, "arguments": arguments})

    def busy(self, session: str) -> bool:
        return bool(session in self.ask("GET", "/session/status"))

    def messages(self, session: str, role: str) -> list[dict[str, Any]]:
        found = self.ask("GET", f"/session/{session}/message")
        return [message for message in found if message["info"]["role"] == role]


@contextmanager
def served(lab: Lab, model: str, context: int = 128_000, **more: object) -> Iterator[Server]:
    """A server whose model has a window of `context` tokens; `more` goes into the client's configuration."""
    environ = configured(lab, model, context, more)
    process = subprocess.Popen(
        [str(lab.opencode), "serve"],
        cwd=lab.repo,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "listening on" in line)
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield Server(line.split()[-1], process)
    finally:
        process.terminate()
        process.wait()


def configured(lab: Lab, model: str, context: int, more: Mapping[str, object]) -> dict[str, str]:
    environ = demo.with_model(lab.environ, model)
    content = json.loads(environ["OPENCODE_CONFIG_CONTENT"])
    for provider in content["provider"].values():
        for own in provider["models"].values():
            own["limit"] = {"context": context, "output": min(context // 4, 8192)}
    return {**environ, "OPENCODE_CONFIG_CONTENT": json.dumps({**content, **more})}


# ---------------------------------------------------------------------------------------------------
# The client in a terminal


@dataclass
class Window:
    """The client in a terminal of its own; `printed` is all that it wrote there."""

    terminal: int
    process: subprocess.Popen[bytes]
    printed: bytearray = field(default_factory=bytearray)

    def read(self) -> None:
        while True:
            try:
                content = os.read(self.terminal, 65536)
            except OSError:  # the client is gone
                return
            self.printed += content

    def shows(self, text: str) -> bool:
        """Whether a word or so was ever on the screen. Only what is written in one go is found."""
        return text.encode() in self.printed

    def type(self, text: str) -> None:
        """Type a line, at a person's pace: a paste would be shown as one."""
        for key in text:
            os.write(self.terminal, key.encode())
            time.sleep(0.02)
        time.sleep(0.5)
        os.write(self.terminal, b"\r")

    def escape(self) -> None:
        """Interrupt the model."""
        for _ in range(2):
            os.write(self.terminal, b"\x1b")
            time.sleep(0.5)


@contextmanager
def windowed(lab: Lab, model: str, *arguments: str) -> Iterator[Window]:
    """The client's window, 120 columns wide."""
    terminal, inner = pty.openpty()
    os.set_blocking(terminal, True)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environ = {**configured(lab, model, 128_000, {}), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [str(lab.opencode), *arguments],
        cwd=lab.repo,
        env=environ,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    )
    os.close(inner)
    window = Window(terminal, process)
    threading.Thread(target=window.read, daemon=True).start()
    try:
        yield window
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(terminal)


def left_over(lab: Lab) -> list[str]:
    """Command lines of processes that still work in the lab's checkout."""
    found = []
    for entry in Path("/proc").iterdir() if sys.platform == "linux" else ():
        try:
            place, line = (entry / "cwd").readlink(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if place.is_relative_to(lab.repo):
            found.append(line.replace(b"\0", b" ").decode())
    return found
