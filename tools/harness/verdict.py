"""Keep, discard or confirm: one pure function from the measured facts of an experiment to a decision.

The order of the rules, the first that applies decides:

 1. no score (crashed, refused, not causal, not a number)     crash
 2. stopped before its budget was spent                       discard
 3. every run so far was on a disturbed machine               confirm, twice at most; then discard
 4. the baseline                                              confirm until it has its runs, then keep
 5. more than 10 % over its budget                            discard: it was given more than the others
    more memory than it may have, where there is a limit      discard, before rule 3 already
 6. fewer lines, and believed to be no worse than they are
    worth                                                     keep: simpler
    fewer lines, and worse by less than the noise             confirm once; then the belief decides
 7. measured no better than its added lines cost              discard
 8. surely enough a gain, and worth its lines                 keep
 9. another run is worth more than its time                   confirm
10. otherwise                                                 discard

The belief in rules 6 to 9 is `Facts.belief`: what was measured, weighed with what ideas of this campaign are
worth. What is sure enough, and what a run's time is worth, is `choice`. A re-test of a provisional keep ends with
rule 8 or 10.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from . import choice, framework
from .belief import Mixture, Normal
from .choice import Choice
from .effects import Measured
from .knowledge import Knowledge, Next, next_run
from .levels import Score

# --------------------------------------------------------------------------------------------------------
# The constants. sigma is the noise of one run: about 0.0004 bpb in `full`, 0.002 in `small` on a CPU; what is
# measured in sigmas follows the machine, what is measured in bpb is the same everywhere.
#
# The exchange rate between gain and code, in bpb a net added line, reproduces the complexity table:
#   0.001 better, 20 lines more      price 0.0012 > 0.001       discard
#   0.001 better, lines deleted      no price                   keep
#   equal, lines deleted             within the tolerance       keep
LINE_PRICE = 6e-5
# Fewer lines may be worse by this many sigmas and by what the deleted lines are worth, but by no more than the
# second number together: deleting must not become a way down.
SIMPLER, SIMPLER_MOST = 0.5, 1.0  # sigmas
RUNS_MOST = 6  # of one experiment, the incumbent's runs that it asks for among them
SIMPLER_RUNS_MOST = 2
DISTURBED_MOST = 2  # repeats because of a disturbed machine
OVERRUN_MOST = 0.10  # share of the budget; from 2 % it is marked
# --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What was measured. `scores`: of the candidate's finished, undisturbed runs.

    `outcome` is finished, crashed, refused or stopped, of the experiment's last run; `known` is what the campaign
    knew before this experiment, and of the incumbent's runs in it; None for the baseline. `prior`: the belief
    about the gain before these runs, where it is not that of any new idea. `runs`: all runs of the experiment, of
    either side; `disturbed`: those of the candidate that do not count, and why. `share` and `budget_overrun` are
    shares of the budget (0.4: stopped at 40 %; 0.03: 3 % over). Lines are of train.py against the incumbent.
    `raced`: it was stopped by its curve, and why. `retest`: it is kept provisionally, and this is its re-test.
    """

    outcome: str
    scores: tuple[Score, ...]
    known: Knowledge | None
    runs: int = 1
    prior: Mixture | None = None
    incumbent_runs: int = 1
    disturbed: tuple[str, ...] = ()
    lines_added: int = 0
    lines_removed: int = 0
    peak_memory_mb: float = 0.0
    incumbent_peak_memory_mb: float = 0.0
    memory_limit_gb: float | None = None
    seconds: float = 0.0
    budget_overrun: float = 0.0
    share: float = 1.0
    is_baseline: bool = False
    baseline_runs: int = 1
    causal: bool = True
    raced: str = ""
    retest: bool = False

    @property
    def no_score(self) -> bool:
        """Whether there is nothing to compare: it did not finish, or what it scored cannot be a score."""
        return (
            self.outcome != "finished"
            or not self.causal
            or not (self.scores or self.disturbed)
            or not all(math.isfinite(score.val_bpb) and score.val_bpb > 0 for score in self.scores)
        )

    @property
    def compared(self) -> bool:
        """Whether there is a score and something to hold it against."""
        return not self.no_score and not self.is_baseline and bool(self.scores)

    @property
    def mean(self) -> float:
        """Mean val_bpb of the candidate's runs."""
        return math.fsum(score.val_bpb for score in self.scores) / len(self.scores)

    @property
    def knowledge(self) -> Knowledge:
        if self.known is None:
            raise ValueError("the incumbent has no score: run the baseline first")
        return self.known

    @property
    def sigma(self) -> float:
        """Noise of one run in bpb."""
        return self.knowledge.sigma

    @functools.cached_property
    def shown(self) -> Measured:
        """What the candidate's runs show against the incumbent's level."""
        return self.knowledge.measured(self.scores)

    @property
    def gain(self) -> float:
        """bpb by which the candidate measured better (negative: worse) than the incumbent's level."""
        return self.shown.gain

    @property
    def spread(self) -> float:
        """Standard deviation of the measured gain in bpb."""
        return math.sqrt(self.shown.variance)

    @functools.cached_property
    def belief(self) -> Mixture:
        """What is believed of the true gain."""
        return (self.prior or self.knowledge.prior).given(self.shown.gain, self.shown.variance)

    @functools.cached_property
    def following(self) -> Next:
        """The run that would tell most."""
        return next_run(self.knowledge, self.scores) if self.compared else Next("candidate", None)

    @functools.cached_property
    def choice(self) -> Choice:
        """What is worth most, were there no other rules."""
        known = self.knowledge
        left = 0 if self.retest else RUNS_MOST - self.runs
        price = max(self.price, 0.0)
        noise = known.sigma**2
        if left > 0 and self.belief.surplus(price) > known.run_value:  # else no run is worth its time anyway
            noise = self.following.noise(self.shown.variance)
        return choice.choose(self.belief, price, self.allowed, noise, known.run_value, left)

    @property
    def allowed(self) -> float:
        """The most that a keep may err; a re-test may use more than the others left."""
        return max(self.knowledge.allowed, choice.ERROR_MOST) if self.retest else self.knowledge.allowed

    @property
    def net_lines(self) -> int:
        """Lines added less lines removed."""
        return self.lines_added - self.lines_removed

    @property
    def price(self) -> float:
        """bpb that the net added lines must earn; negative for deleted ones."""
        return LINE_PRICE * self.net_lines

    @property
    def tolerance(self) -> float:
        """bpb by which fewer lines may be worse; 0 where there are not fewer."""
        if self.net_lines >= 0:
            return 0.0
        return min(SIMPLER * self.sigma - self.price, SIMPLER_MOST * self.sigma)

    @property
    def over_memory(self) -> str:
        """How it needed more memory than it may have; empty where it did not."""
        used = self.peak_memory_mb / 1024
        if self.memory_limit_gb is None or used <= self.memory_limit_gb:
            return ""
        return f"Peak memory {used:.2f} GB is over the limit of {self.memory_limit_gb:g} GB."

    @property
    def memory_growth(self) -> float:
        """Peak memory over the incumbent's, as a share (0.1: 10 % more); 0 where one is unknown."""
        if self.peak_memory_mb <= 0 or self.incumbent_peak_memory_mb <= 0:
            return 0.0
        return self.peak_memory_mb / self.incumbent_peak_memory_mb - 1.0


