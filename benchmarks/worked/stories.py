"""Three stories for a model without a mind: what it thinks, which command follows, what it makes of the answer.

Each is a generator. It yields a move and is sent the step that came of it, command and output; what it returns is
its last word. Nothing here knows a score beforehand: every decision reads the tools' output, above all the line
`next: …`, as a model would. Constants are found by name and set relative to what train.py has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import constants
from researcher.conversation import Call

TRAIN = "train.py"
MEMORY = 1.04  # of what the incumbent takes: what the sweep may use, less than twice the rows at once need
RUN, CONFIRM, LOG, REVERT = "scripts/run_experiment.sh", "--confirm", "tools/log_result.py", "tools/revert.py"


@dataclass(frozen=True)
class Step:
    """One move of the model and what came back. `text`: its words before it."""

    text: str
    tool: str
    arguments: Mapping[str, str]
    output: str

    @property
    def command(self) -> str:
        return self.arguments.get("command", "")

    @property
    def next(self) -> str:
        found: list[str] = re.findall(r"^next: (.*)$", self.output, re.MULTILINE)
        return found[-1] if found else ""

    def find(self, pattern: str, default: str = "") -> str:
        """The first group of `pattern` in a line of the output; `default` where it is not there."""
        found = re.search(pattern, self.output, re.MULTILINE)
        return found[1] if found else default


Play = Generator[Call, Step, str]
Part = Generator[Call, Step, Step]


class Bench:
    """The checkout that a story plays in, as far as the model may look into it."""

    def __init__(self, root: Path, profile: str) -> None:
        self.root, self.profile = root, profile

    def full(self, name: str) -> str:
        return constants.PREFIXES[self.profile] + name

    def read(self, name: str) -> str:
        """A constant of the profile as train.py has it now. Raises Refused where there is none."""
        return constants.read((self.root / TRAIN).read_bytes(), self.full(name))

    def number(self, name: str) -> float:
        value = constants.number(self.read(name))
        assert value is not None, f"{self.full(name)} is no number"
        return value

    def edit(self, name: str, value: str, text: str = "") -> Call:
        """Give a constant another value, with the client's own tool."""
        full = self.full(name)
        old, new = f"{full} = {self.read(name)}", f"{full} = {value}"
        return Call("edit", {"filePath": TRAIN, "oldString": old, "newString": new}, text)


@dataclass(frozen=True)
class Story:
    """`worse`: constants of the profile that are set back at its starting point, by bare name, and how.
    `lacking`: what a page of these steps would not show though it is there for it."""

    name: str
    tag: str
    title: str
    about: str
    prompt: str
    worse: Mapping[str, Callable[[float], str]]
    play: Callable[[Bench], Play]
    lacking: Callable[[Sequence[Step]], list[str]]


def shell(command: str, text: str = "") -> Call:
    return Call("bash", {"command": command, "description": "the next step"}, text)


def power(value: float) -> str:
    """A power of two as train.py writes it: 8192 is 2**13."""
    whole = int(value)
    return f"2**{whole.bit_length() - 1}" if whole & (whole - 1) == 0 else str(whole)


def arrive(thought: str) -> Part:
    """The start of every session: the manual, the state, the person's page, the file."""
    yield Call("skill", {"name": "autoresearch"}, "A new session knows nothing: the manual first, then the state.")
    status = yield shell("tools/status.py")
    yield Call("read", {"filePath": "program.md"})
    yield Call("read", {"filePath": TRAIN}, thought)
    return status


def waited(step: Step, command: str = RUN) -> Part:
    """Come back to what runs until it is over."""
    said = "Exit code 75, and `next:` says `--wait`: it runs on by itself, and I come back to it."
    while step.next.startswith(f"{command} --wait"):
        step, said = (yield shell(step.next, said)), ""
    return step


def confirmed(step: Step) -> Part:
    """Run again as long as one more run is asked for."""
    while step.next == f"{RUN} {CONFIRM}":
        said = "Too close to tell by so few runs, and it is not for me to decide: `next:` asks for another seed."
        step = yield from waited((yield shell(step.next, said)))
    return step


