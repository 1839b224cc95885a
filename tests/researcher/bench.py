"""A bench made of words: what the client's tools and the pack's commands would print, without running anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from researcher.conversation import Asked, Call, Conversation, Did, Event, Move, Said, Say

TOOLS = frozenset({"bash", "edit", "read", "skill"})
SYSTEM = "<env>\n  Working directory: /repo\n  Workspace root folder: /repo\n</env>"
EDIT = 'edit train.py, then scripts/run_experiment.sh -m "exp: what you try"'
RUN = 'scripts/run_experiment.sh -m "exp: what you try"'
WAIT = "scripts/run_experiment.sh --wait"
LOG = 'tools/log_result.py -d "what you tried"'
FIX = f'fix train.py and scripts/run_experiment.sh --fix -m "fix: what", or {LOG}'
REVERT = "tools/revert.py"
BASELINE = "scripts/run_experiment.sh --baseline"
CONFIRM = "scripts/run_experiment.sh --confirm"


@dataclass
class Bench:
    """`outcome` maps train.py to `crash`, `refuse`, `tried`, `stop` or a score; runs need `waits` attachments.

    `soft` maps a train.py that is kept to the score of its re-test; None where the keep is no provisional one.
    """

    train: str
    outcome: Callable[[str], float | str]
    program: str = "# Program\n"
    waits: int = 0
    incumbent: str = ""
    best: float = float("inf")
    state: str = "new"
    kind: str = ""
    message: str = ""
    waiting: int = 0
    confirms: int = 1  # how often a close call is to be confirmed
    asked: int = 0  # … and how often it still is
    begun: int = 0  # runs
    crashed: bool = False
    offer: str = ""  # lines of status on what past experiments offer
    soft: Callable[[str], float | None] = lambda train: None
    before: tuple[str, float] | None = None  # incumbent and score that an undone keep leaves behind
    rows: list[tuple[str, float, str, str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def answer(self, call: Call) -> str:
        """What the client's tool gives back."""
        if call.tool == "skill":
            return "<skill_content>run tools/status.py</skill_content>"
        if call.tool == "read":
            lines = self.train.splitlines()
            first = int(call.arguments.get("offset", 1))
            shown = [f"{i}: {line}" for i, line in enumerate(lines, 1) if first <= i < first + 50]
            more = first + 49 < len(lines)
            end = f"(Output capped. Use offset={first + 50} to continue.)" if more else "(End of file - total)"
            return "<path>/repo/train.py</path>\n<content>\n" + "\n".join(shown) + f"\n\n{end}\n</content>"
        if call.tool == "edit":
            if self.train.count(call.arguments["oldString"]) != 1:
                return "Could not find oldString in the file."
            self.train = self.train.replace(call.arguments["oldString"], call.arguments["newString"])
            return "Edit applied successfully."
        return self.run(call.arguments["command"])

    def next(self) -> str:
        """The next step, as the bench derives it from its state and the file."""
        edited = self.train != self.incumbent
        if self.state == "new":
            return BASELINE
        if self.state == "clean":
            return RUN if edited else EDIT
        if self.state == "running":
            return WAIT
        if self.state == "finished":
            return FIX if self.crashed else CONFIRM if self.asked else LOG
        return CONFIRM if self.state == "provisional" else REVERT

    def run(self, command: str) -> str:
        if "program.md" in command:
            tail = 3 if "tail" in command else 10_000
            rows = [f"{c}\t{bpb:.6f}\t0.1\t{status}\t{text}" for c, bpb, status, text in self.rows]
            return "\n".join([self.program, "commit\tval_bpb\tmemory_gb\tstatus\tdescription", *rows[-tail:]])
        words = shlex.split(command)
        if "status.py" in command:
            at = f"experiment 0001-abc, run 0001-abc ({self.kind} abcdef0): {self.message[:100]}\n"
            working = self.state in ("running", "finished", "provisional")
            told = f"state: {self.state}\nbudget: 100cpu a run, profile small on cpu\n{at if working else ''}"
            return f"{told}{self.offer}next: {self.next()}"
        if "run_experiment.sh" in command:
            return self.experiment(words)
        if "log_result.py" in command:
            return self.log(words[words.index("-d") + 1])
        assert command == REVERT
        if self.state == "finished":
            return f"revert: not now\nnext: {self.next()}"
        self.train, self.state = self.incumbent, "clean"
        return f"train.py is the incumbent's\nnext: {self.next()}"

    def experiment(self, words: list[str]) -> str:
        if "--wait" not in words:
            flags = [flag for flag in ("--baseline", "--fix", "--confirm") if flag in words]
            self.kind = flags[0].strip("-") if flags else "candidate"
            if self.kind == "candidate":
                if self.state != "clean" or self.train == self.incumbent:
                    return "run_experiment: not now"
                if self.outcome(self.train) == "refuse":
                    return "run_experiment: refused: an import that is not declared"
                if self.outcome(self.train) == "tried":
                    return f"run_experiment: this is experiment 0001 again; --again runs it\nnext: {REVERT}"
            if "--confirm" in words:
                assert self.asked or self.state == "provisional"
                self.asked = max(self.asked - 1, 0)
            else:
                self.message = "baseline" if self.kind == "baseline" else words[words.index("-m") + 1]
                self.runs.append(self.message)
            self.state, self.waiting = "running", self.waits
            self.begun += 1
        begun = f"run {self.begun:04d}: {self.kind} abcdef0, seed 1, budget 100cpu\n"
        if self.waiting:
            self.waiting -= 1
            return f"{begun}running\nnext: {WAIT}"
        self.state = "finished"
        result = self.outcome(self.train)
        self.crashed = result == "crash"
        if isinstance(result, float) and abs(result - self.best) < 0.001 and self.kind != "confirm":
            self.asked = self.confirms
        return f"{begun}{result}\nnext: {self.next()}"

    def log(self, description: str) -> str:
        if self.state != "finished":
            return "log_result: nothing to log"
        if self.asked:
            return f"verdict: confirm\nnext: {CONFIRM}"
        if self.before:
            return self.log_retest(description)
        result = self.outcome(self.train)
        score = 0.0 if isinstance(result, str) else result
        status = "crash" if self.crashed else "keep" if 0 < score < self.best else "discard"
        if status == "keep":
            soft = self.soft(self.train) is not None
            self.before = (self.incumbent, self.best) if soft else None
            self.best, self.incumbent, self.state = score, self.train, "provisional" if soft else "clean"
        else:
            self.state = "logged"
        told = "\nKept provisionally, at 74 of 100." if self.before else ""
        description += " [stopped at 30 %]" if result == "stop" else ""
        self.rows.append((f"{len(self.rows):07x}", score, status, description))
        return f"verdict: {status}{told}\nnext: {self.next()}"

    def log_retest(self, description: str) -> str:
        """What a re-test comes to: its row is the keep's, mended."""
        assert self.before is not None
        (old, best), score, self.before = self.before, self.soft(self.train), None
        assert score is not None
        status = "keep" if score < best else "discard"
        if status == "discard":
            self.incumbent, self.best = old, best
        self.state = "clean" if status == "keep" else "logged"
        self.rows[-1] = (self.rows[-1][0], score, status, description)
        return f"verdict: {status}\nnext: {self.next()}"


