"""Which values a search tries next: Optuna's TPE, asked anew each time with all that the records hold.

No study is stored. The trials are the sweep's experiments, and the sampler's seed is drawn from the sweep and the
number of the trial, so that the next values follow from the records alone, also after a kill. Pruning is the
bench's own racing, which sets a run's curve beside the incumbent's at the same share of the budget: a run that it
stopped is told to Optuna as a pruned trial.

Numbers are searched in steps of a factor where their range is above nothing; values that are listed, in their
order. (J. Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; multivariate: S. Falkner
et al., BOHB, ICML 2018.)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import constants
from .sweep import Axis, Plan, Point
from .text import drawn

RANDOM = 5  # trials until there is something to model
DIGITS = 3  # of a float that is tried: more are beyond the noise
DRAWS_MOST = 50  # for values that were not tried yet


@dataclass(frozen=True)
class Trial:
    """What came of values. `val_bpb`: None where there is none that counts; `share` of the budget at which it was
    stopped, and the gain that was `foretold` then (bpb)."""

    point: Point
    val_bpb: float | None
    share: float = 1.0
    foretold: float | None = None


def suggest(plan: Plan, tag: str, trials: Sequence[Trial], start: float | None) -> Point | None:
    """The values of the next trial; None where all were tried. `start`: val_bpb of the incumbent it began at."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # multivariate is new to it, and has been for years
        seed = drawn(f"{tag}/sweep/{plan.name}/{len(trials)}")
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM, multivariate=True)
        study = optuna.create_study(sampler=sampler)
        space = {axis.name: _distribution(axis) for axis in plan.axes}
        known = [*trials, *([Trial(plan.before, start)] if start is not None else [])]
        for trial in known:
            if params := _params(plan, space, trial.point):
                study.add_trial(_frozen(trial, params, space))
        tried = {plan.before, *(trial.point for trial in trials)}
        for _ in range(DRAWS_MOST):
            asked = study.ask(space)
            point = tuple(_text(axis, asked.params[axis.name]) for axis in plan.axes)
            if point not in tried:
                return point
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
    if any(axis.ends for axis in plan.axes):
        return None
    return next((point for point in plan.points if point not in tried), None)


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.ends:
        low, high = map(constants.number, axis.ends)
        assert low is not None and high is not None  # see sweep.axis
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=low > 0)
        return FloatDistribution(low, high, log=low > 0)
    if _ordered(axis):
        return IntDistribution(0, len(axis.values) - 1)
    return CategoricalDistribution(axis.values)


def _ordered(axis: Axis) -> list[str]:
    """The values by size, where they are numbers; else none."""
    numbers = {text: one for text in axis.values if (one := constants.number(text)) is not None}
    return sorted(numbers, key=lambda text: numbers[text]) if len(numbers) == len(axis.values) else []


def _text(axis: Axis, drawn_value: Any) -> str:
    """What is written into train.py for what the sampler drew."""
    if not axis.ends:
        return str(_ordered(axis)[drawn_value] if _ordered(axis) else drawn_value)
    if isinstance(drawn_value, int):
        return str(drawn_value)
    low, high = map(constants.number, axis.ends)
    assert low is not None and high is not None
    return repr(min(max(float(f"{drawn_value:.{DIGITS}g}"), low), high))


def _params(plan: Plan, space: dict[str, Any], point: Point) -> dict[str, Any] | None:
    """Values as the sampler knows them; None where one is outside of what is searched."""
    found: dict[str, Any] = {}
    for axis, text in zip(plan.axes, point, strict=True):
        if axis.ends:
            found[axis.name] = constants.evaluate(text)
            low, value, high = map(constants.number, (axis.ends[0], text, axis.ends[1]))
            if low is None or value is None or high is None or not low <= value <= high:
                return None
        elif text not in axis.values:
            return None
        else:
            found[axis.name] = _ordered(axis).index(text) if _ordered(axis) else text
    return found


def _frozen(trial: Trial, params: dict[str, Any], space: dict[str, Any]) -> Any:
    """A trial as Optuna knows it. What crashed or needed too much memory is pruned before its first step, which
    ranks it behind all others."""
    from optuna.trial import TrialState, create_trial

    if trial.val_bpb is not None and math.isfinite(trial.val_bpb):
        return create_trial(value=trial.val_bpb, params=params, distributions=space)
    reached = {} if trial.foretold is None else {round(100 * trial.share): -trial.foretold}
    return create_trial(
        state=TrialState.PRUNED, params=params, distributions=space, intermediate_values=reached
    )
