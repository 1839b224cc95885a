"""A checkout of its own for the real client: the working tree as one commit, an empty HOME, a model to talk to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import client, demo
from researcher.conversation import Conversation, Move
from researcher.protocol import Log, serve

ROOT = Path(__file__).parents[2]
TAG = "e2e"
BUDGET = "40960tok"
PATIENCE = "5"  # seconds that a command waits for a run: short enough that the model must come back
TURN_SECONDS = 900
NOBODY = {
    "GIT_AUTHOR_NAME": "e2e",
    "GIT_AUTHOR_EMAIL": "e2e@localhost",
    "GIT_COMMITTER_NAME": "e2e",
    "GIT_COMMITTER_EMAIL": "e2e@localhost",
}


@dataclass(frozen=True)
class Lab:
    """`folder` holds repo/ (the checkout), home/ and requests/ (what the model was asked)."""

    folder: Path
    opencode: Path
    ripgrep: Path
    cache: Path

    @property
    def repo(self) -> Path:
        return self.folder / "repo"

    @property
    def environ(self) -> dict[str, str]:
        """Nothing of the person's own, but for a network that need not be there."""
        return {
            "HOME": str(self.folder / "home"),
            "PATH": os.pathsep.join([str(self.ripgrep.parent), "/usr/bin", "/bin"]),
            "TERM": "dumb",
            "AUTORESEARCH_CACHE": str(self.cache),
            "AUTORESEARCH_PYTHON": sys.executable,
            "AUTORESEARCH_BUDGET": BUDGET,
            "AUTORESEARCH_WAIT": PATIENCE,
            **demo.QUIET,
        }

    def build(self, edit: Callable[[str], str]) -> None:
        """The working tree, with train.py edited, as a repository on a campaign's branch."""
        (self.folder / "home").mkdir(parents=True)
        self.repo.mkdir()
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).exists():
                (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.repo / name, follow_symlinks=False)
        demo.fetch_nothing(self.folder / "home", self.repo)
        train = self.repo / "train.py"
        train.write_text(edit(train.read_text(encoding="utf-8")), encoding="utf-8")
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "the working tree")
        self.git("switch", "--quiet", "-c", f"autoresearch/{TAG}")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.repo, env={**self.environ, **NOBODY}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def client(self, *arguments: str, model: str = "", below: str = ".", **more: str) -> str:
        """What one call of opencode prints; `model` is the address of the model it may use."""
        environ: Mapping[str, str] = {**(demo.with_model(self.environ, model) if model else self.environ), **more}
        done = subprocess.run(
            [str(self.opencode), *arguments],
            cwd=self.repo / below,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TURN_SECONDS,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def turn(self, prompt: str, model: str, below: str = ".", **more: str) -> list[dict[str, Any]]:
        """The client's own account of one turn; `more` is environment."""
        printed = self.client("run", "--format", "json", prompt, model=model, below=below, **more)
        return [json.loads(line) for line in printed.splitlines()]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What the model was asked, and what it answered."""
        lines = (self.folder / "requests" / "requests.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @contextmanager
    def model(self, policy: Callable[[Conversation], Move]) -> Iterator[str]:
        """A model that does what `policy` says; yields its address."""
        server = serve(policy, 0, Log(self.folder / "requests"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            server.server_close()

    @contextmanager
    def researcher(self, ideas: Path, experiments: int) -> Iterator[str]:
        """The embedded researcher as its own process; yields its address."""
        command = [sys.executable, "tools/researcher/server.py", "--catalogue", str(ideas)]
        command += ["--log", str(self.folder / "requests"), "--max-experiments", str(experiments)]
        server = subprocess.Popen(command, cwd=self.repo, env=self.environ, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()
            server.wait()


def find(name: str) -> Path | None:
    return client.find_program(ROOT, name)
