"""Plays a story: a throw-away clone, its baseline, one turn of the real client with the story as its model."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Refused, client, constants, demo
from harness.branch import TRAIN
from harness.client import Client
from harness.text import read_json
from researcher.conversation import Call, Conversation, Did, Move, Say
from researcher.protocol import Log, serve

from .stories import Bench, Play, Step, Story

WAIT = "10"  # seconds that a command waits for a run: short, so that the session shows how one comes back
DIGITS = 5  # significant ones that are kept of a curve
LOG_LINES = 8  # of a run, its last ones
PROFILE = "small"


@dataclass(frozen=True)
class Played:
    """A session that is over. `changed`: constants at the starting point, full name to value as set and shipped.
    `runs`: what each run of the campaign left, for tests/examples."""

    story: Story
    budget: str
    changed: Mapping[str, tuple[str, str]]
    steps: tuple[Step, ...]
    ending: str
    runs: tuple[dict[str, Any], ...]
    constants: Mapping[str, str]


def play(place: demo.Place, story: Story, budget: str, say: Callable[[str], None]) -> Played:
    """Raises Refused where the client or the bench is not to be had, or the session breaks off."""
    program = client.find_program(place.root, "opencode")
    if program is None or client.find_program(place.root, "rg") is None:
        raise Refused("the opencode client is not installed: scripts/setup.sh")
    current = (place.root / TRAIN).read_bytes()
    shipped = {name: constants.read(current, _full(name)) for name in story.worse}
    worse = {name: story.worse[name](_number(text)) for name, text in shipped.items()}
    demo.build(place, story.tag, {_full(name): value for name, value in worse.items()})
    environ = demo.environment(place, budget)
    environ |= {"AUTORESEARCH_WAIT": WAIT, "AUTORESEARCH_BASELINE_RUNS": "1"}
    bench = Bench(place.clone, PROFILE)
    text = (place.clone / TRAIN).read_bytes()
    _set_up(place.clone, environ)
    say(f"{story.name}: baseline made; the session")
    model = Scripted(story.play(bench), say)
    server = serve(model, 0, Log(place.requests))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/v1"
        turn = Client(program, place.clone, demo.with_model(environ, address)).turn(story.prompt, None)
        demo.remember(place, turn.pid)
        try:
            printed, _ = turn.communicate()
        finally:
            client.end(turn)
            if model.ending is None:  # it broke off, or somebody did not want to wait
                subprocess.run(
                    ["scripts/run_experiment.sh", "--stop"], cwd=place.clone, env=environ, capture_output=True
                )
    finally:
        server.shutdown()
        server.server_close()
    if model.ending is None:
        last = (printed.strip().splitlines() or ["it printed nothing"])[-1]
        raise Refused(f"{story.name}: the session broke off after {len(model.steps)} steps: {last[:300]}")
    return Played(
        story,
        budget,
        {_full(name): (worse[name], shipped[name]) for name in worse},
        tuple(model.steps),
        model.ending,
        tuple(_run(path) for path in sorted((place.clone / "runs" / story.tag).glob("[0-9]*-*"))),
        {name: constants.read(text, name) for name in _named(model.steps)},
    )


class Scripted:
    """The story as a policy of the embedded server: each answer of the client moves it on by one step."""

    def __init__(self, story: Play, say: Callable[[str], None]) -> None:
        self.story, self.say = story, say
        self.steps: list[Step] = []
        self.ending: str | None = None
        self.begun: Call | None = None
        self._lock = threading.Lock()

    def __call__(self, conversation: Conversation) -> Move:
        if not conversation.tools:
            return Say("Research on train.py")
        with self._lock:
            return self._answer(conversation)

    def _answer(self, conversation: Conversation) -> Move:
        done = [event for event in conversation.events if isinstance(event, Did)]
        if self.ending is not None or len(done) < len(self.steps) + (self.begun is not None):
            return Say(self.ending or "") if self.begun is None else self.begun  # the client asks once more
        try:
            if self.begun is None:
                self.begun = next(self.story)
            else:
                step = Step(
                    self.begun.text,
                    done[-1].tool,
                    {name: done[-1].argument(name) for name in done[-1].arguments},
                    done[-1].output,
                )
                self.steps.append(step)
                self.begun = self.story.send(step)
            self.say(f"  {self.begun.tool} {self.begun.arguments.get('command', '')}".rstrip())
            return self.begun
        except StopIteration as end:
            self.begun, self.ending = None, str(end.value)
            return Say(self.ending)


def _set_up(clone: Path, environ: Mapping[str, str]) -> None:
    """The data, which is there as a rule, and the baseline, with the commands that a campaign starts with."""
    prepare = [environ["AUTORESEARCH_PYTHON"], "prepare.py", "--profile", PROFILE, "--source", "sample"]
    log = ["tools/log_result.py", "-d", "baseline", "--note", "where this begins"]
    for command in (prepare, ["scripts/run_experiment.sh", "--baseline", "--wait", "1800"], log):
        done = subprocess.run(
            command, cwd=clone, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines() or ["it says nothing"]
            raise Refused(f"{' '.join(command[:2])} in {clone}: {said[-1]}")


def _run(path: Path) -> dict[str, Any]:
    """What a run left, as far as the tools print of it: nothing of the machine, no hashes."""
    record = read_json(path / "record.json") or {}
    points = [json.loads(line) for line in (path / "curve.jsonl").read_text(encoding="utf-8").splitlines()]
    feed = read_json(path / "feed.json") or {}
    score = read_json(path / "score.json")
    return {
        "outcome": record["outcome"],
        "score": {key: value for key, value in score.items() if key != "machine"} if score else None,
        "summary": read_json(path / "summary.json"),
        "feed": {key: value for key, value in feed.items() if key != "model_sha256"},
        "log": (path / "run.log").read_text(encoding="utf-8").splitlines()[-LOG_LINES:],
        "curve": [{key: _short(value) for key, value in point.items()} for point in points],
    }


def _short(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _named(steps: list[Step]) -> list[str]:
    """The constants that the steps set."""
    edits = [step.arguments["oldString"].split(" = ")[0] for step in steps if step.tool == "edit"]
    swept = [
        _full(word)
        for step in steps
        if step.command.startswith("tools/sweep.py ")
        for word in step.command.split()[1:]
        if word.isupper()
    ]
    return list(dict.fromkeys([*edits, *swept]))


def _full(name: str) -> str:
    return constants.PREFIXES[PROFILE] + name


def _number(text: str) -> float:
    value = constants.number(text)
    if value is None:
        raise Refused(f"{text} is no number, and a story has to set it back")
    return value


