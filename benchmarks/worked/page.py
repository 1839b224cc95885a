"""A played session as a page: the model's words as prose, its edits as diffs, its commands with what they printed.

Output is shortened by whole lines, never changed: a line stands as it was printed or not at all, and `…` stands
for those that do not. tests/examples holds the lines against what the tools print.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from .session import Played
from .stories import Step

MORE = "…"
MAKE = ".venv/bin/python benchmarks/examples.py"
# What is left out, by the command that printed it.
_STATUS = re.compile(r"(state|campaign|budget|incumbent|noise|last results|next|sweep|baseline):|  ")
_SUMMARY = re.compile(r"(total_seconds|mfu_percent|num_params_M|depth|seed|budget|epochs|\w+_percent|sandbox): ")
_PROGRESS = re.compile(r"(\d+ % \| step|trained; evaluating|starting:)")
_NOTE = re.compile(r"note: not boxed")
_IDLE = re.compile(r"(running|next|note): |run \d+: (candidate|confirm|fix) |\d+ % \| |trained; |\s*$")
_LOG = re.compile(r"\| ")
LOG_LINES = 2  # of a run's log, its last ones


def page(number: int, played: Played) -> str:
    """The whole page."""
    story = played.story
    parts, seen, diff = [f"# {number}. {story.title}", story.about, _facts(played)], set[str](), list[str]()
    for step in without_idle_waits(played.steps):
        if diff and (step.tool != "edit" or step.text):
            parts.append("\n".join(["```diff", *diff, "```"]))
            diff = []
        parts.append(step.text)
        if step.tool == "edit":
            diff += [f"-{step.arguments['oldString']}", f"+{step.arguments['newString']}"]
        elif step.tool == "bash":
            lines = shortened(step.command, step.output, seen)
            parts.append("\n".join(["```console", f"$ {step.command}", *lines, "```"]))
            seen.update(lines)
        else:
            parts.append(f"→ *{step.tool}* `{step.arguments.get('name') or step.arguments.get('filePath', '')}`")
    parts.append(played.ending)
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(played: Played) -> str:
    back = "; ".join(
        f"`{name}` set to {worse} instead of {shipped}" for name, (worse, shipped) in played.changed.items()
    )
    start = "`train.py` as it is" + (f" but for {back}, so that there is something to find" if back else "")
    return (
        f"*A real session of the opencode client with a scripted model; `{MAKE}` played it and wrote this page. "
        f"Profile `small` on a CPU, {played.budget} a run, branch `autoresearch/{played.story.tag}`: {start}. The "
        f"baseline ran before. `{MORE}` stands for lines left out; waits that brought nothing are left out too.*"
    )


def without_idle_waits(steps: Sequence[Step]) -> list[Step]:
    """Of several waits in a row the first, the last, and those that brought something new."""
    kept: list[Step] = []
    for at, step in enumerate(steps):
        before, after = steps[at - 1 : at], steps[at + 1 : at + 2]
        inner = all(" --wait" in one.command for one in (step, *before, *after)) and before and after
        if not (inner and all(_IDLE.match(line) for line in step.output.splitlines())):
            kept.append(step)
    return kept


def shortened(command: str, output: str, seen: Set[str] = frozenset()) -> list[str]:
    """The lines that the page shows of what a command printed; `seen`: those that it shows already."""
    lines = output.rstrip().splitlines()
    kept, progress = [], 0
    logged = [line for line in lines if _LOG.match(line)]
    for line in lines:
        shown = not (_NOTE.match(line) or _SUMMARY.match(line))
        if "status.py" in command:
            shown = bool(_STATUS.match(line))
        elif _PROGRESS.match(line):
            progress += 1
            shown = progress == 1 and line.startswith(tuple("0123456789"))
        elif _LOG.match(line):
            shown = line in logged[-LOG_LINES:]
        elif "diagnose.py" in command and line in seen:  # the second look at one fault
            shown = line.startswith(("1. ", "next: "))
        if shown:
            kept.append(line)
        elif not kept or kept[-1] != MORE:
            kept.append(MORE)
    return kept
