"""What the demonstration needs beside a campaign: a clone of its own, and the embedded researcher as its model.

    .demo/autoresearch/   the clone, with a campaign of its own; made afresh each time
    .demo/home/           HOME of the client, so that a person's settings for it are neither read nor written
    .demo/cache/          points at the shared preparations; which one is in force is the demo's own affair
    .demo/requests/       what the client and the researcher said to each other
    .demo/processes.json  what runs, so that the next demo can end what a kill left behind
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import Refused, client, preparation, record
from .branch import PREFIX, TRAIN, Git
from .text import read_json, write_json, write_whole

TAG = "demo"
BUDGET = "200000tok"  # in tokens, so that the digits repeat on one machine
EXPERIMENTS = 5
# Set back at the clone's starting point, so that a short demo has something to find: name to worse value.
SET_BACK = {"SMALL_TOTAL_BATCH": "2**14", "SMALL_EMBEDDING_LR": "0.05"}
SERVER = Path("tools", "researcher", "server.py")
# opencode fetches the package for plugins at each launch, and waits long where there is no network; it takes this
# for done. Our plugin imports nothing.
NO_PACKAGES = {"lockfileVersion": 3, "packages": {"": {"dependencies": {"@opencode-ai/plugin": "*"}}}}

# For a client that is to look at nothing but the checkout and the configuration it is given.
QUIET = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_CLAUDE_CODE": "1",
}


@dataclass(frozen=True)
class Place:
    """The demo's folders, for the checkout `root`; another `name` is a place of its own beside the demo's."""

    root: Path
    name: str = ".demo"

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def clone(self) -> Path:
        return self.folder / "autoresearch"

    @property
    def requests(self) -> Path:
        return self.folder / "requests"


@contextlib.contextmanager
def only_one(place: Place) -> Iterator[None]:
    """Keep a second demo of this checkout out. Raises Refused."""
    place.folder.mkdir(parents=True, exist_ok=True)
    held = record.take_lock(place.folder / "lock")
    if held is None:
        raise Refused(f"a demo is running in {place.folder}: wait for it, or end it")
    try:
        end_leftovers(place)
        yield
    finally:
        os.close(held)


def build(place: Place, tag: str = TAG, worse: Mapping[str, str] | None = None) -> dict[str, str]:
    """A fresh clone of HEAD on its own branch, with constants set back (`worse`: name to value; SET_BACK unless
    told); returns them as they were, by name."""
    shutil.rmtree(place.clone, ignore_errors=True)
    shutil.rmtree(place.requests, ignore_errors=True)
    source = Git(place.root)
    source.run("clone", "--quiet", "--local", "--no-tags", str(place.root), str(place.clone))
    git = Git(place.clone)
    git.run("remote", "remove", "origin")
    git.run("switch", "--quiet", "-c", f"{PREFIX}{tag}")
    train = place.clone / TRAIN
    if not train.exists():
        raise Refused(f"the commit at HEAD has no {TRAIN}, and the demo is a clone of it: commit {TRAIN} first")
    text, before = set_back(train.read_text(encoding="utf-8"), SET_BACK if worse is None else worse)
    train.write_text(text, encoding="utf-8")
    if before:
        message = f"demo: {', '.join(before)} set back, so that there is something to find\n"
        git.run("commit", "--quiet", "--no-gpg-sign", "-a", "-F", "-", data=message.encode(), env=git.identity())
    home = place.folder / "home"
    fetch_nothing(home, place.clone)
    shared = preparation.cache() / "preparations"
    shared.mkdir(parents=True, exist_ok=True)
    cache = place.folder / "cache"
    cache.mkdir(exist_ok=True)
    link = cache / "preparations"
    link.unlink(missing_ok=True)
    link.symlink_to(shared.resolve())
    return before


def fetch_nothing(home: Path, checkout: Path) -> None:
    """Let opencode take its package for plugins for installed, in a HOME and a checkout of our own."""
    for folder in (home / ".config" / "opencode", checkout / ".opencode"):
        (folder / "node_modules").mkdir(parents=True, exist_ok=True)
        write_json(folder / "package-lock.json", NO_PACKAGES)


def set_back(text: str, values: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """`text` of train.py with constants set to `values`, and what they were; a missing one is passed by."""
    before = {}
    for name, value in values.items():
        found = re.search(rf"^{name} = ([^\s#]+)", text, re.MULTILINE)
        if found is not None:
            before[name] = found[1]
            text = text[: found.start(1)] + value + text[found.end(1) :]
    return text, before


def environment(place: Place, budget: str) -> dict[str, str]:
    """The environment of everything in the demo: nothing of the person's settings but what the machine needs."""
    person = re.compile(r"(AUTORESEARCH|OPENCODE|XDG|GIT)_")
    keep = {key: value for key, value in client.environment(place.root).items() if not person.match(key)}
    return {
        **keep,
        "PWD": str(place.clone),
        "HOME": str(place.folder / "home"),
        "AUTORESEARCH_CACHE": str(place.folder / "cache"),
        "AUTORESEARCH_BUDGET": budget,
        "AUTORESEARCH_PYTHON": str(place.root / ".venv" / "bin" / "python"),
        **QUIET,
    }


def with_model(environ: Mapping[str, str], address: str) -> dict[str, str]:
    """`environ` with the embedded researcher at `address` as opencode's one model."""
    model = {"name": "embedded researcher", "tool_call": True, "limit": {"context": 128_000, "output": 8192}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "demo",
        "options": {"baseURL": address, "apiKey": "none"},
        "models": {"researcher": model},
    }
    name = "demo/researcher"
    config = {"model": name, "small_model": name, "enabled_providers": ["demo"], "provider": {"demo": provider}}
    return {**environ, "OPENCODE_CONFIG_CONTENT": json.dumps(config)}


@contextlib.contextmanager
def researcher(place: Place, environ: Mapping[str, str], experiments: int) -> Iterator[str]:
    """Serve the embedded researcher; yields its address. Raises Refused where it does not start."""
    place.requests.mkdir(parents=True, exist_ok=True)
    arguments = ["--port", "0", "--log", str(place.requests), "--max-experiments", str(experiments)]
    with (place.requests / "server.log").open("w") as errors:
        server = subprocess.Popen(
            [environ["AUTORESEARCH_PYTHON"], str(SERVER), *arguments],
            cwd=place.clone,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        address = re.search(r"http://\S+", said)
        if address is None:
            raise Refused(f"the embedded researcher did not start: see {place.requests / 'server.log'}")
        remember(place, server.pid)
        yield address[0]
    finally:
        client.end(server)


# ---------------------------------------------------------------------------------------------------
# What a kill leaves behind


def remember(place: Place, pid: int) -> None:
    """Note a process of this demo, with its command, for the next demo's `end_leftovers`."""
    path = place.folder / "processes.json"
    write_json(path, {**(read_json(path) or {}), str(pid): command_of(pid)})


def end_leftovers(place: Place) -> None:
    """End what an earlier demo started and a kill of it left running: the same pid with the same command still."""
    path = place.folder / "processes.json"
    noted = (read_json(path) or {}).items()
    left = [int(pid) for pid, command in noted if command and command_of(int(pid)) == command]
    client.kill([*left, *(child for pid in left for child in client.descendants(pid))])
    write_whole(path, "{}\n")


def command_of(pid: int) -> str:
    """The command line of a process; empty when there is none."""
    done = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip()