def logged(step: Step, command: str, thought: str) -> Part:
    """Log; where the keep is provisional, test it again and log that too."""
    step = yield shell(command, thought)
    while step.next == f"{RUN} {CONFIRM}":
        again = "A provisional keep: one more run before anything builds on it, and it stands or goes back."
        yield from waited((yield shell(step.next, again)))
        step = yield shell(command, "The re-test is logged like any other run.")
    return step


def settled(step: Step) -> Part:
    """After the log: back to the incumbent where that is due, and a look at the row."""
    if step.next == REVERT:
        step = yield shell(REVERT, "The branch stays where it was; so does `train.py`, after this:")
    yield shell("tail -n 2 results.tsv", "The experiment is one row now, beside the baseline's:")
    return step


def verdict(step: Step) -> str:
    return step.find(r"^verdict: (\w+)")


# ---------------------------------------------------------------------------------------------------
# 1. One experiment


def one_experiment(bench: Bench) -> Play:
    old = bench.read("HEAD_LR")
    new = f"{2 * bench.number('HEAD_LR'):g}"
    name, what = bench.full("HEAD_LR"), f"head LR {old} to {new}"
    status = yield from arrive("The baseline is there and nothing is in hand. Now the file that I may edit.")
    yield bench.edit(
        "HEAD_LR",
        new,
        f"**Choose.** One idea: the unembedding starts near zero and has to travel far in a short run, and "
        f"`{name} = {old}` is slow for that. At {new} I expect the loss to be lower from half of the budget on, "
        "and `val_bpb` to drop by more than the noise. If it is higher half-way, the rate was right.",
    )
    step = yield shell(f'{RUN} -m "exp: {what}"', "**Run.** The command commits, checks, trains and scores.")
    step = yield from waited(step)
    step = yield from confirmed(step)
    half = step.find(r"^ *50% of the budget: .*\(([+-][\d.]+)\)")
    seen = f"the loss is {half} against the incumbent's" if half else "there is no curve to compare"
    before, after = status.find(r"^incumbent: \w+ val_bpb ([\d.]+)"), step.find(r"^val_bpb: ([\d.]+)")
    gain = float(before or "nan") - float(after or "nan")
    far = f"{abs(gain):.3f} {'lower' if gain > 0 else 'higher'} than the incumbent" if after else "no score"
    step = yield from logged(
        step,
        f'{LOG} -d "{what}" --note "{far}; half-way {seen}"',
        f"**Compare.** I said that I would look half-way: {seen}. A training loss is one small batch, so it "
        f"hints and no more. The score is {far}, and whether that is more than luck the tool decides from the "
        "records. I give the words.",
    )
    decided = verdict(step)
    composite = step.find(r"^composite +(.*)$")
    step = yield from settled(step)
    if decided == "keep":
        return (
            f"**Decide.** Kept ({composite}): the branch has moved, so there is nothing to revert, and the next "
            f"idea starts from `{name} = {new}`. The obvious one is the next doubling: a step that pays is "
            "taken again before anything else is tried."
        )
    return (
        f"**Decide.** No keep ({composite}). `train.py` is the incumbent's again, the row and the note say what "
        "was tried, and the next idea is of another kind."
    )


def lacks_in_one_experiment(steps: Sequence[Step]) -> list[str]:
    found = "" if any(verdict(step) == "keep" for step in steps) else "no keep"
    waits = "" if any("--wait" in step.command for step in steps) else "no run took long enough for a --wait"
    return [one for one in (found, waits) if one]


# ---------------------------------------------------------------------------------------------------
# 2. A sweep


