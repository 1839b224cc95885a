"""A change as its parts, and how far apart two changes are.

Values are near by 10 %, or by a quarter of the smaller step from what stood there before, up to 25 %: 0.02 to 0.08
and to 0.09, but not 0.02 to 0.03 and to 0.04. Shares close to one are measured by what they lack, as memories are:
0.98 and 0.99 are far apart. Small whole numbers, and what is no number, are near when equal.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

Value = float | int | str | bool | None  # complex numbers, bytes and ... by their repr

TENTH = math.log(1.1)  # on a scale of ratios
QUARTER = 0.25  # of the smaller step …
STEP_MOST = math.log(1.25)  # … up to this, on a scale of ratios
COUNTS_MOST = 16  # whole numbers up to this are counts (layers, heads), and one more is another experiment
FAR = 4.0  # gaps from which on there is nothing alike; 1 is the most that is near


@dataclass(frozen=True)
class Part:
    """One statement that changed. `was`, `now`: with `#` for each literal, empty where there is none; the same
    where only literals changed. `scope`: the class and function that it stands in; `old`, `new`: the literals."""

    scope: str
    was: str
    now: str
    old: tuple[Value, ...]
    new: tuple[Value, ...]

    @property
    def place(self) -> str:
        """What it is about, literals aside."""
        return f"{self.scope}|{self.was}|{self.now}"

    @property
    def is_setting(self) -> bool:
        return self.was == self.now

    @property
    def order(self) -> str:
        """What parts of one place are put in order by."""
        return repr((self.new, self.old))


Change = tuple[Part, ...]


def distance(one: Change, other: Change) -> float:
    """0 for the same, 1 where no part of the two is alike."""
    pairs = list(_pairs(one, other))
    if not pairs:
        return 0.0
    unlike = [2 * _gap(a, b) / FAR if a and b else 1.0 for a, b in pairs]
    total = sum(2 if a and b else 1 for a, b in pairs)
    return math.fsum(unlike) / total


def near(one: Change, other: Change) -> bool:
    """Whether they are the same experiment. An edit that changes nothing is like no other."""
    pairs = list(_pairs(one, other))
    return bool(pairs) and all(a is not None and b is not None and _gap(a, b) <= 1.0 for a, b in pairs)


def one_line(change: Change) -> str:
    """The change in a line: `MATRIX_LR 0.02 -> 0.04; GPT.forward: 2 in, 1 out`."""
    told = [_setting(part) for part in change if part.is_setting]
    for scope in dict.fromkeys(part.scope for part in change if not part.is_setting):
        code = [part for part in change if part.scope == scope and not part.is_setting]
        counts = (sum(bool(part.now) for part in code), "in"), (sum(bool(part.was) for part in code), "out")
        told.append(f"{scope or 'train.py'}: " + ", ".join(f"{n} {word}" for n, word in counts if n))
    return "; ".join(told) or "nothing but layout and comments"


def _setting(part: Part) -> str:
    moved = ", ".join(f"{a} -> {b}" for a, b in zip(part.old, part.new, strict=True) if differ(a, b))
    name, equals, rest = part.now.partition(" = ")
    plain = equals and name.isidentifier() and (rest == "#" or set(rest) <= set("(#, )[]"))
    return f"{name} {moved}" if plain else f"{part.scope or 'train.py'}: {part.now}: {moved}"


# ---------------------------------------------------------------------------------------------------
# How far apart


def _pairs(one: Change, other: Change) -> Iterator[tuple[Part | None, Part | None]]:
    """Parts of the same place side by side; one without its like beside None."""
    places: dict[str, tuple[list[Part], list[Part]]] = defaultdict(lambda: ([], []))
    for side, change in enumerate((one, other)):
        for part in change:
            places[part.place][side].append(part)
    for place in sorted(places):
        ours, theirs = (sorted(parts, key=lambda part: part.order) for parts in places[place])
        for at in range(max(len(ours), len(theirs))):
            yield (ours[at] if at < len(ours) else None, theirs[at] if at < len(theirs) else None)


def _gap(one: Part, other: Part) -> float:
    """0 for the same literals, up to 1 for near ones, FAR at most."""
    if len(one.new) != len(other.new):
        return FAR
    olds = ((a, b) if one.is_setting else (None, None) for a, b in _befores(one, other))
    return max((gap(*old, a, b) for old, a, b in zip(olds, one.new, other.new, strict=True)), default=0.0)


def _befores(one: Part, other: Part) -> Iterable[tuple[Value, Value]]:
    same = len(one.old) == len(other.old) == len(one.new)
    return zip(one.old, other.old, strict=True) if same else [(None, None)] * len(one.new)


def gap(old_one: Value, old_other: Value, one: Value, other: Value) -> float:
    """How far apart two new values are: at most 1 where they are near. `old_…`: what each took the place of, None
    where nothing stood there."""
    if not differ(one, other):
        return 0.0
    values = [one, other, *(old for old in (old_one, old_other) if old is not None)]
    if not all(_is_number(value) for value in values):
        return FAR
    numbers = [float(value) for value in values if value is not None]
    if not all(map(math.isfinite, numbers)):
        return FAR
    if all(isinstance(value, int) for value in (one, other)) and max(map(abs, numbers[:2])) <= COUNTS_MOST:
        return FAR
    return min(FAR, max(_on(*scale, numbers) for scale in _scales(numbers)))


def _scales(numbers: Sequence[float]) -> Iterator[tuple[Callable[[float], float], float, float]]:
    """Each scale that the numbers are compared on, with what is a tenth on it, and the most that a step allows."""
    if min(numbers) > 0 or max(numbers) < 0:
        yield (lambda value: math.log(abs(value))), TENTH, STEP_MOST
    else:
        yield (lambda value: value), 0.1 * max(map(abs, numbers[:2])), math.inf
    if min(numbers) >= 0.5 and max(numbers) < 1:
        yield (lambda value: math.log(1 - value)), TENTH, STEP_MOST


def _on(scale: Callable[[float], float], tenth: float, most: float, numbers: Sequence[float]) -> float:
    one, other, *olds = map(scale, numbers)
    apart = abs(one - other)
    if len(olds) < 2:
        return apart / tenth
    steps = one - olds[0], other - olds[1]
    if steps[0] * steps[1] <= 0:  # one goes up and one down, or one does not move
        return FAR
    return apart / max(tenth, min(most, QUARTER * min(map(abs, steps))))


def differ(one: Value, other: Value) -> bool:
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
