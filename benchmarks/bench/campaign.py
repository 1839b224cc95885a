"""Stage 2: a policy walks the list of edits with real trainings, until its device time is spent.

An edit is applied to the incumbent's text; where it no longer applies it is passed over, which costs nothing. A
policy sees scores and curves of what it paid for, and nothing else: not the truth, and of a curve only what came
before the share at which it is asked.

A fresh seed is drawn from the order's number, the label of the edit and how many runs it had. So two policies
that try the same text on fresh seeds get the same score, and what differs between them is what they decide. A
policy may also name a seed that it has seen.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from harness.curve import Point

from .edits import Idea, Ideas
from .trainings import Job, Result, Trainings, seed_of

Curve = tuple[Point, ...]
BASELINE = "baseline"
# What a run costs besides training, as a share of the training: start-up, evaluation and audit. RESULTS.md, "What
# trust costs", has 18 for the latter two of 100. A run without a score has its start-up alone.
OVERHEAD, START_UP = 0.20, 0.05


@dataclass(frozen=True)
class Version:
    """A text of train.py and its scored runs with their seeds, the first one first."""

    label: str
    text: str
    results: tuple[Result, ...] = ()
    seeds: tuple[int, ...] = ()

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(result.val_bpb for result in self.results)

    def ran(self, result: Result, seed: int) -> Version:
        return replace(self, results=(*self.results, result), seeds=(*self.seeds, seed))


@dataclass(frozen=True)
class Trial:
    """What a policy may know.

    `lines_added`, `lines_removed`: against the incumbent. `confirmations`: runs that this trial asked for, of
    either side. `past`: the trials before it, the first one first. `others`: every version that was ever run,
    these two among them, for the noise. `retest`: it is kept provisionally, and the last run is the re-test.
    Of the baseline the incumbent is itself, without runs.
    """

    candidate: Version
    incumbent: Version
    lines_added: int
    lines_removed: int
    confirmations: int
    past: tuple[Step, ...]
    others: tuple[Version, ...]
    retest: bool = False

    @property
    def is_baseline(self) -> bool:
        return not self.incumbent.results


@dataclass(frozen=True)
class Decision:
    """`status`: keep, discard or confirm.

    Of a confirm, `side`: candidate or incumbent, which runs again, and `seed`: on which one; None: on a fresh one.
    `provisional`: a keep that is run once more before anything builds on it, and is then kept or discarded.
    `error`: the probability that a keep is no gain, where the policy says so.
    """

    status: str
    side: str = "candidate"
    seed: int | None = None
    provisional: bool = False
    error: float | None = None


class Policy(Protocol):
    """One for each campaign: it may remember what it likes."""

    @property
    def name(self) -> str: ...

    @property
    def looks(self) -> Sequence[float]:
        """Shares of the budget at which it is asked whether to stop a candidate's run; empty: it never stops."""
        ...

    def again(self, past: Sequence[Step]) -> str | None:
        """The label of an edit that was tried before, to be tried again before the next; None: go on."""
        ...

    def seed(self, trial: Trial) -> int | None:
        """On which seed the candidate runs, the first time and for a re-test; None: on a fresh one."""
        ...

    def stop(self, share: float, curve: Curve, trial: Trial) -> bool:
        """Whether to stop the run of the candidate that has come to `share`. `curve`: its points up to there;
        `trial.candidate.results` are the runs before this one. Incumbents' curves are whole."""
        ...

    def decide(self, trial: Trial) -> Decision:
        """After every finished run of this trial, the baseline's too. The candidate has a score."""
        ...


@dataclass(frozen=True)
class Step:
    """One trial, decided.

    `status`: keep, discard, crash, stopped, skipped or unfinished (the device time was spent). Costs in the unit
    of the budget; `gain`: measured, of means; `runs`: all that it paid for.
    """

    label: str
    null: bool
    status: str
    before: float
    after: float
    runs: int
    scores: tuple[float, ...] = ()
    incumbent_scores: tuple[float, ...] = ()
    stopped_at: float | None = None
    error: float | None = None

    @property
    def gain(self) -> float | None:
        if not self.scores or not self.incumbent_scores:
            return None
        return sum(self.incumbent_scores) / len(self.incumbent_scores) - sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Campaign:
    """`text`: what the policy ends with; `spent` of `device`, in the unit of the budget."""

    policy: str
    order: int
    device: float
    spent: float
    steps: tuple[Step, ...]
    text: str

    @property
    def kept(self) -> list[Step]:
        return [step for step in self.steps if step.status == "keep" and step.label != BASELINE]

    @property
    def tried(self) -> int:
        """Edits that were run and decided."""
        decided = [step for step in self.steps if step.status not in ("skipped", "unfinished")]
        return sum(step.label != BASELINE for step in decided)

    @property
    def runs(self) -> int:
        return sum(step.runs for step in self.steps)


@dataclass(frozen=True)
class Costs:
    """What a run costs of the device, in the unit of its budget: tokens, CPU-seconds or seconds."""

    budget: str
    overhead: float = OVERHEAD

    @property
    def unit(self) -> str:
        return next(unit for unit in ("cpu", "tok", "s") if self.budget.endswith(unit))

    @property
    def amount(self) -> float:
        return float(self.budget.removesuffix(self.unit).replace("_", ""))

    @property
    def most(self) -> float:
        """What a run that goes to its end is expected to cost."""
        return self.amount * (1 + self.overhead)

    def of(self, result: Result) -> float:
        spent = {"tok": float(result.tokens), "cpu": result.cpu_seconds, "s": result.seconds}[self.unit]
        return spent + self.amount * (self.overhead if result.scored else min(START_UP, self.overhead))

    def stopped(self, share: float) -> float:
        return self.amount * (share + min(START_UP, self.overhead))


