"""The policies that are held against each other: the plain loop's, and the project's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import Refused, experiment, knowledge, preparation, prospects, racing, record, situation, verdict
from harness.campaign import Campaign
from harness.experiment import Experiment
from harness.learned import Learned, Learner
from harness.levels import Score
from harness.racing import Race
from harness.record import Record, Request, Run

from .campaign import Curve, Decision, Policy, Step, Trial, Version, changed_text

NOISE_PRIOR = 0.002  # bpb; what prepare.py gives for the profile `small`
BASELINE_RUNS = 3
BYTES_PER_TOKEN = 3.58  # of the sample text; where nothing is prepared, nothing is trained either
LATE = 0.0125  # share of the budget after which a curve has certainly come past a share that it is looked at
FRESH = -1  # stands for a seed that is not drawn yet: one like any that nobody ran on


@dataclass
class KeepIfLower:
    """One run each; whatever scores lower than the incumbent's one run did is kept."""

    name: str = "keep-if-lower"
    looks: tuple[float, ...] = ()

    def again(self, past: Sequence[Step]) -> str | None:
        return None

    def seed(self, trial: Trial) -> int | None:
        return None

    def stop(self, share: float, curve: Curve, trial: Trial) -> bool:
        return False

    def decide(self, trial: Trial) -> Decision:
        if trial.is_baseline:
            return Decision("keep")
        lower = trial.candidate.scores[-1] < trial.incumbent.scores[-1]  # each the one of its last trial
        return Decision("keep" if lower else "discard")


def bytes_per_token() -> float:
    """Of the text that is trained on."""
    try:
        return preparation.in_force().bytes_per_token
    except Refused:
        return BYTES_PER_TOKEN


@dataclass
class Ours:
    """The bench's own tools, on the records that its runs would leave.

    Left out are what a training here cannot show: disturbed machines, memory, a budget that was overrun. What the
    researcher decides in the tools is done as they advise it: a near miss is run again as soon as that is worth
    more than a new idea's run.
    """

    name: str = "ours"
    looks: tuple[float, ...] = tuple(share + LATE for share in racing.SHARES)
    noise_prior: float = NOISE_PRIOR
    baseline_runs: int = BASELINE_RUNS
    races: bool = True
    retries: bool = True
    bytes_per_token: float = field(default_factory=bytes_per_token)
    runs: list[Run] = field(default_factory=list)  # all so far
    places: dict[int, int] = field(default_factory=dict)  # of each experiment among the campaign's steps
    unfit: set[int] = field(default_factory=set)  # experiments that no longer apply
    retried: tuple[int, int] | None = None  # the experiment that is tried again next, and its place then
    request: Request | None = None  # of the trial that is under way
    race: Race | None = None  # of its first run
    side: str = "candidate"  # of the newest run
    counted: dict[str, int] = field(default_factory=dict)  # scores of each side that have their record

    # -- what the campaign asks ------------------------------------------------------------------------

    def again(self, past: Sequence[Step]) -> str | None:
        if self.retried and past[self.retried[1]].status == "skipped":
            self.unfit.add(self.retried[0])
        self.retried = None
        learned = self.learner().learn()
        if not self.retries or learned.known is None:
            return None
        beliefs = {number: belief for number, belief in learned.beliefs.items() if number not in self.unfit}
        for one in prospects.find(self.experiments(), learned.known, beliefs):
            if one.kind == "retry":
                self.retried = one.experiments[0], len(past)
                return past[self.places[one.experiments[0]]].label
        return None

    def seed(self, trial: Trial) -> int | None:
        if trial.retest:
            return self._seed_of_retest(trial)
        if trial.is_baseline:
            self._begin(trial, None)
            return None
        learned = self.learner().learn()
        if learned.known is None:
            raise ValueError("the baseline is not decided")
        # A text that ran before would repeat its digits on the same seed.
        seed = knowledge.next_run(learned.known, scores(trial.candidate), first=True).seed
        self._begin(trial, seed)
        self.race = self._race(trial, learned, FRESH if seed is None else seed) if self.races else None
        return seed

    def stop(self, share: float, curve: Curve, trial: Trial) -> bool:
        race = self.race
        if race is None or race.control or race.stranger or trial.confirmations or trial.retest:
            return False
        told, hopeless = racing.look(curve, race)
        if hopeless is None:
            return False
        left = measured(
            "stopped", FRESH, reason=hopeless.reason, share=share, foretold=told, hopeless=hopeless.share
        )
        self._ran("candidate", left)
        self._judge()
        return True

    def decide(self, trial: Trial) -> Decision:
        version = trial.incumbent if self.side == "incumbent" else trial.candidate
        if len(version.scores) > self.counted[self.side]:
            self._ran(self.side, self._record(version))
        else:
            self._ran(self.side, measured("crashed", FRESH))
        self.counted[self.side] = len(version.scores)
        self.race = None  # it was of the first run
        found = self._judge()
        asked = found.confirm or knowledge.Next("candidate", None)
        self.side = asked.side
        # As submit.confirm has it: no commit runs twice on one seed.
        again = trial.incumbent if self.side == "incumbent" else trial.candidate
        seed = None if asked.seed in again.seeds else asked.seed
        return Decision(found.status, asked.side, seed, found.provisional, found.error)

    # -- the records -----------------------------------------------------------------------------------

    def experiments(self) -> list[Experiment]:
        return experiment.group(self.runs)

    def learner(self) -> Learner:
        return Learner(self.experiments(), pinned(self.noise_prior, self.baseline_runs))

    def _begin(self, trial: Trial, seed: int | None) -> None:
        """The request of a trial's first run. Its number is that of the experiment and stands for its commit."""
        number, incumbent = len(self.runs), experiment.incumbent(self.experiments(), self.runs)
        retried = self.retried if self.retried and self.retried[1] == len(trial.past) else None
        self.places[number] = len(trial.past)
        self.request = Request(
            number=number,
            experiment=number,
            attempt=1,
            kind="baseline" if trial.is_baseline else "candidate",
            commit=f"{number:07d}",
            parent=incumbent.commit if incumbent else f"{number:07d}",
            seed=FRESH if seed is None else seed,
            message=trial.candidate.label,
            created=0.0,
            lines_added=trial.lines_added,
            lines_removed=trial.lines_removed,
            retries=retried[0] if retried else None,
        )
        self.side = "candidate"
        self.counted = {"candidate": len(trial.candidate.scores), "incumbent": len(trial.incumbent.scores)}

    def _seed_of_retest(self, trial: Trial) -> int | None:
        """As submit.confirm has it."""
        self.side = "candidate"
        known = self.learner().learn().known
        seed = knowledge.retest_seed(known) if known else None
        return None if seed in trial.candidate.seeds else seed

    def _race(self, trial: Trial, learned: Learned, seed: int) -> Race | None:
        known = learned.known
        assert known is not None
        ran = list(zip(trial.incumbent.seeds, trial.incumbent.results, strict=True))
        rival = next((result for other, result in ran if other == seed), ran[-1][1])
        removed, added = changed_text(trial.incumbent.text, trial.candidate.text)
        return racing.set_up(
            known,
            seed,
            racing.spreads(known.sigma, known.effects.unit, learned.forecasts, learned.false_kills),
            rival.curve,
            self.bytes_per_token,
            [*removed, *added],
            trial.lines_added < trial.lines_removed,
            racing.is_control("replay", len(self.runs)),
            "",
        )

    def _record(self, version: Version) -> Record:
        """Of its newest run."""
        result, seed = version.results[-1], version.seeds[-1]
        told, hopeless = racing.look(result.curve, self.race) if self.race else ((), None)
        return measured(
            "finished",
            seed,
            val_bpb=result.val_bpb,
            foretold=told,
            gain=self.race.expected - result.val_bpb if self.race else None,
            hopeless=hopeless.share if hopeless else None,
        )

    def _ran(self, side: str, left: Record) -> None:
        """One more run of the trial under way."""
        first = self.request
        assert first is not None
        request = replace(first, number=len(self.runs), seed=left.seed)
        if side == "incumbent":
            request = replace(request, kind="confirm", commit=first.parent, retries=None)
        elif request.number != first.number:
            request = replace(request, kind="confirm")
        self.runs.append(Run(Path(), request, left, None, False))

    def _judge(self) -> verdict.Verdict:
        """The verdict on the newest experiment, logged where it is one."""
        learner = self.learner()
        found = situation.judge(learner, learner.learn(), self.runs)
        assert found is not None
        if found.status != "confirm":
            self.runs[-1] = replace(self.runs[-1], decision=logged(found))
        return found


