"""The page over HTTP, following the campaign: one page and its stream of events, and nothing else can be read.

Read-only: GET and HEAD of two fixed paths, no file is ever opened by a name that a client sent. A browser on this
machine may be led here by a foreign page, so a request must name this server in its Host header (no name that
somebody else's DNS answers for), and answers forbid every other origin to use them. What was found on held-out
text is not served: whatever runs on this machine can read a port. All that is written is the index of what was
tried, runs/.recall.sqlite, which is brought up to date.

    GET /             the page
    GET /events       server-sent events: `facts` when the campaign has changed since the version in `?seen=` (or
                      in Last-Event-ID, after a lost connection), `run` while a run is in progress
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .. import Refused, attend, curve, record
from .. import campaign as campaigns
from ..branch import Git
from . import book, curves, page
from .curves import Curve
from .facts import Facts, clean, gather

EVERY = 1.0  # seconds between two looks at the campaign
BEAT = 15.0  # seconds after which a stream says that it is still there
STREAMS_MOST = 16
_STALLED = 30.0  # seconds after which a client that takes nothing is let go
_FILES = ("record.json", "decision.json", "trained.json")

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Version:
    """The campaign at one moment. `name` changes whenever it does; `data`: the facts as JSON; `html`: the page."""

    name: str
    data: str
    html: str


class Source:
    """The campaign `tag` of the checkout `root`, read again only when it has changed."""

    def __init__(self, root: Path, tag: str) -> None:
        self.root, self.tag = root, tag
        self._lock = threading.Lock()
        self._version: Version | None = None
        self._sign = ""
        self._curves: dict[int, Curve] = {}  # of runs that are over
        self._diffs: dict[str, str] = {}

    def version(self) -> Version:
        """The newest one. Raises Refused where the campaign's pin cannot be read."""
        with self._lock:
            sign = self._look()
            if self._version is None or sign != self._sign:
                self._version, self._sign = self._read(sign), sign
            return self._version

    def run(self) -> str:
        """The run in progress, as JSON; `null` where there is none."""
        newest = self._newest()
        if newest is None or not record.is_locked(newest / "run.lock"):
            return "null"
        request = record.request(newest)
        if request is None:
            return "null"
        points = curve.read(newest / "curve.jsonl")
        drawn = curves.columns(request.number, request.experiment, points) if points else None
        return page.encode(
            {
                "number": request.number,
                "message": clean(request.message.removeprefix("exp: ")),
                "progress": attend.progress(newest),
                "share": min(max(points[-1].progress, 0.0), 1.0) if points else 0.0,
                "curve": asdict(drawn) if drawn else None,
            }
        )

    def _read(self, sign: str) -> Version:
        found = book.read(self.root, self.tag)
        facts = gather(found, Git(self.root), False, self._curves, self._diffs)
        over = {run.request.number for run in found.runs if run.record is not None}
        self._curves = {one.run: one for one in facts.curves if one.run in over}
        self._diffs = {one.commit: one.diff for one in facts.trials if one.diff}
        return Version(sign, page.encode({**asdict(facts), "live": sign}), page.render(facts, _text(facts), sign))

    def _look(self) -> str:
        """A sign that changes with every run that begins, ends or is decided."""
        newest = self._newest()
        if newest is None:
            return "none"
        parts = [newest.name]
        for name in _FILES:
            with contextlib.suppress(OSError):
                parts.append(f"{name[0]}{(newest / name).stat().st_mtime_ns}")
        parts.append("r" if record.is_locked(newest / "run.lock") else "")
        return "-".join(parts)

    def _newest(self) -> Path | None:
        folder = campaigns.folder(self.root, self.tag)
        try:
            names = [entry.name for entry in os.scandir(folder) if entry.name[:1].isdigit()]
        except OSError:
            return None
        return folder / max(names, key=lambda name: (len(name.partition("-")[0]), name)) if names else None


def _text(facts: Facts) -> list[str]:
    return [f"campaign {facts.tag}: the page needs scripts; tools/report.py --text prints it as plain lines"]


