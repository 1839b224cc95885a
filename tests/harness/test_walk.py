"""A random walk over all that an agent and a person may do: what must hold, holds at each step."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess

from tests.harness.lab import Lab

COMMANDS = (
    ("run_experiment.py", "-m", "exp: walk"),
    ("run_experiment.py", "--baseline"),
    ("run_experiment.py", "--confirm"),
    ("run_experiment.py", "--fix", "-m", "fix: walk"),
    ("run_experiment.py", "--wait"),
    ("run_experiment.py", "--stop"),
    ("log_result.py", "-d", "walk"),
    ("revert.py",),
)


def test_any_order(new: Lab) -> None:
    luck, refs = random.Random(0), dict[str, str]()
    for step in range(15):
        disturb(new, luck, step)
        answer = None
        if luck.random() < 0.5:
            answer = new.call(*luck.choice(COMMANDS))
        else:
            follow(new)
        assert answer is None or answer.code in (0, 1, 2)
        found = check(new)
        now = new.refs()
        assert refs.items() <= now.items(), "what was ever made stays reachable"
        refs = now
        if answer is not None and answer.code == 2 and answer.next:
            assert answer.next == found["next"]
    for _ in range(8):  # and from wherever it came to, the way on is said
        if new.state == "clean" and new.status()["incumbent"]:
            return
        follow(new)
    raise AssertionError(new.status())


def disturb(lab: Lab, luck: random.Random, step: int) -> None:
    """Something that an agent or a person does to the checkout between two commands, or nothing."""
    kind = luck.random()
    with contextlib.suppress(subprocess.CalledProcessError):  # nothing to commit, nothing to go back to
        if kind < 0.4:
            crash = "walk" if luck.random() < 0.2 else ""
            lab.edit(SCORE=round(luck.uniform(1.3, 1.6), 3), CRASH=crash)
        elif kind < 0.5:
            lab.commit("by hand", "train.py")
        elif kind < 0.6:
            (lab.root / "program.md").write_text(f"step {step}\n")
            if luck.random() < 0.5:
                lab.commit("steer", "program.md")
        elif kind < 0.65:
            lab.git("reset", "-q", "--hard", "HEAD~1")
        elif kind < 0.7:
            lab.git("add", "train.py")


def follow(lab: Lab) -> None:
    """Do what the last line says."""
    line = str(lab.status()["next"])
    if line.startswith(("edit", "fix")):
        lab.edit(SCORE=round(random.uniform(1.3, 1.6), 3), CRASH="")
        lab.run("--again", "-m", "exp: walk") if line.startswith("edit") else lab.run("--fix", "-m", "fix: walk")
        return
    for words, command in (
        ("--baseline", ("run_experiment.py", "--baseline")),
        ("--wait", ("run_experiment.py", "--wait")),
        ("--confirm", ("run_experiment.py", "--confirm")),
        ("run_experiment.sh -m", ("run_experiment.py", "--again", "-m", "exp: walk")),
        ("log_result", ("log_result.py", "-d", "walk")),
        ("revert", ("revert.py",)),
    ):
        if words in line:
            answer = lab.call(*command)
            assert answer.code in (0, 1), (line, answer)
            return
    raise AssertionError(line)


def check(lab: Lab) -> dict[str, object]:
    """What must hold at any time; returns the status."""
    found = lab.status()
    decisions = [path.parent.name for path in lab.root.glob("runs/t1/*/decision.json")]
    rows = lab.rows() if (lab.root / "results.tsv").exists() else []
    newest = {experiment_of(lab, name): name for name in sorted(decisions)}  # the re-test's, where there is one
    assert [row[3] for row in rows] == [status_of(lab, name) for name in newest.values()], "one row an experiment"
    kept = [name for name in newest.values() if status_of(lab, name) == "keep"]
    if kept:
        request = json.loads((lab.root / "runs/t1" / kept[-1] / "run.json").read_text())
        experiment = lab.path(int(request["experiment"]))
        commits = [json.loads(path.read_text()) for path in lab.root.glob("runs/t1/*/run.json")]
        attempts = [r for r in commits if r["experiment"] == request["experiment"] and r["kind"] != "confirm"]
        assert experiment.exists()
        commit = max(attempts, key=lambda r: r["number"])["commit"]
        assert lab.git("rev-parse", "HEAD:train.py") == lab.git("rev-parse", f"{commit}:train.py")
    return found


def experiment_of(lab: Lab, name: str) -> int:
    return int(json.loads((lab.root / "runs/t1" / name / "run.json").read_text())["experiment"])


def status_of(lab: Lab, name: str) -> str:
    return str(json.loads((lab.root / "runs/t1" / name / "decision.json").read_text())["status"])
