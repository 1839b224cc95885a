"""What a campaign's records teach: the noise, what is known, how far curves foretell; and the facts of a
verdict."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from . import disturbance, effects, history, noise, verdict
from .belief import Mixture, Normal
from .campaign import Campaign
from .effects import Measured
from .experiment import Experiment, Incumbent
from .history import Entry
from .knowledge import Knowledge
from .levels import Score
from .noise import Noise
from .racing import SHARES, Forecast, spreads
from .record import Run


@dataclass(frozen=True)
class Learned:
    """`known`: after all decided experiments, None before the baseline is; `beliefs`: of the gain of each of them,
    by number; `levels`: of the incumbent's true val_bpb after each, the baseline among them. `band`: share of
    tokens that a run may lack beside its commit's others."""

    noise: Noise
    pairing: float
    band: float
    known: Knowledge | None
    beliefs: dict[int, Mixture]
    forecasts: tuple[Forecast, ...]
    controls: int  # runs that were hopeless by their curve, and were finished all the same
    false_kills: int  # of these, the ones that were worth a second look
    raced: int  # runs that were stopped
    levels: dict[int, Normal] = field(default_factory=dict)


class Learner:
    """Reads the experiments of one campaign, in their order."""

    def __init__(self, experiments: Sequence[Experiment], campaign: Campaign) -> None:
        self.experiments, self.campaign = experiments, campaign
        self.by_commit: dict[str, list[Run]] = {}
        for experiment in experiments:
            for run in experiment.runs:
                if run.scored:
                    self.by_commit.setdefault(run.request.commit, []).append(run)

    @functools.cached_property
    def band(self) -> float:
        return disturbance.band([[_tokens(run) for run in runs] for runs in self.by_commit.values()])

    @functools.cached_property
    def disturbed(self) -> dict[int, str]:
        """Why runs do not count, by number."""
        if self.campaign.budget.endswith("tok"):
            return {}
        found = {}
        for runs in self.by_commit.values():
            for run in runs:
                others = [_tokens(other) for other in runs if other is not run]
                dip = run.record.dip if run.record else ""
                why = disturbance.judge((), _tokens(run), others, (), self.band) if others else dip
                if why:
                    found[run.request.number] = why
        return found

    def scores(self, runs: Sequence[Run]) -> tuple[Score, ...]:
        """Of the runs that count. One seed counts once: the same digits again are no evidence."""
        found: dict[int, Score] = {}
        for run in runs:
            if run.scored and run.request.number not in self.disturbed and run.record and run.record.val_bpb:
                found.setdefault(run.request.seed, Score(run.request.seed, run.record.val_bpb))
        return tuple(found.values())

    def scores_of_keep(self, kept: Experiment) -> tuple[Score, ...]:
        """The same of an experiment that was kept, which has one always: when later runs of its commit show that
        all of its own were disturbed, they are all that there is."""
        every = {run.request.seed: run.record.val_bpb for run in kept.own if run.scored and run.record}
        return self.scores(kept.own) or tuple(Score(seed, bpb) for seed, bpb in every.items() if bpb)

    def learn(self) -> Learned:
        """Everything, over the experiments that are decided."""
        settled = [one for one in self.experiments if one.settled and one.decision]
        kept = (at for at, one in enumerate(settled) if one.decision and one.decision.status == "keep")
        first = next(kept, None)
        baseline = self.scores_of_keep(settled[first]) if first is not None else ()
        prior = self.campaign.noise_prior
        if first is None or not baseline:
            alone = [[score.val_bpb for score in self.scores(runs)] for runs in self.by_commit.values()]
            measured = noise.estimate(alone, prior)
            pairing = noise.pairing((), measured.cautious)
            return Learned(measured, pairing, self.band, None, {}, (), 0, 0, 0)
        tried = settled[first + 1 :]
        numbers = {one.number: at for at, one in enumerate(tried)}
        entries = [self._entry(one, numbers) for one in tried]
        measured = noise.estimate(history.repeats(baseline, entries), prior)
        sigma = measured.cautious
        pairing = noise.pairing(history.differences(baseline, entries), sigma)
        ended = [(run.record, one) for one in tried for run in one.own if run.record and run.scored]
        forecasts = tuple(
            Forecast(tuple(record.foretold), record.gain)
            for record, _ in ended
            if len(record.foretold) == len(SHARES) and record.gain is not None
        )
        controls = [one for record, one in ended if record.hopeless is not None]
        kept_after_all = [one for one in controls if one.decision and one.decision.status == "keep"]
        false_kills = sum(not one.provisional for one in kept_after_all)
        widths = spreads(sigma, effects.UNIT * prior, forecasts, false_kills)
        entries = [
            replace(entry, foretold=_foretold(one, widths, sigma)) if _raced(one) else entry
            for one, entry in zip(tried, entries, strict=True)
        ]
        told = history.fold(baseline, entries, sigma, pairing, prior)
        return Learned(
            noise=measured,
            pairing=pairing,
            band=self.band,
            known=told.known,
            beliefs={one.number: belief for one, belief in zip(tried, told.beliefs, strict=True) if belief},
            forecasts=forecasts,
            controls=len(controls),
            false_kills=false_kills,
            raced=sum(_raced(one) for one in tried),
            levels=dict(zip([settled[first].number, *numbers], told.levels, strict=True)),
        )

    def _entry(self, experiment: Experiment, numbers: dict[int, int]) -> Entry:
        """Without what a curve foretold: how sure that is must be learned first."""
        request, decision = experiment.candidate.request, experiment.decision
        kept = decision is not None and decision.status == "keep"
        return Entry(
            scores=self.scores_of_keep(experiment) if kept else self.scores(experiment.own),
            again=self.scores(experiment.again),
            kept=kept,
            simpler=request.lines_added < request.lines_removed,
            seed=experiment.own[-1].request.seed if _raced(experiment) else None,
            retried=numbers.get(request.retries) if request.retries is not None else None,
        )

    def facts(self, experiment: Experiment, learned: Learned, held: Incumbent | None) -> verdict.Facts:
        """What the verdict is decided from. The experiment's last run has its record."""
        request = experiment.candidate.request
        records = [run.record for run in experiment.own if run.record]
        newest = records[-1]
        known = learned.known
        for score in self.scores(experiment.again):
            known = known.ran_again(score) if known else None
        numbers = [run.request.number for run in experiment.own]
        disturbed = [self.disturbed[number] for number in numbers if number in self.disturbed]
        # A re-test that was disturbed has tested nothing.
        void = experiment.retest and experiment.own[-1].request.number in self.disturbed
        return verdict.Facts(
            outcome=newest.outcome,
            scores=() if void else self.scores(experiment.own),
            known=None if experiment.is_baseline else known,
            prior=learned.beliefs.get(request.retries) if request.retries is not None else None,
            runs=len(experiment.own) + len(experiment.again),
            incumbent_runs=len(held.scores) if held else 0,
            disturbed=tuple(disturbed),
            lines_added=request.lines_added,
            lines_removed=request.lines_removed,
            peak_memory_mb=max(r.peak_memory_mb for r in records),
            incumbent_peak_memory_mb=held.peak_memory_mb if held else 0.0,
            memory_limit_gb=request.memory_limit_gb,
            seconds=newest.seconds,
            budget_overrun=max(r.budget_overrun for r in records),
            share=newest.share,
            is_baseline=experiment.is_baseline,
            baseline_runs=self.campaign.baseline_runs,
            causal=all(r.causal for r in records if r.outcome == "finished"),
            raced=newest.reason if newest.raced else "",
            retest=experiment.retest,
        )


def _tokens(run: Run) -> int:
    return run.record.tokens if run.record else 0


def _foretold(experiment: Experiment, widths: Sequence[float], sigma: float) -> Measured | None:
    """The gain that the curve of a run foretold where it was stopped."""
    newest = experiment.own[-1].record
    if newest is None or newest.hopeless not in SHARES:
        return None
    at = SHARES.index(newest.hopeless)
    gain = newest.foretold[at] if at < len(newest.foretold) else None
    return None if gain is None else Measured(gain, widths[at] ** 2 + sigma**2)


def _raced(experiment: Experiment) -> bool:
    newest = experiment.own[-1].record
    return newest is not None and newest.raced