class Server(ThreadingHTTPServer):
    """`url`: where it is."""

    daemon_threads = True

    def __init__(self, source: Source, host: str, port: int) -> None:
        self.source, self.host = source, host
        self.streams = threading.BoundedSemaphore(STREAMS_MOST)
        self.closing = threading.Event()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise Refused(_why_not(error, host, port)) from None
        except OverflowError:
            raise Refused(f"{port} is no port: 0 to 65535") from None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def server_bind(self) -> None:
        """As in TCPServer: HTTPServer's also asks the network for this machine's name, which may take long."""
        super(ThreadingHTTPServer, self).server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error, and no traceback is for a person's terminal."""

    def shutdown(self) -> None:
        self.closing.set()
        super().shutdown()

    def is_ours(self, host: str | None) -> bool:
        """Whether a Host header names this server: an address, or a name that no foreign DNS can answer for."""
        name = urlsplit(f"//{host or ''}").hostname or ""
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return name in {"localhost", self.host.lower(), socket.gethostname().lower()}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    server_version, sys_version = "autoresearch", ""
    protocol_version = "HTTP/1.1"
    timeout = _STALLED

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no request that this server knows."""
        self._plain(HTTPStatus(code), "there is nothing but GET and HEAD of the page (/) and its events", True)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are no news."""

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        if not self.server.is_ours(self.headers.get("Host")):
            self._plain(HTTPStatus.MISDIRECTED_REQUEST, "this server is not known by that name", body)
        elif path == "/":
            self._page(body)
        elif path == "/events":
            self._events(body)
        else:
            self._plain(HTTPStatus.NOT_FOUND, "there is the page (/) and its events (/events)", body)

    def _page(self, body: bool) -> None:
        try:
            html = self.server.source.version().html
        except (Refused, OSError) as error:
            self._plain(HTTPStatus.SERVICE_UNAVAILABLE, f"the campaign cannot be read: {error}", body)
            return
        self._head(HTTPStatus.OK, "text/html; charset=utf-8", len(raw := html.encode()), policy_of(html))
        if body:
            self.wfile.write(raw)

    def _plain(self, status: HTTPStatus, words: str, body: bool) -> None:
        raw = f"{words}\n".encode()
        self._head(status, "text/plain; charset=utf-8", len(raw), "default-src 'none'")
        if body:
            self.wfile.write(raw)

    def _head(self, status: HTTPStatus, kind: str, length: int | None, policy: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", f"{policy}; frame-ancestors 'none'")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if length is None:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _events(self, body: bool) -> None:
        if not self.server.streams.acquire(blocking=False):
            self._plain(HTTPStatus.SERVICE_UNAVAILABLE, f"{STREAMS_MOST} pages are open already", body)
            return
        try:
            self._head(HTTPStatus.OK, "text/event-stream", None, "default-src 'none'")
            if body:
                self._stream()
        finally:
            self.server.streams.release()

    def _stream(self) -> None:
        """Until the client goes away, or the server."""
        asked = parse_qs(self.path.partition("?")[2]).get("seen", [""])[0]
        seen = self.headers.get("Last-Event-ID") or asked
        told, spoke = "", time.monotonic()
        self.wfile.write(b"retry: 2000\n\n")
        while True:
            events = []
            with contextlib.suppress(Refused, OSError):  # it may be whole again at the next look
                version = self.server.source.version()
                if version.name != seen:
                    seen = version.name
                    events.append(f"id: {seen}\nevent: facts\ndata: {version.data}\n\n")
                if (run := self.server.source.run()) != told:
                    told = run
                    events.append(f"event: run\ndata: {run}\n\n")
            if not events and time.monotonic() - spoke > BEAT:
                events.append(": still here\n\n")
            if events:
                self.wfile.write("".join(events).encode())
                self.wfile.flush()
                spoke = time.monotonic()
            if self.server.closing.wait(EVERY):
                return


def policy_of(html: str) -> str:
    """The policy that a page carries, to be said in the header as well."""
    return html.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        another = port + 1 if port < 65535 else port - 1
        return f"port {port} on {host} is in use: name another one, --serve {another}"
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by you: name one above 1023, --serve 8765"
    return f"{host} port {port} cannot be listened on ({error.strerror or error}): name an address of this machine"
