"""A run's curve with everything that was logged beside the loss, losses that are no numbers among it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OWN = ("step", "progress", "seconds", "tokens", "loss")  # the fields of a row; what else is there is extra


@dataclass(frozen=True)
class Row:
    """One logged step. `progress`: share of the budget; `seconds`: since the clock started; `loss`: nats a token,
    NaN where it was not finite; `extra`: what train.py and prepare.py logged besides, finite numbers alone."""

    step: int
    progress: float
    seconds: float
    tokens: int
    loss: float
    extra: Mapping[str, float]


def read(path: str | os.PathLike[str]) -> tuple[Row, ...]:
    """The rows in `path`, oldest first; () when there is none. Torn and nonsense lines are passed by."""
    try:
        text = Path(path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return ()
    return rows(map(_parsed, text.split("\n")))


def rows(items: Iterable[object]) -> tuple[Row, ...]:
    """The rows of `items`, objects as in curve.jsonl. Of a run that was started again, its last attempt."""
    found: list[Row] = []
    for item in items:
        row = _row(item)
        if row is None:
            continue
        while found and found[-1].step >= row.step:
            found.pop()
        found.append(row)
    return tuple(found)


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _row(item: object) -> Row | None:
    if not isinstance(item, dict):
        return None
    place = [_finite(item.get(name)) for name in OWN[:4]]
    if "loss" not in item or any(number is None or not 0 <= number <= 1e15 for number in place):
        return None
    step, progress, seconds, tokens = (number or 0.0 for number in place)
    loss = _finite(item["loss"])
    numbers = {name: _finite(value) for name, value in item.items() if name not in OWN}
    extra = {str(name): number for name, number in numbers.items() if number is not None}
    return Row(int(step), progress, seconds, int(tokens), math.nan if loss is None else loss, extra)


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
