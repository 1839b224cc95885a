"""Keep, discard or confirm: one pure function from the measured facts of an experiment to a decision.

The order of the rules, the first that applies decides:

1. no score (crashed, refused, not causal, not a number)          crash
2. stopped before its budget was spent                            discard
3. the baseline                                                   keep: it is what others are held against
4. more than 10 % over its budget                                 discard: it was given more than the others
5. fewer lines, and not worse by more than the tolerance          keep: simpler
   fewer lines, and worse by less than the noise of the gain      confirm once; then the mean decides
6. worse, or equal without being shorter                          discard
7. better by less than its added lines cost                       discard
8. better by more than the noise                                  keep
9. better, inside the noise                                       confirm twice at most; then the mean decides

Gain: the incumbent's mean less the candidate's, in bpb, so that positive is better. Its noise is
sigma * sqrt(1/n + 1/m) for n runs against m. Both sides are means, so that no single lucky run decides for
long, and a confirmation goes to the side that has fewer runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import framework
from .noise import SIGMA_FLOOR

# --------------------------------------------------------------------------------------------------------
# The constants. sigma is the noise of one run: about 0.0004 bpb in `full`, 0.0015 to 0.003 in `small` on a
# CPU; what is measured in sigmas follows the machine, what is measured in bpb is the same everywhere.
#
# The exchange rate between gain and code, in bpb a net added line, reproduces the complexity table:
#   0.001 better, 20 lines more      price 0.0012 > 0.001       discard
#   0.001 better, lines deleted      no price                   keep
#   equal, lines deleted             within the tolerance       keep
# and lets 0.001 pass for up to 16 lines, 0.005 for up to 83.
LINE_PRICE = 6e-5
# A gain this many times its noise is kept at once: 5 % of changes that do nothing reach it. One run against
# one at sigma 0.0004 needs 0.00093, so a gain of 0.001 is kept without a second run.
CLEAR = 1.64
# After the last confirmation a mean gain this many times its noise is kept. Less than CLEAR, because a small
# true gain is the usual kind, and losing it costs more than a change that does nothing.
SETTLED = 0.5
# Scores nearer than this many sigmas are equal: it is not worth a run to learn which of them is lower.
EQUAL = 0.25
# Fewer lines may be worse by this many sigmas and by what the deleted lines are worth, but by no more than
# the second number together: deleting must not become a way down.
SIMPLER, SIMPLER_MOST = 0.5, 1.0  # sigmas
CONFIRMATIONS_MOST = 2  # runs, of either side
SIMPLER_CONFIRMATIONS_MOST = 1
OVERRUN_MOST = 0.10  # share of the budget; from 2 % it is marked
# --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What was measured. Scores are val_bpb of finished runs; lines are of train.py against the incumbent.

    `outcome` is finished, crashed, refused or stopped, of the experiment's last run; `sigma` comes from
    noise.estimate; `share` and `budget_overrun` are shares of the budget (0.4: stopped at 40 %; 0.03: 3 %
    over); `confirmations` counts the confirming runs so far, of the candidate or of the incumbent.
    """

    outcome: str
    scores: tuple[float, ...]
    incumbent_scores: tuple[float, ...]
    sigma: float
    lines_added: int = 0
    lines_removed: int = 0
    peak_memory_mb: float = 0.0
    incumbent_peak_memory_mb: float = 0.0
    seconds: float = 0.0
    budget_overrun: float = 0.0
    share: float = 1.0
    is_baseline: bool = False
    causal: bool = True
    confirmations: int = 0

    @property
    def no_score(self) -> bool:
        """Whether there is nothing to compare: it did not finish, or what it scored cannot be a score."""
        return (
            self.outcome != "finished"
            or not self.causal
            or not self.scores
            or not all(math.isfinite(score) and score > 0 for score in self.scores)
        )

    @property
    def mean(self) -> float:
        """Mean val_bpb of the candidate's runs."""
        return math.fsum(self.scores) / len(self.scores)

    @property
    def incumbent_mean(self) -> float:
        """Mean val_bpb of the incumbent's runs."""
        return math.fsum(self.incumbent_scores) / len(self.incumbent_scores)

    @property
    def gain(self) -> float:
        """bpb by which the candidate is better (negative: worse)."""
        return self.incumbent_mean - self.mean

    @property
    def noise(self) -> float:
        """Sigma of one run in bpb, never below what can be believed."""
        return max(self.sigma, SIGMA_FLOOR) if math.isfinite(self.sigma) else SIGMA_FLOOR

    @property
    def spread(self) -> float:
        """Standard deviation of the gain in bpb."""
        return self.noise * math.sqrt(1 / len(self.scores) + 1 / len(self.incumbent_scores))

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
        return min(SIMPLER * self.noise - self.price, SIMPLER_MOST * self.noise)

    @property
    def memory_growth(self) -> float:
        """Peak memory over the incumbent's, as a share (0.1: 10 % more); 0 where one is unknown."""
        if self.peak_memory_mb <= 0 or self.incumbent_peak_memory_mb <= 0:
            return 0.0
        return self.peak_memory_mb / self.incumbent_peak_memory_mb - 1.0