def batch_sizes(bench: Bench) -> Play:
    total, rows = bench.number("TOTAL_BATCH"), bench.number("DEVICE_BATCH_SIZE")
    status = yield from arrive("Nothing is in hand. The two constants that have to do with the batch are in here.")
    used = float(status.find(r", ([\d.]+) MB", "0")) / 1000
    limit = f"{MEMORY * used:.2f}"
    totals = " ".join(power(total * factor) for factor in (0.25, 0.5, 1))
    many = f"{2 * rows:g}"
    step = yield shell(
        f"tools/sweep.py TOTAL_BATCH {totals} --param DEVICE_BATCH_SIZE {rows:g} {many} --memory-limit {limit}",
        f"**Choose.** `{bench.full('TOTAL_BATCH')}` is {power(total)} tokens a step, which leaves few steps in so "
        "short a run. Steps are worth more than smooth gradients, so I expect half of it to be better, and a "
        f"quarter better still. `{bench.full('DEVICE_BATCH_SIZE')}` should not move the score, only memory and "
        f"speed: {many} rows at once make fewer, larger passes. The incumbent takes {used:.2f} GB, and a few "
        f"per cent more are what I would pay: {limit} GB. One command tries every combination.",
    )
    step = yield from waited(step, "tools/sweep.py")
    best, told = won(step, "TOTAL_BATCH")
    over = step.find(r"^(\d+ values?) needed more than")
    yield shell(
        "tail -n 6 results.tsv",
        f"**Compare.** {f'The winner is {told}' if best else 'There is no winner'}. The lowest number of a table "
        "is lucky as a rule, so that is not how it is found: it is the value that was kept last. Each had to beat "
        "the incumbent of its turn by the verdict of any experiment, run again where one run could not tell, and "
        "what is believed of its level has the "
        f"luck taken off. {f'{over} did not fit, and could not be kept whatever the score. ' if over else ''}"
        "Every value has its row; there is nothing to log or to revert.",
    )
    if not best:
        return "**Decide.** No value beats the incumbent beyond the noise: the constant is settled for now."
    lowest = best == power(total / 4)
    further = (
        f"It is the smallest batch that was tried, so the question is open on that side: {power(total / 8)} is "
        "next, with fewer rows at once if it must be"
        if lowest
        else "What was tried on the other side of it is worse, so the constant is settled for now"
    )
    return (
        f"**Decide.** {told} is the incumbent. {further}. Then come the constants that go with the batch, the "
        "learning rates, at its new value: not the third decimal of this one."
    )


def won(step: Step, name: str) -> tuple[str, str]:
    """The winner's value of a constant, and all of its values as code; empty where there is none."""
    told = step.find(r"^winner: (\w+ = .*?) \(")
    value = re.search(rf"{name} = ([^;\s]+)", told)
    return (value[1] if value else "", f"`{told}`")


def lacks_in_batch_sizes(steps: Sequence[Step]) -> list[str]:
    ended = "\n".join(step.output for step in steps if "sweep" in step.command)
    wanted = {"winner: .*=": "no winner", "needed more than": "every value fits within the limit"}
    return [what for pattern, what in wanted.items() if not re.search(pattern, ended)]


# ---------------------------------------------------------------------------------------------------
# 3. A run that diverges