@dataclass
class Client:
    """Carries moves out until the turn ends or the bench has `stop_after` rows; forgets every `forget` moves."""

    bench: Bench
    move: Callable[[Conversation], Move]
    forget: int = 10_000
    events: list[Event] = field(default_factory=lambda: [Asked("Start.")])
    calls: list[Call] = field(default_factory=list)

    def go(self, stop_after: int = 10_000, moves: int = 2_000) -> str:
        """The words that ended the turn, or nothing where the rows were enough."""
        for number in range(1, moves + 1):
            made = self.move(Conversation(SYSTEM, TOOLS, tuple(self.events)))
            if isinstance(made, Say):
                self.events.append(Said(made.text))
                return made.text
            self.calls.append(made)
            if made.text:
                self.events.append(Said(made.text))
            self.events.append(Did(made.tool, made.arguments, self.bench.answer(made)))
            if len(self.bench.rows) >= stop_after:
                return ""
            if number % self.forget == 0:
                self.events = [Asked("What did we do so far?"), Said("## Objective"), Asked("Continue if …")]
        raise AssertionError(f"no end after {moves} moves: {self.calls[-10:]}")


def commands(client: Client) -> list[str]:
    """The shell commands given, without those that only look."""
    given = [str(call.arguments["command"]) for call in client.calls if call.tool == "bash"]
    return [command for command in given if not re.search(r"status\.py|program\.md", command)]
