"""What a conversation shows: read anew for every request, so that the researcher itself holds nothing.

A compacted or fresh conversation shows little, and then the files tell the rest: what was tried is in
results.tsv, what is running in `tools/status.py`, what an unlogged experiment tried in its commit's message.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from researcher.conversation import Asked, Did, Event, Said
from researcher.search import Row, rows
from researcher.trainfile import Edit, TrainFile

_NEXT = re.compile(r"^next: (.+?)\s*$", re.MULTILINE)
_SUMMARY = re.compile(r"\[([^\]]+)\] (.+)")  # [label] what (CONSTANT old -> new)
# As status prints the experiment under way: experiment 0003-1a2b3c4, run 0003-1a2b3c4 (candidate 1a2b3c4): exp: …
_CURRENT = re.compile(r"\((?:baseline|candidate|fix|confirm) [0-9a-f]+\): (.+)$", re.MULTILINE)
_BEGAN = re.compile(r"^run \d{4}: ", re.MULTILINE)
_PROFILE = re.compile(r"\bprofile:?\s+(full|small)\b")
_NUMBERED = re.compile(r"^(\d+): ?(.*)$", re.MULTILINE)  # as the client's read tool prints a file


class Memory:
    """The state of the work, as far as the conversation shows it."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.skill_asked = False
        self.next: str | None = None  # the newest next step that the bench named since the user last spoke
        self.silent = 0  # commands of the bench in a row that named none
        self.last_words = ""  # of the newest of them
        self.last_action = ""  # the newest that may change something; forgotten when an edit is made
        self.notes_fresh = False  # program.md and results.tsv were read since the last action
        self.results_read = False  # results.tsv was read from its beginning
        self.program = ""
        self.profile = ""
        self.overview = False  # status was seen between two experiments
        self.rows: dict[str, Row] = {}  # by commit
        self.train: TrainFile | None = None  # train.py as it stands
        self.incumbent: TrainFile | None = None  # train.py as revert leaves it
        self.read_on = 1  # the line from which train.py is still to be read
        self.spoilt: set[str] = set()  # labels that turned out not to be possible
        self._pages: list[str] = []
        self._begin()
        for event in events:
            if isinstance(event, Asked):
                self.next, self.silent, self.last_action = None, 0, ""
            elif isinstance(event, Said):
                self._announced(event.text)
            elif event.tool == "skill":
                self.skill_asked = True
            elif event.tool == "read":
                self._read(event)
            elif event.tool == "edit":
                self._edited(event)
            elif event.tool == "bash":
                self._ran(event.argument("command"), event.output)

    def _begin(self) -> None:
        """No idea is in hand."""
        self.label = ""  # empty also for what the catalogue does not know
        self.summary = ""  # one line, for the commit and for the log
        self.reason = ""
        self.in_hand = False  # its edits are under way, or done and not yet run
        self.mending = False  # … and they are those of its fix
        self.mended = False  # the fix was run
        self.before: TrainFile | None = None  # train.py before the edits in hand
        self.edits_made = 0
        self.edit_failed = False

    def _announced(self, text: str) -> None:
        found = _SUMMARY.match(text)
        if found is None:
            return
        if found[2].startswith("fix: "):
            self.mending = True
        else:
            self._begin()
            self.label, self.summary, self.reason = found[1], found[0], " ".join(text.split("\n")[1:])
        self.in_hand, self.before, self.edits_made, self.edit_failed = True, self.train, 0, False

    def _read(self, event: Did) -> None:
        lines = _NUMBERED.findall(event.output)
        if not event.argument("filePath").endswith("train.py") or not lines:
            return
        first = int(lines[0][0])
        if first == 1:
            self._pages = []
        elif first != self.read_on:
            return
        self._pages += [line for _, line in lines]
        self.read_on = int(lines[-1][0]) + 1
        if "(End of file" in event.output:
            self.train = TrainFile("\n".join(self._pages) + "\n", self.profile)
            self.read_on = 1
            if (self.next or "").startswith("edit train.py") and not self.in_hand:
                self.incumbent = self.train

    def _edited(self, event: Did) -> None:
        edit = Edit(event.argument("oldString"), event.argument("newString"))
        changed = self.train.edited(edit) if self.train else None
        if changed is not None and event.output.startswith("Edit applied"):
            self.train, self.last_action = changed, ""
            self.edits_made += 1
        else:
            self.train, self.edit_failed = None, True
            self.spoilt.add(self.label)

    def _ran(self, command: str, output: str) -> None:
        if "program.md" in command:
            self.program = output
            self.rows.update({row.commit: row for row in rows(output)})  # a keep may be undone
            self.notes_fresh = True
            self.results_read = self.results_read or "cat results.tsv" in command
            return
        profile, current, steps = _PROFILE.search(output), _CURRENT.search(output), _NEXT.findall(output)
        self.profile = profile[1] if profile else self.profile
        if current and "status.py" in command:
            self._adopt(current[1])
        self.next = step = steps[-1] if steps else None
        self.silent = 0 if step else self.silent + 1
        self.last_words = (output.strip().splitlines() or ["(nothing)"])[-1]
        if "status.py" in command:
            self.overview = self.overview or (step or "").startswith("edit train.py")
            return
        self.last_action = "" if _BEGAN.search(output) else command  # a run began: the same may be right again
        if "run_experiment.sh" in command:
            self._adopt(_message(command))
        if step is None:
            return
        self.notes_fresh = False
        if "log_result.py" in command:
            if "verdict: confirm" in output or "Kept provisionally" in output:
                return  # it is not through
            if "verdict: keep" in output:
                self.incumbent = self.train
            self._begin()
        elif "revert.py" in command:
            if self.in_hand:
                self.spoilt.add(self.label)
            self.train = self.incumbent
            self._begin()
        elif "run_experiment.sh" in command and step.startswith("tools/revert.py"):
            pass  # refused, as it was tried before: the revert that follows spoils it
        elif "run_experiment.sh" in command and not step.startswith("scripts/run_experiment.sh -m"):
            self.in_hand = False
            self.mended = self.mended or "--fix" in command

    def _adopt(self, message: str) -> None:
        """The experiment under way, by its commit's message, where no idea was announced in this conversation."""
        if self.summary or not message:
            return
        self.mended = message.startswith("fix: ")
        self.summary = message.removeprefix("exp: ").removeprefix("fix: ")
        found = _SUMMARY.match(self.summary)
        self.label = found[1] if found else ""


def _message(command: str) -> str:
    """What a command of run_experiment names the run."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    return "baseline" if "--baseline" in words else ""
