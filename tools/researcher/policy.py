"""What the embedded researcher does next: a pure function from the conversation to one move.

It is no transcript. The bench's commands end with a line `next: …`; the researcher does what the newest one
says, and asks `tools/status.py` where there is none. It never asks a person anything, and ends its turn only
when it was told how many experiments to make, or when the bench gives it nothing to go on with.
"""

from __future__ import annotations

import re
import shlex

from researcher.catalogue import Catalogue, Proposal
from researcher.conversation import Call, Conversation, Move, Say
from researcher.memory import Memory
from researcher.search import choose
from researcher.trainfile import Edit

SKILL = "autoresearch"
PATIENCE = 3  # commands in a row without a next step, after which the turn ends
FOUND = "an edit found in train.py"  # made by a person, or by a conversation that ended before its run

SUMMARY = """## Objective
- Lower val_bpb by experiments on train.py, without end: load the skill `autoresearch` and follow it.

## Important Details
- All that matters is in files: results.tsv (what was tried), program.md (what the person wants), runs/.

## Work State
### Completed
- What results.tsv lists.

### Active
- What tools/status.py says.

### Blocked
- (none)

## Next Move
1. Load the skill `autoresearch`.
2. Run tools/status.py and do what its line `next:` says.

## Relevant Files
- train.py: the only file to edit
"""


def next_move(conversation: Conversation, catalogue: Catalogue, limit: int | None = None) -> Move:
    """The next move. `limit`: end the turn once results.tsv holds so many experiments beside the baseline."""
    if not conversation.tools:  # the client wants prose: a title for the session, or a summary of it
        return Say("Autoresearch on train.py" if "title" in conversation.system[:200].lower() else SUMMARY)
    return _Researcher(conversation, catalogue, limit).move()


class _Researcher:
    """One decision from one memory."""

    def __init__(self, conversation: Conversation, catalogue: Catalogue, limit: int | None) -> None:
        self.tools, self.catalogue, self.limit = conversation.tools, catalogue, limit
        self.memory = Memory(conversation.events)
        self.root = _elsewhere(conversation.system)

    def move(self) -> Move:
        """Do what the newest `next:` says."""
        memory, step = self.memory, self.memory.next
        if "skill" in self.tools and not memory.skill_asked:
            return Call("skill", {"name": SKILL})
        if step is None:
            if memory.silent >= PATIENCE:
                return Say(f"I stop: the bench names no next step. Its last words: {memory.last_words}")
            return self._shell("tools/status.py")
        if step.startswith("edit train.py"):
            return self._experiment()
        if step.startswith("scripts/run_experiment.sh -m"):
            return self._experiment() if memory.in_hand else self._act(_run(f"exp: {FOUND}"))
        if step.startswith("fix train.py"):
            return self._mend()
        if step.startswith("tools/log_result.py"):
            return self._log()
        if step.startswith(("scripts/", "tools/")):
            return self._act(step)
        return Say(f"I stop: the next step is not one that I can take: {step}")

    def _experiment(self) -> Move:
        """From a clean state to a run: notes, train.py, an idea, its edits."""
        memory = self.memory
        if memory.in_hand and not memory.edit_failed:
            proposal = self.catalogue.propose(memory.label, memory.before) if memory.before else None
            return self._carry_out(proposal, _run(f"exp: {memory.summary}"))
        if memory.in_hand and memory.edits_made:  # half an idea is none
            return self._act("tools/revert.py")
        if not memory.overview:  # once in a conversation: among other things it says the profile
            return self._shell("tools/status.py")
        if not (memory.notes_fresh and memory.results_read):  # a compaction may keep the end of a conversation
            results = "tail -n 3 results.tsv" if memory.results_read else "cat results.tsv"
            return self._shell(f"cat program.md; {results}")
        tried = list(memory.rows.values())
        made = sum(not row.description.startswith("baseline") for row in tried)
        if self.limit is not None and made >= self.limit:
            return Say(f"{made} experiments are logged in results.tsv, as many as I was told to make.")
        if memory.train is None:
            return self._read_train()
        proposal = choose(self.catalogue, memory.train, tried, memory.program, memory.spoilt)
        if proposal is None:
            return Say("I stop: no idea of the catalogue applies to train.py as it is.")
        return self._edit(proposal.edits[0], f"{proposal.summary}\n{proposal.reason}")

    def _mend(self) -> Move:
        """A crash: the idea's own fix, once; without one it is logged as it is."""
        memory = self.memory
        idea = self.catalogue.ideas.get(memory.label.partition("=")[0])
        if memory.mended or memory.edit_failed or idea is None or idea.fix is None:
            return self._log()
        if memory.train is None:
            return self._read_train()
        if memory.in_hand and memory.before:
            proposal = self.catalogue.mend(memory.label, memory.before)
            return self._carry_out(proposal, _run(f"fix: [{memory.label}] {idea.fix.what}", "--fix"))
        proposal = self.catalogue.mend(memory.label, memory.train)
        return self._edit(proposal.edits[0], proposal.summary) if proposal else self._log()

    def _log(self) -> Move:
        memory = self.memory
        fixed = self.catalogue.ideas.get(memory.label.partition("=")[0]) if memory.mended else None
        how = f"; {fixed.fix.what}" if fixed and fixed.fix and fixed.fix.what not in memory.summary else ""
        note = ["--note", memory.reason] if memory.reason else []
        return self._act(shlex.join(["tools/log_result.py", "-d", (memory.summary or FOUND) + how, *note]))

    def _carry_out(self, proposal: Proposal | None, command: str) -> Move:
        """The next edit of the proposal in hand, or, after the last, its run."""
        edits = proposal.edits[self.memory.edits_made :] if proposal else ()
        return self._edit(edits[0]) if edits else self._act(command)

    def _act(self, command: str) -> Move:
        """A command that may change something; never the same twice, unless it waits: the bench refused it."""
        memory = self.memory
        if command != memory.last_action or command.endswith("--wait"):
            return self._shell(command)
        if "run_experiment.sh -m" in command or "run_experiment.sh --fix" in command:
            return self._shell("tools/revert.py")
        return Say(f"I stop: the bench refuses `{command}`. Its last words: {memory.last_words}")

    def _shell(self, command: str) -> Call:
        where = {"workdir": self.root} if self.root else {}
        return Call("bash", {"command": command, **where})

    def _read_train(self) -> Call:
        on = self.memory.read_on
        return Call("read", {"filePath": self._train_path(), **({"offset": on} if on > 1 else {})})

    def _edit(self, edit: Edit, text: str = "") -> Call:
        arguments = {"filePath": self._train_path(), "oldString": edit.find, "newString": edit.replace}
        return Call("edit", arguments, text)

    def _train_path(self) -> str:
        return f"{self.root}/train.py" if self.root else "train.py"


def _run(message: str, *flags: str) -> str:
    return shlex.join(["scripts/run_experiment.sh", *flags, "-m", message])


def _elsewhere(system: str) -> str:
    """The repository's root where the client was started in a folder below it; empty at the root itself."""
    here = re.search(r"^\s*Working directory: (.+)$", system, re.MULTILINE)
    root = re.search(r"^\s*Workspace root folder: (.+)$", system, re.MULTILINE)
    return root[1] if here and root and here[1].startswith(root[1] + "/") else ""
