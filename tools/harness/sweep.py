"""A sweep: constants of train.py over values, each of them an experiment like any other, one after the other.

    runs/<tag>/sweeps/NNNN.json    what is swept, written once, and again when it ends

Nothing else is noted down: which values were tried, and what came of them, is read from the experiments' own
records. Each carries its values in its message, as Python: `sweep 0005: SMALL_MATRIX_LR = 0.03`.

Each value is held against the incumbent of its turn. Where one is kept the branch moves, as ever, and the values
that follow have that keep to beat; since they set the same constant, what differs is still that constant alone. To
try all of them against the incumbent of the start would need several experiments open at once, and would end the
same: the best of them must be shown to be better than the next best. The price is that a value which beats the
incumbent of the start clearly, and an earlier value of the sweep by less than can be told, is a discard.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import Refused, constants
from . import campaign as campaigns
from .constants import Constant, Value
from .experiment import Experiment
from .text import read_json, write_json

FOLDER = "sweeps"
DONE, STOPPED = "done", "stopped"
_RANGE = re.compile(r"(?P<low>[^.].*?)\.\.(?P<high>.+)")
_POWER = re.compile(r" *(?P<base>\d+) *\*\* *(?P<power>\d+) *")

Point = tuple[str, ...]  # a value for each constant, as it is written


@dataclass(frozen=True)
class Axis:
    """One constant, by its full name. `before`: its value when the sweep began; `values`: those to try; `ends` of
    the range of a search, where it has one instead of values. All as they are written."""

    name: str
    before: str
    values: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """`number`: of the first run that it could make, which names it; `incumbent`: the commit at its beginning;
    `trials`: how many a search may make, None where every combination is tried; `why`: how it ended."""

    number: int
    created: float  # unix time
    incumbent: str
    axes: tuple[Axis, ...]
    memory_limit_gb: float | None = None
    trials: int | None = None
    ended: float | None = None  # unix time
    why: str = ""

    @property
    def name(self) -> str:
        return f"{self.number:04d}"

    @property
    def is_search(self) -> bool:
        return self.trials is not None

    @property
    def constants(self) -> str:
        return ", ".join(axis.name for axis in self.axes)

    @property
    def before(self) -> Point:
        return tuple(axis.before for axis in self.axes)

    @property
    def points(self) -> list[Point]:
        """Every combination of the values, in the order in which they are tried."""
        return list(itertools.product(*(axis.values for axis in self.axes)))

    @property
    def size(self) -> int:
        """How many experiments it is to be, at most."""
        if self.trials is not None and any(axis.ends for axis in self.axes):
            return self.trials
        is_among = all(axis.before in axis.values for axis in self.axes)
        count = math.prod(len(axis.values) for axis in self.axes) - is_among
        return count if self.trials is None else min(count, self.trials)


def axis(constant: Constant, texts: Sequence[str], search: bool) -> Axis:
    """A constant with the values to try, as a person types them. In a search they may be a range: 0.01..0.08 are
    all numbers between, 2**9..2**12 the powers. Raises Refused.
    """
    if len(texts) == 1 and (found := _RANGE.fullmatch(texts[0])) and not isinstance(constant.value, str):
        if not search:
            raise Refused(f"{texts[0]} is a range, which is for --search: give the values of {constant.name}")
        return _range(constant, found["low"], found["high"])
    if not texts:
        raise Refused(f"no values for {constant.name} ({constant.text}): name those to try")
    values: list[Value] = []
    for text in texts:
        value = constants.parse(text, constant)
        if any(constants.same(value.value, other.value) for other in values):
            raise Refused(f"{text} is given twice for {constant.name}: name each value once")
        # The present value is written as it is, so that it is known as that.
        is_present = constants.same(value.value, constant.value)
        values.append(Value(constant.text, constant.value) if is_present else value)
    return Axis(constant.name, constant.text, tuple(value.text for value in values))


def _range(constant: Constant, low: str, high: str) -> Axis:
    first, last = constants.parse(low, constant), constants.parse(high, constant)
    least, most = constants.number(first.text), constants.number(last.text)
    if least is None or most is None or least >= most:
        raise Refused(f"{low}..{high} is no range of {constant.name}: give two numbers, the lower one first")
    one, other = _POWER.fullmatch(low), _POWER.fullmatch(high)
    if one and other and one["base"] == other["base"]:
        powers = [f"{one['base']}**{power}" for power in range(int(one["power"]), int(other["power"]) + 1)]
        return axis(constant, powers, search=True)
    return Axis(constant.name, constant.text, ends=(first.text, last.text))


# ---------------------------------------------------------------------------------------------------
# What an experiment says of its place in a sweep


def told(plan: Plan, point: Point) -> str:
    """`SMALL_MATRIX_LR = 0.03`, one constant after the other."""
    return "; ".join(f"{axis.name} = {value}" for axis, value in zip(plan.axes, point, strict=True))


def message(plan: Plan, point: Point) -> str:
    """The message of the experiment that tries these values."""
    return f"sweep {plan.name}: {told(plan, point)}"


def point_of(plan: Plan, experiment: Experiment) -> Point | None:
    """The values that an experiment tried for the sweep; None where it is none of the sweep's."""
    said = experiment.runs[0].request.message
    start = f"sweep {plan.name}: "
    if experiment.number < plan.number or not said.startswith(start):
        return None
    try:
        body = ast.parse(said.removeprefix(start)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found = [_assigned(statement, said.removeprefix(start)) for statement in body]
    if [name for name, _ in found] != [axis.name for axis in plan.axes]:
        return None
    return tuple(value for _, value in found)


def _assigned(statement: ast.stmt, said: str) -> tuple[str, str]:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, ast.get_source_segment(said, statement.value) or ""
    return "", ""


def tried(plan: Plan, experiments: Sequence[Experiment]) -> list[tuple[Point, Experiment]]:
    """The sweep's experiments so far, each with its values."""
    pairs = ((point_of(plan, one), one) for one in experiments)
    return [(point, one) for point, one in pairs if point is not None]


def untried(plan: Plan, experiments: Sequence[Experiment]) -> list[Point]:
    """The combinations that are still to be tried, where it is no search."""
    known = {plan.before, *(point for point, _ in tried(plan, experiments))}
    return [point for point in plan.points if point not in known]


# ---------------------------------------------------------------------------------------------------
# On disk


def save(root: Path, tag: str, plan: Plan) -> None:
    """Write the plan, whole."""
    folder = campaigns.folder(root, tag) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{plan.name}.json", asdict(plan))


def newest(root: Path, tag: str) -> Plan | None:
    """The sweep that began last; None where there is none that can be read."""
    folder = campaigns.folder(root, tag) / FOLDER
    for path in sorted(folder.glob("[0-9]*.json"), key=lambda path: (len(path.stem), path.stem), reverse=True):
        plan = _read(read_json(path) or {})
        if plan is not None:
            return plan
    return None


def in_progress(root: Path, tag: str) -> Plan | None:
    """The sweep that has not ended; there is one at most."""
    plan = newest(root, tag)
    return plan if plan is not None and plan.ended is None else None


def _read(value: dict[str, Any]) -> Plan | None:
    try:
        axes = tuple(
            Axis(str(one["name"]), str(one["before"]), tuple(one["values"]), tuple(one["ends"]))
            for one in value["axes"]
        )
        known = {key: value[key] for key in Plan.__dataclass_fields__}
        return Plan(**{**known, "axes": axes, "number": int(value["number"])}) if axes else None
    except (KeyError, TypeError, ValueError):
        return None