def diverged(bench: Bench) -> Play:
    rate, warmup = bench.read("HEAD_LR"), bench.read("WARMUP")
    high = f"{100 * bench.number('HEAD_LR'):g}"
    middle = f"{4 * bench.number('HEAD_LR'):g}"
    name = bench.full("HEAD_LR")
    yield from arrive("A baseline, nothing in hand. The file:")
    yield bench.edit(
        "HEAD_LR",
        high,
        f"**Choose.** The unembedding holds a large share of the parameters and starts near zero, yet its rate is "
        f"{rate}. If it lags behind the rest, {high} shows it within the first tenth of the budget.",
    )
    step = yield from waited((yield shell(f'{RUN} -m "exp: head LR {rate} to {high}"')))
    if not step.output.count("crashed: "):
        return "It trained to its end, so there is nothing to mend."
    step = yield shell(
        "tools/diagnose.py",
        "**Look.** It ended by itself after a few steps: the loss was above that of a uniform guess. Before I "
        "touch anything, the tool that reads the curve:",
    )
    yield bench.edit(
        "WARMUP",
        "0.1",
        f"**First fix.** Two causes, in order: the rate, and a warm-up too short. One curve cannot tell them "
        f"apart, but the experiment that can is named: a longer `{bench.full('WARMUP')}` at the same rate. It "
        "leaves the idea as it is, so it comes first. A fix belongs to the same experiment: `--fix`.",
    )
    step = yield from waited((yield shell(f'{RUN} --fix -m "fix: warmup {warmup} to 0.1, the same rate"')))
    longer = step
    if longer.output.count("crashed: "):
        yield shell("tools/diagnose.py", "It blew up again, so the first steps alone were not it. Once more:")
        yield bench.edit(
            "WARMUP",
            warmup,
            f"**Second fix.** The warm-up goes back to {warmup}, since it was not that, and the rate comes down. "
            f"Half of {high} would still be fifty times what trains; {middle} is two doublings of it, as far as "
            "a rate is ever moved at once, so it also says whether there is anything in the idea.",
        )
        yield bench.edit("HEAD_LR", middle)
        step = yield from waited((yield shell(f'{RUN} --fix -m "fix: head LR {middle}, warmup as it was"')))
        step = yield from confirmed(step)
    if step.output.count("crashed: "):
        came, lesson = "It diverges too.", f"diverges at {middle} as well; the rate itself is the cause"
    else:
        came = "It trains; the cause is proved by its going away."
        lesson = f"rate, not warm-up: {high} diverges with 5 times the warm-up, {middle} trains"
    step = yield from logged(
        step,
        f'{LOG} -d "head LR {middle}, after {high} diverged" --note "{lesson}"',
        f"**Root cause.** {came} *Why* did the first run end? The loss was far above a uniform guess. *Why?* The "
        "logits were sure and wrong. *Why?* The head's weights moved too far. *Why?* AdamW moves each weight by "
        f"about the rate a step, whatever its gradient, and a warm-up only puts that off. *Why so far?* `{name} = "
        f"{high}` was a hundred times what stood there: **a value of the wrong order**. Two fixes are the most "
        "that an idea gets, so this is logged as it is.",
    )
    decided = verdict(step)
    step = yield from settled(step)
    if decided == "keep":
        return f"**Decide.** Kept at {middle}: the idea was sound, and its first value was not."
    return (
        f"**Decide.** {decided.capitalize()}: three attempts, one row, and the note that will be found when "
        f"somebody thinks of a faster head again. `train.py` is the incumbent's, the state is clean, and if the "
        f"head is ever to be asked again, then by factors of 1.5 to 2 from {rate}."
    )


def lacks_in_diverged(steps: Sequence[Step]) -> list[str]:
    crashes = [step for step in steps if re.search(r"^crashed: .*diverged", step.output, re.MULTILINE)]
    found = [] if len(crashes) >= 2 else [f"{len(crashes)} runs diverged, and two should"]
    found += [] if sum("--fix" in step.command for step in steps) == 2 else ["not two fixes"]
    named = any("(rate-too-high" in step.output for step in steps if "diagnose" in step.command)
    return found + ([] if named else ["the diagnosis does not name the rate"])


STORIES = (
    Story(
        "one-experiment", "one-experiment", "One experiment, from an edit to a row",
        "One pass of the loop: an idea with an expectation, the smallest edit, a run, the verdict, the row.",
        "Do one experiment.", {"HEAD_LR": lambda value: f"{value / 4:g}"},
        one_experiment, lacks_in_one_experiment,
    ),
    Story(
        "sweep", "batch", "A sweep: batch sizes within a memory limit",
        "One question with several values. `tools/sweep.py` edits, runs, confirms, logs and reverts each of them; "
        "the winner is decided by the verdict, not by the lowest number.",
        "Find the best batch size that fits.", {"TOTAL_BATCH": lambda value: power(value * 4)},
        batch_sizes, lacks_in_batch_sizes,
    ),
    Story(
        "diverged", "diverged", "A run that diverges",
        "The loss blows up. `tools/diagnose.py` ranks the causes, two fixes are tried, the root cause is named, "
        "the experiment is logged, the incumbent's file comes back.",
        "Try a faster head.", {}, diverged, lacks_in_diverged,
    ),
)  # fmt: skip
