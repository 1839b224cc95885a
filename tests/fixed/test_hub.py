"""Downloading ClimbMix, against a small server on this machine that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fixed.conftest import ROOT
from tests.fixed.test_corpus import run_prepare

REVISION = "0123456789abcdef0123456789abcdef01234567"
SAMPLE = ROOT / "data" / "sample"


class Hub(ThreadingHTTPServer):
    """Serves shards 0, 1, 6541 and 6542; what is in `broken` is answered by an error or a torn file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        small, other = ((SAMPLE / f"shard_0000{i}.parquet").read_bytes() for i in (3, 4))
        self.shards = {0: small, 1: other, 6542: small, 6541: other}
        self.broken: dict[int, str] = {}
        self.revision = REVISION
        self.fetched: list[tuple[str, int]] = []  # revision asked for, shard

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path.startswith("/api/datasets/"):
            info = {"id": "karpathy/climbmix-400b-shuffle", "sha": self.server.revision, "siblings": []}
            self.answer(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
            return
        match = re.search(r"/resolve/([^/]+)/shard_(\d{5})\.parquet", self.path)
        if match is None or int(match[2]) not in self.server.shards:
            self.answer(404, b"no such file", {"X-Error-Code": "EntryNotFound"})
            return
        index = int(match[2])
        broken = self.server.broken.get(index)
        if broken == "error":
            self.answer(403, b"forbidden")
            return
        data = self.server.shards[index]
        if broken == "torn":
            data = data[: len(data) // 2]
        if self.command == "GET":
            self.server.fetched.append((match[1], index))
        digest = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": match[1], "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.command == "GET":
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], headers)
        else:
            self.answer(200, data, headers)

    do_HEAD = do_GET


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def download(hub: Hub, cache: Path):
    return run_prepare(
        "--profile", "small", "--source", "climbmix", "--shards", "2", cache=cache,
        HF_ENDPOINT=hub.url, HF_HOME=str(cache / "hf"), HF_HUB_DISABLE_XET="1",
    )  # fmt: skip


def test_failures_are_named_good_shards_kept_and_the_revision_pinned(hub, tmp_path):
    hub.broken = {1: "error", 6541: "torn"}
    done = download(hub, tmp_path)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("prepare: 2 of 4 shards failed: shard_00001") and "shard_06541" in last
    assert "Traceback" not in done.stderr
    kept = sorted(path.name for path in (tmp_path / "climbmix").glob("*.parquet"))
    assert kept == ["shard_00000.parquet", "shard_06542.parquet"]

    hub.broken, hub.revision, before = {}, "f" * 40, len(hub.fetched)
    done = download(hub, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "climbmix" / "revision.json").read_text())["revision"] == REVISION
    assert sorted(set(hub.fetched[before:])) == [(REVISION, 1), (REVISION, 6541)]
    meta = json.loads(run_prepare("--show", cache=tmp_path).stdout)
    assert meta["source"] == "climbmix" and meta["splits"]["val"]["documents"] == 289


def test_no_network_is_one_line(hub, tmp_path):
    hub.shutdown()
    hub.server_close()
    done = download(hub, tmp_path)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("prepare: cannot reach karpathy/climbmix") and "--source sample" in last
