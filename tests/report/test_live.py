"""The live page: it follows the campaign, and there is nothing else to be had from it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import Refused, record
from harness.report import live
from harness.report.live import Server, Source

from benchmarks import made_up
from tests.harness.lab import Lab
from tests.report.browser import Browser


@pytest.fixture
def server(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(live, "EVERY", 0.05)
    monkeypatch.setattr(live, "BEAT", 0.1)
    made_up.verify(campaign)
    found = Server(Source(campaign, made_up.TAG), "127.0.0.1", 0)
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def ask(server: Server, method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read().decode()


class Events:
    """A stream of events, read one at a time."""

    def __init__(self, server: Server, path: str = "/events", **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()

    def next(self) -> dict[str, str]:
        """Its fields; comments and hints are passed by."""
        fields: dict[str, str] = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                return fields
            else:
                fields = {}

    def until(self, kind: str, wanted: Callable[[Any], bool]) -> Any:
        """The data of the next event of this kind that is as `wanted`; others are passed by."""
        while True:
            event = self.next()
            if event["event"] == kind and wanted(data := json.loads(event["data"])):
                return data

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def newest(campaign: Path) -> Path:
    return max((campaign / "runs" / made_up.TAG).glob("[0-9]*-*"))


def test_the_page_and_nothing_else(server: Server, campaign: Path) -> None:
    answer, html = ask(server, "GET", "/")
    assert answer.status == 200 and '"tag":"made-up"' in html
    assert ask(server, "HEAD", "/")[1] == ""
    paths = ["/report.html", "/etc/passwd", "/../../../../etc/passwd", "/runs/made-up/campaign.json", "/events/x"]
    paths += ["/%2e%2e/%2e%2e/etc/passwd", "/..%2fopencode.json", f"/{campaign}/train.py", "/?/../x", "*"]
    for path in paths:
        answer, words = ask(server, "GET", path)
        expected = 200 if path.startswith("/?") else 404
        assert answer.status == expected, path
        assert expected == 200 or words.startswith("there is the page"), path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X"])
def test_it_only_answers_reading(server: Server, method: str) -> None:
    answer, words = ask(server, method, "/")
    assert answer.status == 501 and words.count("\n") == 1
    assert "default-src 'none'" in str(answer.headers["Content-Security-Policy"])


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "localhost.evil.example"]
)
def test_a_foreign_name_is_refused(server: Server, host: str) -> None:
    """As a browser sends it that was led here by somebody else's DNS."""
    for path in ("/", "/events"):
        answer, words = ask(server, "GET", path, Host=host)
        assert answer.status == 421 and "made-up" not in words


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9000", "127.0.0.1:1", "[::1]:8765", "LOCALHOST", socket.gethostname()]
)
def test_its_own_names_are_known(server: Server, host: str) -> None:
    assert ask(server, "HEAD", "/", Host=host)[0].status == 200


def test_its_headers_forbid_what_is_not_its_own(server: Server) -> None:
    answer, html = ask(server, "GET", "/")
    policy = str(answer.headers["Content-Security-Policy"])
    assert policy == f"{live.policy_of(html)}; frame-ancestors 'none'"
    assert "connect-src 'self'" in policy and "default-src 'none'" in policy
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Access-Control-Allow-Origin"] is None
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_verify_found_is_not_served(server: Server) -> None:
    _, html = ask(server, "GET", "/")
    events = Events(server)
    sent = events.next()["data"]
    events.close()
    assert '"verified":[]' in html and '"verified":[]' in sent
    assert "pairs on" not in html and "pairs on" not in sent


def test_the_run_in_progress_moves(server: Server, campaign: Path) -> None:
    _, html = ask(server, "GET", "/")
    seen = json.loads(html.partition('id="facts">')[2].partition("</script>")[0])["live"]
    events = Events(server, f"/events?seen={seen}")
    assert events.next() == {"event": "run", "data": "null"}, "no facts: it has them"
    run = made_up.running(campaign, 0.4)
    held = record.take_lock(run.path / "run.lock")
    assert held is not None
    told = events.until("run", lambda told: told is not None)
    assert told["number"] == run.request.number and told["message"] == "one that is in progress"
    assert told["share"] == pytest.approx(0.4) and told["progress"].startswith("40 % | step")
    line = {"step": 999, "progress": 0.9, "seconds": 99.0, "tokens": 140_000, "loss": 5.0}
    with (run.path / "curve.jsonl").open("a") as curve:
        curve.write(json.dumps(line) + "\n")
    told = events.until("run", lambda told: told["share"] == 0.9)
    assert told["curve"]["tokens"][-1] == 140_000
    os.close(held)
    assert events.until("run", lambda told: told is None) is None
    events.close()