@dataclass(frozen=True)
class Verdict:
    """`status`: keep, discard, crash or confirm. `gain`: as measured, `belief`: of the true one, in bpb; None
    without a comparison. `error`: the probability that a keep gains nothing.

    `confirm`: the run that is asked for; None unless status is confirm.
    `provisional`: a keep that is tested once more before anything builds on it.
    """

    status: str
    gain: float | None
    reasons: tuple[str, ...]
    framework: framework.Framework
    confirm: Next | None = None
    provisional: bool = False
    belief: Normal | None = None
    error: float | None = None


def decide(facts: Facts) -> Verdict:
    """The verdict on `facts`. Raises ValueError where a scored candidate has no incumbent to compare with."""
    status, reasons = _compare(facts) if facts.compared else _alone(facts)
    following = None
    if status == "confirm":
        following = facts.following
        again = {"candidate": "it"}.get(following.side, f"the {following.side}")
        reasons.append(f"Run {again} once more, on another seed.")
    marks = framework.score(facts, status)
    provisional = status == "keep" and not facts.retest and marks.band == "conditional"
    if provisional:
        reasons.append(f"Kept provisionally, at {marks.composite} of 100: another run lets it stand or undoes it.")
    if facts.retest and status != "confirm":
        borne, end = ("bears it out", "stands") if status == "keep" else ("does not bear it out", "is undone")
        reasons.append(f"The re-test {borne}: the provisional keep {end}.")
    return Verdict(
        status,
        facts.gain if facts.compared else None,
        tuple(reasons + _remarks(facts)),
        marks,
        following,
        provisional,
        Normal(facts.belief.mean, facts.belief.sd) if facts.compared else None,
        facts.choice.error if facts.compared else None,
    )