class OutOfTime(Exception):
    """The next run no longer fits into the device time."""


@dataclass
class _Walk:
    """A campaign under way: its clock, and everything that was scored."""

    policy: Policy
    order: int
    costs: Costs
    device: float
    trainings: Trainings
    spent: float = 0.0
    runs: int = 0
    scored: dict[str, Version] = field(default_factory=dict)

    def run(self, version: Version, named: int | None, trial: Trial | None) -> tuple[Result, int, float | None]:
        """One more run of `version`, which the policy may stop where a `trial` is given.

        Returns its seed as well, and the share at which it was stopped, if it was.
        """
        if self.spent + self.costs.most > self.device:
            raise OutOfTime
        seed = self.fresh(version) if named is None else named
        result = self.trainings.one(Job(version.text, seed, self.costs.budget))
        self.runs += 1
        for share in sorted(self.policy.looks) if trial else ():
            if not result.curve or result.curve[-1].progress < share or share >= 1:
                break  # it ended before: crashed, or there was no later step
            if trial and self.policy.stop(share, tuple(p for p in result.curve if p.progress <= share), trial):
                self.spent += self.costs.stopped(share)
                return result, seed, share
        self.spent += self.costs.of(result)
        return result, seed, None

    def fresh(self, version: Version) -> int:
        """A seed that this version did not run on."""
        drawn = (
            seed_of(f"replay, campaign {self.order}, {version.label}", number) for number in itertools.count()
        )
        return next(seed for seed in drawn if seed not in version.seeds)

    def remember(self, version: Version) -> Version:
        self.scored[version.text] = version
        return version

    def others(self) -> tuple[Version, ...]:
        return tuple(self.scored.values())


def run(
    policy: Policy, listed: Sequence[Idea], order: int, ideas: Ideas, baseline: str, device: float, costs: Costs,
    trainings: Trainings,
) -> Campaign:  # fmt: skip
    """The campaign of one policy. `device`: its device time, in the unit of the budget."""
    walk = _Walk(policy, order, costs, device, trainings)
    start = Version(BASELINE, baseline)
    step, incumbent, _ = _try(walk, Idea(BASELINE, False), start, start, ())
    if not incumbent.scores:
        raise ValueError(f"the baseline has no score: {step.status}")
    steps = [step]
    waiting = list(reversed(listed))
    by_label = {idea.label: idea for idea in listed}
    may_return = True
    while steps[-1].status != "unfinished":
        earlier = policy.again(steps) if may_return else None
        if earlier is None and not waiting:
            break
        idea = waiting.pop() if earlier is None else by_label[earlier]
        text = ideas.apply(idea, incumbent.text)
        # What no longer applies costs nothing, so a policy that insists on it must not be asked for ever.
        may_return = text is not None or earlier is None
        if text is None:
            steps.append(Step(idea.label, idea.null, "skipped", walk.spent, walk.spent, 0))
            continue
        known = walk.scored.get(text)  # an edit may lead back to a text that was run before: it goes on from there
        candidate = known or Version(idea.label, text)
        step, candidate, incumbent = _try(walk, idea, candidate, incumbent, tuple(steps))
        steps.append(step)
        if step.status == "keep":
            incumbent = candidate
    return Campaign(policy.name, order, device, walk.spent, tuple(steps), incumbent.text)


def _try(
    walk: _Walk, idea: Idea, candidate: Version, incumbent: Version, past: tuple[Step, ...]
) -> tuple[Step, Version, Version]:
    """One trial, from its first run to a decision; the candidate and the incumbent as they are known then."""
    before, runs_before, confirmations = walk.spent, walk.runs, 0
    side, retest = "candidate", False
    seed: int | None = None
    asked = False  # the policy named the seed of the next run
    added, removed = changed_lines(incumbent.text, candidate.text)

    def known() -> Trial:
        others = walk.others()
        return Trial(candidate, incumbent, added, removed, confirmations, past, others, retest)

    def decided(status: str, stopped_at: float | None = None, error: float | None = None) -> Step:
        return Step(
            idea.label, idea.null, status, before, walk.spent, walk.runs - runs_before, candidate.scores,
            incumbent.scores, stopped_at, error,
        )  # fmt: skip

    while True:
        try:
            if side == "incumbent":
                result, ran_on, stopped = walk.run(incumbent, seed, None)
            else:
                trial = known()
                named = seed if asked else walk.policy.seed(trial)
                result, ran_on, stopped = walk.run(
                    candidate, named, trial if past else None
                )  # no baseline is stopped
        except OutOfTime:
            return decided("unfinished"), candidate, incumbent
        if stopped is not None:
            return decided("stopped", stopped), candidate, incumbent
        if side == "incumbent":
            if result.scored:
                incumbent = walk.remember(incumbent.ran(result, ran_on))
        elif not result.scored:
            return decided("crash"), candidate, incumbent
        else:
            candidate = walk.remember(candidate.ran(result, ran_on))
        decision = walk.policy.decide(known())
        if decision.status == "confirm":
            confirmations, side, seed, asked = confirmations + 1, decision.side, decision.seed, True
        elif decision.status == "keep" and decision.provisional and not retest:
            retest, side, asked = True, "candidate", False
        else:
            return decided(decision.status, None, decision.error), candidate, incumbent


def changed_lines(old: str, new: str) -> tuple[int, int]:
    """Lines added and removed, as git counts them."""
    removed, added = changed_text(old, new)
    return len(added), len(removed)


def changed_text(old: str, new: str) -> tuple[list[str], list[str]]:
    """The lines that only `old` has, and those that only `new` has."""
    removed: list[str] = []
    added: list[str] = []
    before, after = old.splitlines(), new.splitlines()
    for tag, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            removed += before[i:j]
            added += after[k:m]
    return removed, added