def test_after_a_lost_connection_only_what_is_new(server: Server, campaign: Path) -> None:
    events = Events(server)
    first = events.next()
    events.close()
    assert first["event"] == "facts"
    events = Events(server, **{"Last-Event-ID": first["id"]})
    assert events.next()["event"] == "run"
    path = newest(campaign)
    decision = record.read(path)
    assert decision is not None and decision.decision is not None
    record.write(path, replace(decision.decision, description="another word for it"))
    told = events.until("facts", lambda told: True)
    events.close()
    assert told["live"] != first["id"] and told["trials"][-1]["description"] == "another word for it"


def test_a_campaign_that_vanishes_ends_nothing(server: Server, campaign: Path) -> None:
    events = Events(server)
    assert [events.next()["event"], events.next()["event"]] == ["facts", "run"]
    shutil.move(campaign / "runs", campaign / "away")
    events.until("facts", lambda told: told["trials"] == [])
    shutil.move(campaign / "away", campaign / "runs")
    events.until("facts", lambda told: len(told["trials"]) > 1)
    events.close()


def test_so_many_streams_and_no_more(server: Server) -> None:
    streams = [Events(server) for _ in range(live.STREAMS_MOST)]
    answer, words = ask(server, "GET", "/events")
    assert answer.status == 503 and "pages are open already" in words
    streams[0].close()
    deadline = time.monotonic() + 20
    while (more := Events(server)).answer.status != 200:
        more.close()
        assert time.monotonic() < deadline
    for stream in [*streams[1:], more]:
        stream.close()


def test_a_port_in_use_is_one_line(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = lab.call("report.py", "--serve", str(port))
    assert answer.code == 2 and answer.out == ""
    assert re.fullmatch(f"report: port {port} on 127.0.0.1 is in use: name another one, .*\n", answer.err)


def test_an_address_of_another_machine_is_one_line(campaign: Path) -> None:
    with pytest.raises(Refused, match="name an address of this machine"):
        Server(Source(campaign, made_up.TAG), "192.0.2.1", 0)


def test_the_live_page_in_a_browser(server: Server, campaign: Path, chromium: Browser) -> None:
    chromium.open(server.url)
    chromium.wait_for("document.getElementById('live-state').textContent.startsWith('Live: ')")
    assert chromium.text("#live-run") == "No run is in progress."
    run = made_up.running(campaign, 0.4)
    held = record.take_lock(run.path / "run.lock")
    assert held is not None
    chromium.wait_for("document.getElementById('live-run').textContent.includes('40 % | step')")
    chromium.wait_for("document.getElementById('curves-table').textContent.includes('in progress: ')")
    assert chromium.evaluate("document.getElementById('live-share').value") == pytest.approx(0.4)
    chromium.wait_for(f"document.querySelector('#rows tr').dataset.number === '{run.request.number}'")
    line = {"step": 999, "progress": 0.9, "seconds": 99.0, "tokens": 140_000, "loss": 5.0}
    with (run.path / "curve.jsonl").open("a") as curve:
        curve.write(json.dumps(line) + "\n")
    chromium.wait_for("document.getElementById('curves-table').textContent.includes('140k')")
    os.close(held)
    chromium.wait_for("document.getElementById('live-run').textContent === 'No run is in progress.'")
    assert chromium.complaints == []


def test_it_connects_again(campaign: Path, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes, and comes back on the same port."""
    monkeypatch.setattr(live, "EVERY", 0.05)
    first = Server(Source(campaign, made_up.TAG), "127.0.0.1", 0)
    port = first.server_address[1]
    threading.Thread(target=first.serve_forever, kwargs={"poll_interval": 0.02}).start()
    chromium.open(first.url)
    chromium.wait_for("document.getElementById('live-state').textContent.startsWith('Live: ')")
    first.shutdown()
    first.server_close()
    chromium.wait_for("document.getElementById('live-state').textContent.startsWith('Not connected')")
    second = Server(Source(campaign, made_up.TAG), "127.0.0.1", int(port))
    threading.Thread(target=second.serve_forever, kwargs={"poll_interval": 0.02}).start()
    chromium.wait_for("document.getElementById('live-state').textContent.startsWith('Live: ')")
    second.shutdown()
    second.server_close()
