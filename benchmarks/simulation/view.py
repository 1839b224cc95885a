"""What the model knows: what stands in the conversation before it, and nothing else.

Read anew for every request, so that a compaction, a fresh session, or a client that was killed, leaves it with
what they leave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from researcher.conversation import Asked, Conversation, Did, Said

NEXT = re.compile(r"^next: (.+?)\s*$", re.MULTILINE)
TOLD_NEXT = re.compile(r"\b[Nn]ext: (.+?)(?: Nobody is there|\s*$)", re.MULTILINE)
# `NAME = value  # why`, with the line number that the client's read tool and grep -n put before it
CONSTANT = re.compile(r"^(?:\d+: ?)?([A-Z][A-Z_]+) = (.+?)(?:\s+#.*)?$", re.MULTILINE)
WISH = re.compile(r"^- set ([A-Z_]+) to (\S+)", re.MULTILINE)  # in program.md
CURRENT = re.compile(r"^experiment \d+, run .+?: (?:exp: |fix: )?(\[[^\]]+\].*)$", re.MULTILINE)  # status
LABEL = re.compile(r"\[([A-Z_]+)=([^\]]+)\]")


@dataclass
class View:
    """`step` is the newest next step, empty where none is known."""

    skill: bool = False  # it is before us
    step: str = ""
    silent: int = 0  # commands in a row that named no next step
    program: str = ""  # program.md, read since the last decision
    constants: dict[str, str] = field(default_factory=dict)  # of train.py, seen since its last change
    read: bool = False  # train.py was read in this conversation
    edited: bool = False  # by us, and not yet run
    failed_edits: int = 0  # in a row
    idea: str = ""  # `[NAME=value] …` of the experiment in hand
    fixes: int = 0  # of it
    tried: set[str] = field(default_factory=set)  # labels NAME=value


def view(conversation: Conversation) -> View:
    """All of the conversation, in order."""
    seen = View()
    for event in conversation.events:
        if isinstance(event, Asked):
            text = event.text.strip()
            told = TOLD_NEXT.findall(text[1:-1] if text[:1] == text[-1:] == '"' else text)  # the client quotes it
            seen.step, seen.silent = (told[-1] if told else ""), 0
            seen.constants, seen.edited, seen.program = {}, False, ""  # who knows what came between
        elif isinstance(event, Said):
            continue
        elif event.tool == "skill":
            seen.skill = seen.skill or "tools/status.py" in event.output
        elif event.tool == "edit":
            _edited(seen, event)
        elif event.tool in ("read", "bash"):
            _printed(seen, event)
    return seen


def _edited(seen: View, event: Did) -> None:
    if not event.argument("filePath").endswith("train.py"):
        return
    seen.constants = {}
    if event.output.startswith("Edit applied"):
        seen.edited, seen.failed_edits = True, 0
        found = CONSTANT.findall(event.argument("newString"))
        if found and not seen.step.startswith("fix train.py"):
            seen.idea = f"[{found[0][0]}={found[0][1]}]"
    else:
        seen.failed_edits += 1


def _printed(seen: View, event: Did) -> None:
    command, output = event.argument("command"), event.output
    target = command or event.argument("filePath")
    seen.tried.update(f"{name}={value}" for name, value in LABEL.findall(output))
    if "train.py" in target and "scripts/" not in target:
        seen.constants = dict(CONSTANT.findall(output))
        seen.read = seen.read or (event.tool == "read" and bool(seen.constants))
        return
    if "program.md" in target:
        seen.program = output
        return
    if event.tool != "bash":
        return
    current, steps = CURRENT.findall(output), NEXT.findall(output)
    if current and not seen.idea:
        seen.idea = current[-1]
    if not steps:
        seen.silent += 1
        return
    seen.step, seen.silent = steps[-1], 0
    if "run_experiment.sh" in command and "--fix" in command and "refused" not in output:
        seen.fixes, seen.edited = seen.fixes + 1, False
    elif "run_experiment.sh" in command and "-m" in command:
        seen.edited = seen.edited and seen.step.startswith("scripts/run_experiment.sh -m")
    if "log_result.py" in command and re.search(r"^verdict: (keep|discard|crash)", output, re.MULTILINE):
        seen.program, seen.idea, seen.fixes, seen.edited, seen.constants = "", "", 0, False, {}
    if "revert.py" in command:
        seen.idea, seen.edited, seen.constants, seen.fixes = "", False, {}, 0


def wishes(program: str) -> Iterable[tuple[str, str]]:
    """The constants that a person asks for in program.md, with their values."""
    return WISH.findall(program)
