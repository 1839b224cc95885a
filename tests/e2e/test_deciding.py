"""The real client through what one run cannot decide: a run stopped by its curve, a keep that its re-test
undoes, an idea that needs three runs.

The bench is a stand-in. Its seeds follow from the campaign's tag and the numbers of the runs, so NOISE says
beforehand which run is lucky; what each edit comes to was worked out with harness.verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.racing import CONTROLS, is_control
from harness.submit import BASELINE_RUNS, seed_of
from researcher.conversation import Call, Conversation, Did, Move, Say

from .stand_in import StandIn, shell, text_of

TAG = "deciding"  # the seed of run 0 is a high one (NOISE < 0: lucky), the one of run 1, for the re-test, is low
RACED, UNDONE, CLOSE = BASELINE_RUNS, BASELINE_RUNS + 1, BASELINE_RUNS + 3  # numbers of the experiments
NOISE = 0.002  # of the baseline
CRASH = "/if CRASH/,+2d"  # three lines fewer
# Description, and what sed makes of train.py. Each step of the first takes long enough for the race to be seen.
IDEAS = (
    ("a hopeless one", {"SCORE": 2.0, "STEP": 1.0}, ""),
    ("without the crash", {"SCORE": 1.5024, "NOISE": -0.011}, CRASH),
    ("a close one", {"SCORE": 1.4944, "NOISE": -0.004}, ""),
)


@dataclass(frozen=True)
class Step:
    """One command and what it printed."""

    command: str
    output: str

    @property
    def next(self) -> str:
        found: list[str] = re.findall(r"^next: (.*)$", self.output, re.MULTILINE)
        return found[-1] if found else ""

    @property
    def verdict(self) -> str:
        found = re.match(r"verdict: (\w+)$", self.output, re.MULTILINE)
        return found[1] if found else ""


def following(conversation: Conversation) -> Move:
    """Does what `next:` says with the ideas one after the other; looks at status after every verdict."""
    if not conversation.tools:
        return Say("Deciding")
    done = [event for event in conversation.events if isinstance(event, Did)]
    if not done:
        return Call("skill", {"name": "autoresearch"})
    last = Step(done[-1].argument("command"), done[-1].output)
    begun = sum("sed" in event.argument("command") for event in done)
    if done[-1].tool == "skill" or "log_result" in last.command or "revert" in last.command or not last.output:
        return shell("tools/status.py")
    if "sed" in last.command:
        return shell(f'scripts/run_experiment.sh -m "exp: {IDEAS[begun - 1][0]}"')
    if last.next.startswith("edit"):
        return shell(edit(IDEAS[begun])) if begun < len(IDEAS) else Say("That was all.")
    if last.next.startswith("tools/log_result"):
        what = IDEAS[begun - 1][0] if begun else "baseline"
        return shell(f'tools/log_result.py -d "{what}" --note "as it is"')
    return shell(last.next) if last.next else Say(f"No next step: {last.output}")


def edit(idea: tuple[str, dict[str, float], str]) -> str:
    _, constants, deleted = idea
    programs = [f"s/^{name} = [^ ]*/{name} = {value}/" for name, value in constants.items()]
    return f"sed -i '{'; '.join(filter(None, [*programs, deleted]))}' train.py"


class Bench(StandIn):
    """The stand-in, on the branch whose tag is TAG, with a budget for which the baseline runs more than once."""

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "AUTORESEARCH_BUDGET": "5s", "AUTORESEARCH_BASELINE_RUNS": str(BASELINE_RUNS)}

    def build(self, edit: Callable[[str], str] = lambda train: train) -> None:
        super().build(edit)
        train = self.repo / "train.py"
        train.write_text(train.read_text().replace("NOISE = 0.0 ", f"NOISE = {NOISE} "))
        self.git("commit", "--quiet", "--all", "-m", "a noisy one")
        self.git("switch", "--quiet", "-c", f"autoresearch/{TAG}")

    @property
    def runs(self) -> Path:
        return self.repo / "runs" / TAG

    @property
    def steps(self) -> list[Step]:
        """Every command of the model, oldest first, with the output that it read."""
        messages = [r["request"] for r in self.requests if r["request"].get("tools")][-1]["messages"]
        told = {message["tool_call_id"]: text_of(message) for message in messages if message["role"] == "tool"}
        calls = [call for message in messages for call in message.get("tool_calls") or ()]
        return [
            Step(json.loads(call["function"]["arguments"]).get("command", ""), told[call["id"]]) for call in calls
        ]

    def path(self, number: int) -> Path:
        (found,) = self.runs.glob(f"{number:04d}-*")
        return found

    def read(self, number: int, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path(number) / name).read_text())
        return found

    def of(self, description: str) -> list[Step]:
        """The steps of one idea, from its edit to the one before the next idea's."""
        begun = [number for number, step in enumerate(self.steps) if "sed" in step.command]
        at = [idea[0] for idea in IDEAS].index(description)
        return self.steps[begun[at] : begun[at + 1] if at + 1 < len(begun) else None]


