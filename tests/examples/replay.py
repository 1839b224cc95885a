"""The pages of references/examples, and their commands once more on a stand-in that plays the recorded runs back.

What decides and what prints is the project's own; the scores, curves and logs are those of the real runs. So each
tool says today what it would have said in the session, down to its numbers, which differ in times and commits.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import attend, curve

from tests.harness.lab import Lab

PROJECT = Path(__file__).resolve().parents[2]
PAGES = PROJECT / "references" / "examples"
RECORDED = Path(__file__).with_name("recorded")
BENCH = Path(__file__).with_name("bench")
MORE = "…"
PROGRESS = "<progress>"  # stands for where a run is
RUN, SWEEP = "scripts/run_experiment.sh", "tools/sweep.py"
NAMES = ("one-experiment", "sweep", "diverged")


@dataclass(frozen=True)
class Shown:
    """A command of a page with the lines that stand under it, those left out apart."""

    command: str
    lines: tuple[str, ...]

    @property
    def is_wait(self) -> bool:
        return self.command.startswith((f"{RUN} --wait", f"{SWEEP} --wait"))


@dataclass(frozen=True)
class Edit:
    """An edit of train.py that a page shows."""

    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Held:
    """A command, or one with the `--wait`s after it: what the page shows, and what the tools print today."""

    command: str
    shown: tuple[str, ...]
    printed: tuple[str, ...]
    codes: tuple[int, ...]


class Page:
    """One page with what its runs left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (PAGES / f"{name}.md").read_text(encoding="utf-8")

    @cached_property
    def head(self) -> dict[str, Any]:
        """`tag`, `budget`, and the `constants` that it sets as they were at its start."""
        return dict(self._recorded[0])

    @property
    def runs(self) -> list[dict[str, Any]]:
        return self._recorded[1:]

    @cached_property
    def _recorded(self) -> list[dict[str, Any]]:
        lines = (RECORDED / f"{self.name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @cached_property
    def moves(self) -> list[Shown | Edit]:
        found: list[Shown | Edit] = []
        for kind, body in re.findall(r"^```(console|diff)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL):
            lines = body.splitlines()
            if kind == "diff":
                pairs = zip(lines[::2], lines[1::2], strict=True)
                found.append(Edit(tuple((old.removeprefix("-"), new.removeprefix("+")) for old, new in pairs)))
            else:
                found.append(Shown(lines[0].removeprefix("$ "), tuple(line for line in lines[1:] if line != MORE)))
        return found

    @cached_property
    def progress(self) -> set[str]:
        """Every form in which a run in progress is told, numbers masked."""
        with tempfile.TemporaryDirectory() as name:
            path = Path(name)
            (path / "curve.jsonl").write_text("".join(json.dumps(p) + "\n" for p in self.runs[0]["curve"][:12]))
            points = curve.read(path / "curve.jsonl")
            (path / "trained.json").write_text("{}")
            forms = [attend.progress(path), *(curve.progress_line(points[:at]) for at in range(len(points) + 1))]
        return {_numbers(form) for form in forms}

    def masked(self, line: str) -> str:
        """A line as far as its wording goes: no numbers, no commits, and one word for a run's progress."""
        line = _numbers(line)
        form = next((form for form in self.progress if line.endswith(form)), None)
        return line if form is None else line.removesuffix(form) + PROGRESS


def _numbers(line: str) -> str:
    line = re.sub(r"\b[0-9a-f]{7}\b", "#", line)
    line = re.sub(r"[+-]?\d[\d.,]*(e[+-]?\d+)?([kM]\b)?", "#", line)
    return " ".join(line.split())


def build(page: Page, folder: Path) -> Lab:
    """The checkout at the page's start: its constants, its branch, its baseline run and logged."""
    lab = Lab.build(folder)
    for path in BENCH.iterdir():
        text = path.read_text()
        values = "\n".join(f"{name} = {value}" for name, value in page.head["constants"].items())
        text = text.replace("# CONSTANTS", values)
        text = text.replace("RUNS = []", f"RUNS = json.loads({json.dumps(page.runs)!r})")
        (lab.root / path.name).write_text(text)
    lab.git("add", ".")
    lab.commit("a bench that plays runs back")
    lab.git("switch", "-q", "-c", f"autoresearch/{page.head['tag']}")
    meta = lab.cache / "preparations" / "one" / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "device": "cpu"}))
    lab.env["AUTORESEARCH_BUDGET"] = page.head["budget"]
    assert lab.run("--baseline").code == 0
    assert lab.log("baseline", "--note", "where this begins").code == 0
    return lab


def play(page: Page, lab: Lab) -> list[Held]:
    """Every command of the page, in its order."""
    held: list[Held] = []
    moves = page.moves
    at = 0
    while at < len(moves):
        move = moves[at]
        at += 1
        if isinstance(move, Edit):
            text = lab.train
            for old, new in move.changes:
                assert text.count(f"{old}\n") == 1, f"{page.name}: train.py has no line `{old}` at this point"
                text = text.replace(f"{old}\n", f"{new}\n")
            (lab.root / "train.py").write_text(text)
            continue
        waits = []
        while at < len(moves) and isinstance(waited := moves[at], Shown) and waited.is_wait:
            waits.append(waited)
            at += 1
        printed, codes = _call(lab, move.command, "0" if waits else "30")
        for waited in waits[-1:]:
            more, code = _call(lab, waited.command, "30")
            printed, codes = printed + more, codes + code
        shown = [line for one in (move, *waits) for line in one.lines]
        held.append(Held(move.command, tuple(shown), tuple(printed), tuple(codes)))
    return held


def _call(lab: Lab, command: str, wait: str) -> tuple[list[str], list[int]]:
    words = shlex.split(command)
    if words[0] == "tail":
        return (lab.root / words[-1]).read_text().splitlines()[-int(words[2]) :], [0]
    assert re.match(r"(tools|scripts)/\w+\.(py|sh)$", words[0]), f"a page has a command of its own: {command}"
    name = Path(words[0]).name.replace(".sh", ".py")
    answer = lab.call(name, *words[1:], AUTORESEARCH_WAIT=wait)
    return (answer.out + answer.err).splitlines(), [answer.code]