def _alone(facts: Facts) -> tuple[str, list[str]]:
    """Rules 1 to 4: what is decided without a comparison."""
    if facts.outcome == "stopped":
        why = f": {facts.raced}" if facts.raced else ", so there is no score"
        return "discard", [f"Stopped at {facts.share:.0%} of the budget{why}."]
    if facts.no_score:
        if facts.outcome == "finished":
            why = "the model sees later tokens" if not facts.causal else "it has no score that is a number"
            return "crash", [f"The run finished, but {why}."]
        return "crash", ["The run was refused." if facts.outcome == "refused" else "The run crashed."]
    if not facts.scores and facts.over_memory:
        return "discard", [facts.over_memory]
    if not facts.scores:
        told = f"The machine was disturbed, and the score does not count: {facts.disturbed[-1]}."
        if len(facts.disturbed) <= DISTURBED_MOST:
            return "confirm", [told]
        return "discard", [told, f"{len(facts.disturbed)} times in a row: see what else runs on this machine."]
    if not facts.is_baseline:
        raise ValueError("the incumbent has no score: run the baseline first")
    runs = f"{len(facts.scores)} of {facts.baseline_runs} runs"
    told = f"The baseline: val_bpb {facts.mean:.6f} is what others are held against"
    if len(facts.scores) < facts.baseline_runs and len(facts.disturbed) <= DISTURBED_MOST:
        return "confirm", [f"{told}; {runs}, to learn how much a seed alone moves it."]
    return "keep", [f"{told} (mean of {len(facts.scores)})." if len(facts.scores) > 1 else f"{told}."]


def _compare(facts: Facts) -> tuple[str, list[str]]:
    """Rules 5 to 10: the candidate against the incumbent."""
    gain, net, found, most = facts.gain, facts.net_lines, facts.choice, facts.allowed
    side = f"{gain:.4f} better" if gain >= 0 else f"{-gain:.4f} worse"
    runs = f"{_runs(len(facts.scores))} against {facts.incumbent_runs}"
    believed = f"{facts.belief.mean:+.4f} ± {facts.belief.sd:.4f}, {found.error:.0%} chance of no gain"
    scores = f"val_bpb {facts.mean:.6f} against the incumbent's believed {facts.knowledge.level.mean:.6f}"
    reasons = [f"{scores}: {side}, seeds matched ({runs}, sigma {facts.sigma:.4f}); believed gain {believed}."]

    def say(status: str, why: str) -> tuple[str, list[str]]:
        return status, [*reasons, why]

    if facts.budget_overrun > OVERRUN_MOST:
        return say("discard", f"It trained {facts.budget_overrun:.0%} past its budget: not comparable.")
    if facts.over_memory:
        return say("discard", facts.over_memory)
    if net < 0:
        fewer = f"{-net} line{'s' * (net < -1)} fewer"
        if facts.belief.mean >= 0 and found.status == "keep":
            return say("keep", f"Better, and with {fewer}.")
        if facts.belief.mean >= -facts.tolerance:
            return say("keep", f"Simpler: {fewer}, and equal within {facts.tolerance:.4f}.")
        if gain >= -facts.spread and facts.runs < SIMPLER_RUNS_MOST and not facts.retest:
            return say("confirm", f"Simpler ({fewer}), but maybe over {facts.tolerance:.4f} worse.")
        return say("discard", f"Worse by over {facts.tolerance:.4f}, the most that {fewer} may cost.")
    if gain <= 0:
        return say("discard", "Not better.")
    if gain <= facts.price:
        return say("discard", f"{net} more lines must gain over {facts.price:.4f}: not worth its code.")
    if found.status == "keep":
        return say("keep", f"Better, surely enough: at most {most:.0%} chance of no gain is allowed.")
    if found.status == "confirm":
        return say("confirm", f"Better, but not surely enough ({most:.0%} is allowed), and worth another run.")
    if facts.retest:
        return say("discard", f"Better, but not surely enough: at most {most:.0%} chance of no gain is allowed.")
    if facts.belief.mean <= facts.price:
        return say("discard", "Most likely noise." if net <= 0 else "Most likely less than its lines must earn.")
    return say("discard", "Perhaps a small gain, but finding out costs more than a new idea is worth.")


def _remarks(facts: Facts) -> list[str]:
    """What is said beside the decision and changes nothing."""
    remarks = []
    if not facts.no_score and abs(facts.memory_growth) >= 0.05 and not facts.over_memory:
        soft = "; a soft limit, fine for a better score" if facts.memory_growth > 0 else ""
        memory = f"{facts.memory_growth:+.0%} ({facts.peak_memory_mb / 1024:.1f} GB)"
        remarks.append(f"Peak memory {memory}{soft}.")
    if not facts.no_score and framework.OVERRUN_MARKED < facts.budget_overrun <= OVERRUN_MOST:
        remarks.append(f"Marked: it trained {facts.budget_overrun:.1%} past its budget.")
    if facts.scores and facts.disturbed:
        remarks.append(f"{_runs(len(facts.disturbed))} on a disturbed machine left out: {facts.disturbed[-1]}.")
    return remarks


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"
