"""The scripted model: it carries the loop from what it sees, and strays from it now and then.

`answer` is a pure function of the conversation, the seed and the request's number. What the loop asks for is here;
how it strays is in `moods`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from random import Random
from typing import Any

from researcher.conversation import Conversation

from . import moods
from .view import LABEL, View, view, wishes
from .wire import Reply, call, kind_of

# What is worth a try in the stand-in's train.py: some of it better, some worse, some not possible.
IDEAS = {
    "LEARNING_RATE": ("0.05", "0.2", "0.3", "0.5", "0.8", "1.2", "50.0"),
    "MOMENTUM": ("0.0", "0.7", "0.8", "0.9", "1.05"),
    "BATCH": ("24", "32", "48", "128", "0"),
    "CONTEXT": ("2", "4", "5", "0"),
    "EMBED": ("3", "8", "12"),
    "HIDDEN": ("8", "24", "48", "64", "'64'"),
    "ACTIVATION": ('"relu"', '"tanh"', '"reluu"'),
    "INIT": ("0.1", "0.3", "0.8", "1.2"),
    "WARMUP": ("0.0", "0.02", "0.3"),
    "WARMDOWN": ("0.1", "0.4", "0.7"),
    "WEIGHT_DECAY": ("0.0001", "0.001", "0.05"),
    "SMOOTHING": ("0.01", "0.1"),
    "CLIP": ("0.5", "1.0", "20.0"),
}
# What to put in the place of a value that crashed.
FIXES = {"LEARNING_RATE": "0.4", "MOMENTUM": "0.6", "BATCH": "20", "CONTEXT": "6", "HIDDEN": "40"}
FIXES_MOST = 2
PATIENCE = 3  # commands in a row without a next step, after which it gives up its turn
LOOK = "grep -nE '^[A-Z_]+ = ' train.py"
TITLE = "Research on train.py"
SUMMARY = """## Goal
Lower val_bpb by experiments on train.py, without end.

## Progress
What results.tsv lists; where things stand is what tools/status.py says.

## Next
Load the skill autoresearch, run tools/status.py, and do what its line `next:` says.
"""


def answer(seed: int, stray: float) -> Callable[[Conversation, int], Reply]:
    """The model with this seed. `stray`: the share of its answers that are none of the loop's."""

    def mind(conversation: Conversation, number: int) -> Reply:
        kind = kind_of(conversation)
        if kind != "chat":
            return Reply("prose", {"title": TITLE, "compaction": SUMMARY}.get(kind, "ok"))
        dice = Random(f"{seed}/mind/{number}")
        seen = view(conversation)
        mood = moods.lasting(seed, number) if stray else None
        if mood is not None:
            return mood(seen, dice)
        if dice.random() < stray:
            return moods.passing(seen, dice)
        return diligent(seen, dice)

    return mind


def diligent(seen: View, dice: Random) -> Reply:
    """What the loop asks for."""
    step = seen.step
    if not seen.skill:
        return call("skill", "skill", name="autoresearch")
    if not step:
        if seen.silent >= PATIENCE:
            return Reply("at a loss", "No command tells me what comes next, so I end here.")
        return shell("status", "tools/status.py")
    if step.startswith(("edit train.py", "fix train.py")):
        return _experiment(seen, dice) if step.startswith("edit") else _mend(seen, dice)
    if step.startswith("scripts/run_experiment.sh -m"):
        return run(seen)
    if step.startswith("tools/log_result.py"):
        return log(seen)
    if step.startswith(("scripts/run_experiment.sh", "tools/")) and not seen.silent:
        return shell("next", step)
    if seen.silent < PATIENCE:
        return shell("status", "tools/status.py")
    return Reply("at a loss", f"I cannot take this step: {step}")


def _experiment(seen: View, dice: Random) -> Reply:
    """From a clean state to a run: program.md, train.py, an idea, its edit."""
    if seen.edited:
        return run(seen)
    if not seen.program:
        if dice.random() < 0.5:
            return shell("program", "cat program.md")
        return call("program", "read", filePath="program.md")
    if seen.failed_edits >= PATIENCE:
        return shell("status", "tools/status.py")
    if not seen.constants:
        return shell("look", LOOK) if seen.read else call("read", "read", filePath="train.py")
    for name, value in wishes(seen.program):
        if f"{name}={value}" not in seen.tried and seen.constants.get(name, value) != value:
            return edit("wish", seen, name, value)
    name = dice.choice([name for name in IDEAS if name in seen.constants] or ["LEARNING_RATE"])
    value = dice.choice([value for value in IDEAS[name] if value != seen.constants.get(name)])
    return edit("idea", seen, name, value)


def _mend(seen: View, dice: Random) -> Reply:
    """A crash: another value in the place of what crashed, or the log."""
    if seen.edited:
        return shell("fix", f"scripts/run_experiment.sh --fix -m {shlex.quote(f'fix: {seen.idea} mended')}")
    found = LABEL.search(seen.idea)
    name = found[1] if found else ""
    if name not in FIXES or seen.fixes >= FIXES_MOST or seen.failed_edits or dice.random() < 0.3:
        return log(seen)
    if not seen.constants:
        return shell("look", LOOK)
    if seen.constants.get(name) in (None, FIXES[name]):
        return log(seen)
    return edit("mend", seen, name, FIXES[name])


def shell(behaviour: str, command: str, **more: Any) -> Reply:
    return call(behaviour, "bash", command=command, description="the next step", **more)


def edit(behaviour: str, seen: View, name: str, value: str) -> Reply:
    old = f"{name} = {seen.constants.get(name, '')}"
    text = f"I expect {name} at {value} to lower val_bpb."
    return call(behaviour, "edit", text, filePath="train.py", oldString=old, newString=f"{name} = {value}")


def run(seen: View, **more: Any) -> Reply:
    message = f"exp: {seen.idea or 'an edit found in train.py'}"
    return shell("run", f"scripts/run_experiment.sh -m {shlex.quote(message)}", **more)


def log(seen: View) -> Reply:
    told = (seen.idea or "as its commit says") + ", mended" * (seen.fixes > 0)
    return shell("log", f"tools/log_result.py -d {shlex.quote(told)} --note 'as expected or not'")