@dataclass(frozen=True)
class Verdict:
    """`status`: keep, discard, crash or confirm. `gain` in bpb, None without a comparison.

    `confirm` names the side that runs again, "candidate" or "incumbent"; empty unless status is confirm.
    """

    status: str
    gain: float | None
    reasons: tuple[str, ...]
    framework: framework.Framework
    confirm: str = ""


def decide(facts: Facts) -> Verdict:
    """The verdict on `facts`. Raises ValueError where a scored candidate has no incumbent to compare with."""
    compared = not (facts.no_score or facts.is_baseline)
    if compared and not (facts.incumbent_scores and math.isfinite(facts.incumbent_mean)):
        raise ValueError("the incumbent has no score: run the baseline first")
    status, reasons = _compare(facts) if compared else _alone(facts)
    side = ""
    if status == "confirm":  # the side with fewer runs is the less known
        side = "incumbent" if len(facts.incumbent_scores) < len(facts.scores) else "candidate"
        reasons.append(f"Run the {side} once more, with a fresh seed.")
    return Verdict(
        status,
        facts.gain if compared else None,
        tuple(reasons + _remarks(facts)),
        framework.score(facts, status),
        side,
    )


def _alone(facts: Facts) -> tuple[str, list[str]]:
    """Rules 1 to 3: what is decided without an incumbent."""
    if facts.outcome == "stopped":
        return "discard", [f"Stopped at {facts.share:.0%} of the budget, so there is no score."]
    if facts.no_score:
        if facts.outcome == "finished":
            why = "the model sees later tokens" if not facts.causal else "it has no score that is a number"
            return "crash", [f"The run finished, but {why}."]
        return "crash", ["The run was refused." if facts.outcome == "refused" else "The run crashed."]
    return "keep", [f"The baseline: val_bpb {facts.mean:.6f} is what others are held against."]


def _compare(facts: Facts) -> tuple[str, list[str]]:
    """Rules 4 to 9: the candidate against the incumbent."""
    gain, spread, net = facts.gain, facts.spread, facts.net_lines
    runs = f"{_runs(facts.scores)} against {_runs(facts.incumbent_scores)}"
    side = f"{gain:.4f} better" if gain >= 0 else f"{-gain:.4f} worse"
    reasons = [
        f"val_bpb {facts.mean:.6f} against the incumbent's {facts.incumbent_mean:.6f}: {side}; "
        f"noise of the difference {spread:.4f} ({runs}, sigma {facts.noise:.4f})."
    ]
    confirmed = max(facts.confirmations, len(facts.scores) - 1)

    def say(status: str, why: str) -> tuple[str, list[str]]:
        return status, [*reasons, why]

    if facts.budget_overrun > OVERRUN_MOST:
        return say("discard", f"It trained {facts.budget_overrun:.0%} past its budget: not comparable.")
    if net < 0:
        fewer = f"{-net} line{'s' * (net < -1)} fewer"
        if gain >= CLEAR * spread:
            return say("keep", f"Better, beyond the noise, with {fewer}.")
        if gain >= 0:
            return say("keep", f"Simpler: {fewer}, and no worse.")
        if gain >= -facts.tolerance:
            return say("keep", f"Simpler: {fewer}, and equal within {facts.tolerance:.4f}.")
        if gain >= -spread and confirmed < SIMPLER_CONFIRMATIONS_MOST:
            return say("confirm", f"Simpler ({fewer}), but over {facts.tolerance:.4f} worse, inside the noise.")
        return say("discard", f"Worse by over {facts.tolerance:.4f}, the most that {fewer} may cost.")
    if gain < -EQUAL * facts.noise:
        return say("discard", "Worse.")
    if gain <= EQUAL * facts.noise:
        return say("discard", f"Equal within {EQUAL * facts.noise:.4f}, and not shorter.")
    if gain <= facts.price:
        return say("discard", f"{net} more lines must gain over {facts.price:.4f}: not worth its code.")
    if gain >= CLEAR * spread:
        return say("keep", f"Better, beyond the noise: over {CLEAR} x {spread:.4f} = {CLEAR * spread:.4f}.")
    if confirmed < CONFIRMATIONS_MOST:
        return say("confirm", f"Better, but inside the noise: {CLEAR * spread:.4f} would be clear.")
    settled = f"after {confirmed} confirmations {SETTLED * spread:.4f} is asked"
    if gain >= SETTLED * spread:
        return say("keep", f"Better by enough: {settled}.")
    return say("discard", f"Too little, most likely noise: {settled}.")


def _remarks(facts: Facts) -> list[str]:
    """What is said beside the decision and changes nothing."""
    remarks = []
    if not facts.no_score and abs(facts.memory_growth) >= 0.05:
        soft = "; a soft limit, fine for a better score" if facts.memory_growth > 0 else ""
        memory = f"{facts.memory_growth:+.0%} ({facts.peak_memory_mb / 1024:.1f} GB)"
        remarks.append(f"Peak memory {memory}{soft}.")
    if not facts.no_score and framework.OVERRUN_MARKED < facts.budget_overrun <= OVERRUN_MOST:
        remarks.append(f"Marked: it trained {facts.budget_overrun:.1%} past its budget.")
    return remarks


def _runs(scores: tuple[float, ...]) -> str:
    return f"{len(scores)} run{'s' * (len(scores) != 1)}"