@pytest.fixture(scope="module")
def lab(programs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The bench after the whole turn."""
    lab = Bench(tmp_path_factory.mktemp("deciding"), *programs, tmp_path_factory.mktemp("cache"))
    lab.build()
    with lab.model(following) as model:
        lab.turn("Start the research.", model)
    return lab


def commands(steps: Sequence[Step]) -> list[str]:
    """What was done: without looking and waiting."""
    told = [step.command for step in steps if "status" not in step.command and "--wait" not in step.command]
    return [re.sub(r" (-[dm]|'s).*", "", command) for command in told]


RUN, CONFIRM = "scripts/run_experiment.sh", "scripts/run_experiment.sh --confirm"
LOG, REVERT, SED = "tools/log_result.py", "tools/revert.py", "sed -i"


def test_the_runs_are_the_ones_that_were_planned() -> None:
    """A lucky seed first, an unlucky one for the re-test, and no control where a run is to be stopped."""
    assert not is_control(TAG, RACED), f"one run in {CONTROLS} is never stopped, and this is one: take another tag"
    luck = [seed_of(TAG, number) % 1000 for number in range(BASELINE_RUNS)]
    assert luck[0] > 600 > 200 > luck[1]


def test_every_experiment_has_its_row(lab: Bench) -> None:
    rows = [(row[3], row[4]) for row in lab.rows]
    stopped = re.sub(r"\d+ %", "N %", rows[RACED - BASELINE_RUNS + 1][1])
    assert [rows[0], ("discard", stopped), *rows[2:]] == [
        ("keep", "baseline"),
        ("discard", "a hopeless one [stopped at N %]"),
        ("discard", "without the crash"),
        ("keep", "a close one"),
    ]


def test_a_run_with_a_hopeless_curve_is_stopped_and_its_row_says_so(lab: Bench) -> None:
    steps = lab.of("a hopeless one")
    assert commands(steps) == [SED, RUN, LOG, REVERT]
    record = lab.read(RACED, "record.json")
    assert record["outcome"] == "stopped" and record["share"] < 1 and record["val_bpb"] is None
    ended = next(step for step in steps if step.next.startswith(LOG))
    assert re.search(r"stopped: at \d+% of the budget; by its curve", ended.output)
    assert "10% of the budget: loss" in ended.output and ", incumbent " in ended.output
    assert lab.rows[1][1:3] == ["0.000000", "0.0"]


def test_a_keep_that_its_re_test_does_not_bear_out_is_undone(lab: Bench) -> None:
    steps = lab.of("without the crash")
    assert commands(steps) == [SED, RUN, LOG, CONFIRM, LOG, REVERT]
    kept, undone = (step for step in steps if step.verdict)
    assert (kept.verdict, kept.next) == ("keep", CONFIRM) and "provisional" in kept.output
    assert (undone.verdict, undone.next) == ("discard", REVERT) and "undone" in undone.output
    assert any(step.output.startswith("state: provisional") for step in steps)
    assert lab.read(UNDONE, "decision.json")["provisional"] and lab.read(UNDONE + 1, "decision.json")["undone"]
    assert [lab.read(UNDONE + run, "record.json")["seed"] for run in (0, 1)] == [seed_of(TAG, 0), seed_of(TAG, 1)]


def test_a_close_one_is_run_again_as_often_as_the_verdict_asks(lab: Bench) -> None:
    steps = lab.of("a close one")
    again = commands(steps).count(CONFIRM)
    assert again >= 2 and commands(steps) == [SED, RUN, *[CONFIRM] * again, LOG]
    asked = [step for step in steps if step.next == CONFIRM]
    assert asked and all("once more" in step.output for step in asked)
    assert len(lab.read(CLOSE + again, "decision.json")["runs"]) == again + 1


def test_the_branch_is_at_what_was_kept_and_builds_on_the_baseline(lab: Bench) -> None:
    assert lab.git("rev-parse", "--abbrev-ref", "HEAD") == f"autoresearch/{TAG}"
    assert lab.git("log", "--format=%s", f"autoresearch/e2e..autoresearch/{TAG}").splitlines() == [
        "exp: a close one"
    ]
    assert "if CRASH" in lab.git("show", "HEAD:train.py") and lab.git("status", "--porcelain") == ""