def scores(version: Version) -> tuple[Score, ...]:
    return tuple(Score(seed, val_bpb) for seed, val_bpb in zip(version.seeds, version.scores, strict=True))


def pinned(noise_prior: float, baseline_runs: int) -> Campaign:
    """A campaign of which nothing matters but this. By its budget no machine is disturbed."""
    return Campaign(
        tag="replay", created=0.0, bench="", base="", preparation="", preparation_key="", budget="1tok",
        profile="small", device="cpu", noise_prior=noise_prior, baseline_runs=baseline_runs, sandbox="",
        sandbox_program="", python="", environment={}, data_sha256={}, lock_sha256="",
    )  # fmt: skip


def measured(
    outcome: str,
    seed: int,
    *,
    reason: str = "",
    val_bpb: float | None = None,
    share: float = 1.0,
    foretold: Sequence[float | None] = (),
    gain: float | None = None,
    hopeless: float | None = None,
) -> Record:
    """A record of which nothing matters but this."""
    return Record(
        outcome=outcome, reason=reason, val_bpb=val_bpb, causal=True, seconds=0.0, total_seconds=0.0, share=share,
        budget_overrun=0.0, tokens=0, steps=0, peak_memory_mb=0.0, mfu_percent=0.0, num_params=0, depth=None,
        seed=seed, restarts=0, foretold=list(foretold), gain=gain, hopeless=hopeless,
    )  # fmt: skip


def logged(found: verdict.Verdict) -> record.Decision:
    return record.Decision(
        status=found.status, val_bpb=None, memory_gb=0.0, description="", note="", reasons=list(found.reasons),
        framework=[], composite=found.framework.composite, band=found.framework.band, runs=[], logged_at=0.0,
        provisional=found.provisional, error=found.error,
    )  # fmt: skip


# By name; a fresh one for each campaign.
POLICIES: dict[str, Callable[[], Policy]] = {"keep-if-lower": KeepIfLower, "ours": Ours}
