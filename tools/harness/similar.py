"""Whether two edits of train.py are the same experiment, whatever they are written like.

An edit is described by what it does to the program: statements that came, statements that went, and literals that
took another value where the statement around them stayed. Layout, comments, docstrings, annotations, the order of
what is added or multiplied, names that the edit itself brought in or renamed, and a number given a name of its own
do not count. Two descriptions have a distance, and are near where every part of one has its like in the other:
then a second run would tell what the first one told.

Values are near by 10 %, or by a quarter of the smaller step from what stood there before, up to 25 %: 0.02 to 0.08
and to 0.09, but not 0.02 to 0.03 and to 0.04. Shares close to one are measured by what they lack, as memories are:
0.98 and 0.99 are far apart. Small whole numbers, and what is no number, are near when equal.
"""

from __future__ import annotations

import ast
import copy
import functools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from .constants import BINARY

Value = float | int | str | bool | None  # complex numbers, bytes and ... by their repr

TENTH = math.log(1.1)  # on a scale of ratios
QUARTER = 0.25  # of the smaller step …
STEP_MOST = math.log(1.25)  # … up to this, on a scale of ratios
COUNTS_MOST = 16  # whole numbers up to this are counts (layers, heads), and one more is another experiment
FAR = 4.0  # gaps from which on there is nothing alike; 1 is the most that is near
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DIGITS_MOST = 50.0  # of a power that is worked out
INERT = {"full": "SMALL_", "small": "FULL_"}  # constants that a profile does not read


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


def describe(parent: str, candidate: str, profile: str = "") -> Change | None:
    """What `candidate` changes of `parent`, in no order that an edit could choose; None where one is no Python.

    `profile`: full or small, whose constants alone act; those of the other one are left out.
    """
    before = _read(parent)
    after = _read_beside(before, parent, candidate) if before else None
    if before is None or after is None:
        return None
    try:
        parts = _compare(before, after)
    except RecursionError:
        return None
    inert = INERT.get(profile)
    return tuple(part for part in parts if not (inert and (part.now or part.was).startswith(inert)))


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


def summary(change: Change) -> str:
    """The change in a line: `MATRIX_LR 0.02 -> 0.04; GPT.forward: 2 in, 1 out`."""
    told = [_setting(part) for part in change if part.is_setting]
    for scope in dict.fromkeys(part.scope for part in change if not part.is_setting):
        code = [part for part in change if part.scope == scope and not part.is_setting]
        counts = (sum(bool(part.now) for part in code), "in"), (sum(bool(part.was) for part in code), "out")
        told.append(f"{scope or 'train.py'}: " + ", ".join(f"{n} {word}" for n, word in counts if n))
    return "; ".join(told) or "nothing but layout and comments"


def _setting(part: Part) -> str:
    moved = ", ".join(f"{a} -> {b}" for a, b in zip(part.old, part.new, strict=True) if _differ(a, b))
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
    if not _differ(one, other):
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


def _differ(one: Value, other: Value) -> bool:
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


# ---------------------------------------------------------------------------------------------------
# Reading a program


@dataclass
class _Facts:
    """`names`: all that is written as a name; `made`: those that are bound, attributes too; `own`: those that a
    function binds for itself; `imports`: what aliases stand for."""

    names: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    own: frozenset[str] = frozenset()
    imports: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Unit:
    """A statement of the module, or of a class in it. `text`: its lines as they stand."""

    scope: str
    text: str
    node: ast.stmt


@dataclass(frozen=True)
class _Top:
    """A statement of the module: its lines from `start` (from 0) to before `end`, and its units."""

    start: int
    end: int
    units: tuple[_Unit, ...]


@dataclass(frozen=True)
class _Program:
    """The facts of all its units; `bound`: what each function binds."""

    tops: tuple[_Top, ...]
    units: tuple[_Unit, ...]
    names: frozenset[str]
    made: frozenset[str]
    bound: dict[str, frozenset[str]]
    imports: dict[str, str]


@functools.lru_cache(maxsize=8)
def _read(text: str) -> _Program | None:
    tops = _tops(text)
    return _program(tops) if tops is not None else None


def _read_beside(before: _Program, parent: str, text: str) -> _Program | None:
    """The program `text`, of which only what differs from `parent` is parsed, where that stands by itself."""
    old, new = parent.split("\n"), text.split("\n")
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    first = [top for top in before.tops if top.end <= start]
    last = [top for top in before.tops if top.start >= len(old) - end]
    at, until = first[-1].end if first else 0, last[0].start if last else len(old)
    between = [top for top in before.tops if top not in first and top not in last]
    shared = any(top.start < at or top.end > until for top in between)  # a line, by semicolons
    middle = None
    if not shared and "\r" not in text and "\r" not in parent:
        # What begins or ends in the middle of a statement is no Python by itself.
        middle = _tops("\n".join(new[at : until + len(new) - len(old)]))
    if middle is None:
        return _read(text)
    return _program([*first, *middle, *last])


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines two texts have in common at their beginning."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)


def _tops(text: str) -> list[_Top] | None:
    """The statements of a module with these lines; None where it is no Python."""
    lines = text.split("\n")
    try:
        body = ast.parse(text).body
        return [
            _Top(_first(node) - 1, node.end_lineno or node.lineno, tuple(_units([node], lines, "")))
            for node in body
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _program(tops: Sequence[_Top]) -> _Program | None:
    units = tuple(unit for top in tops for unit in top.units)
    try:
        facts = [_facts(unit) for unit in units]
    except RecursionError:
        return None
    imports = {alias: path for one in facts for alias, path in one.imports.items()}
    names = frozenset().union(*(one.names for one in facts), imports.values())
    made = frozenset().union(*(one.made for one in facts))
    bound = {_function(unit): one.own for unit, one in zip(units, facts, strict=True) if one.own}
    return _Program(tuple(tops), units, names, made, bound, imports)


_KNOWN_MOST = 4096
_known: dict[str, _Facts] = {}  # by text: most of a program is as it was in the one before


def _facts(unit: _Unit) -> _Facts:
    found = _known.get(unit.text)
    if found is None:
        if len(_known) >= _KNOWN_MOST:
            _known.clear()
        found = _known[unit.text] = _Facts()
        for node in ast.walk(unit.node):
            _note(node, found)
        if isinstance(unit.node, FUNCTIONS):
            found.own = _locals(unit.node)
    return found


def _note(node: ast.AST, facts: _Facts) -> None:
    """Add what a node names, makes and imports."""
    if isinstance(node, ast.Name):
        facts.names.add(node.id)
        if not isinstance(node.ctx, ast.Load):
            facts.made.add(node.id)
    elif isinstance(node, ast.Attribute):
        facts.names.add(node.attr)
        if not isinstance(node.ctx, ast.Load):
            facts.made.add(node.attr)
    elif isinstance(node, ast.arg):
        facts.names.add(node.arg)
        facts.made.add(node.arg)
    elif isinstance(node, ast.keyword):
        facts.names.add(node.arg or "")
    elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        facts.names.add(node.name)
        facts.made.add(node.name)
    elif isinstance(node, ast.Import):
        facts.imports.update({alias.asname: alias.name for alias in node.names if alias.asname})
    elif isinstance(node, ast.ImportFrom):
        facts.imports.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})


def _units(body: Sequence[ast.stmt], lines: Sequence[str], scope: str) -> Iterator[_Unit]:
    for node in body:
        if _is_silent(node):
            continue
        if isinstance(node, ast.ClassDef) and node.body:
            head = copy.copy(node)
            head.body = [ast.Pass()]
            yield _Unit(scope, _slice(lines, node, min(_first(node.body[0]) - 1, node.lineno)), head)
            yield from _units(node.body, lines, _inside(scope, node.name))
        else:
            yield _Unit(scope, _slice(lines, node, node.end_lineno or node.lineno), node)


def _slice(lines: Sequence[str], node: ast.stmt, end: int) -> str:
    return "\n".join(lines[_first(node) - 1 : max(end, node.lineno)])


def _first(node: ast.stmt) -> int:
    """The first line of a statement, its decorators' among them; from 1."""
    return min([node.lineno, *(int(one.lineno) for one in getattr(node, "decorator_list", ()))])


def _is_silent(node: ast.AST) -> bool:
    """Whether a statement does nothing: a docstring, a number alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _inside(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def _locals(function: ast.AST) -> frozenset[str]:
    """What is bound inside a function, in those nested in it too; what it calls global is not."""
    found: set[str] = set()
    outside: set[str] = {"self", "cls"}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            outside.update(node.names)
    return frozenset(found - outside)


# ---------------------------------------------------------------------------------------------------
# Comparing two programs


@dataclass(frozen=True)
class _Line:
    """A statement fit to compare: its header alone where others stand in it. `names`: the strange ones in it, in
    order, each as `?` in the shape; `rank`: how deep it stands; `function`: whose names it binds."""

    scope: str
    rank: int
    shape: str
    values: tuple[Value, ...]
    names: tuple[str, ...]
    function: str

    @property
    def key(self) -> tuple[str, int, str]:
        return self.scope, self.rank, self.shape


def _compare(before: _Program, after: _Program) -> Change:
    # What stands in both, letter for letter, needs no closer look.
    same = Counter((u.scope, u.text) for u in before.units) & Counter((u.scope, u.text) for u in after.units)
    old_units, new_units = (list(_without(program.units, same)) for program in (before, after))
    # First all names that only one of the two has are blank; then the candidate's are called as the parent's that
    # they took the place of, and what is left blank is new.
    renamed = _renamings(
        [line for unit in old_units for line in _lines(unit, _Names(before, after))],
        [line for unit in new_units for line in _lines(unit, _Names(after, before))],
    )
    old = [line for unit in old_units for line in _lines(unit, _Names(before, before))]
    given = _given(new_units, before, after)
    given = {(home, name): value for (home, name), value in given.items() if name not in renamed.get(home, {})}
    names = _Names(after, before, given, renamed)
    new = [_numbered(line) for unit in new_units for line in _lines(unit, names)]
    parts: list[Part] = []
    for tag, i, j, k, m in _matches(old, new):
        if tag == "equal":
            for a, b in zip(old[i:j], new[k:m], strict=True):
                if any(map(_differ, a.values, b.values)):
                    parts.append(Part(a.scope, a.shape, b.shape, a.values, b.values))
        else:
            parts += [Part(line.scope, line.shape, "", line.values, ()) for line in old[i:j]]
            parts += [Part(line.scope, "", line.shape, (), line.values) for line in new[k:m]]
    return tuple(sorted(_settled(parts), key=lambda part: (part.place, part.order)))


def _settled(parts: Sequence[Part]) -> list[Part]:
    """`parts`, with a statement that went here and came there said once: as moved."""
    gone = Counter((p.scope, p.was, p.old) for p in parts if not p.now)
    came = Counter((p.scope, p.now, p.new) for p in parts if not p.was)
    moved = gone & came
    left = {"was": Counter(moved), "now": Counter(moved)}
    kept = []
    for part in parts:
        side = "was" if not part.now else "now"
        key = (part.scope, part.was or part.now, part.old if side == "was" else part.new)
        if part.is_setting or left[side][key] <= 0:
            kept.append(part)
            continue
        left[side][key] -= 1
        if side == "now":
            kept.append(Part(part.scope, "", f"moved: {part.now}", (), part.new))
    return kept


def _without(units: Iterable[_Unit], same: Counter[tuple[str, str]]) -> Iterator[_Unit]:
    left = Counter(same)
    for unit in units:
        if left[unit.scope, unit.text] > 0:
            left[unit.scope, unit.text] -= 1
        else:
            yield unit


def _matches(old: Sequence[_Line], new: Sequence[_Line]) -> Sequence[tuple[str, int, int, int, int]]:
    matcher = SequenceMatcher(None, [o.key for o in old], [n.key for n in new], autojunk=False)
    return matcher.get_opcodes()


def _renamings(old: Sequence[_Line], new: Sequence[_Line]) -> dict[str, dict[str, str]]:
    """By function: which name of the parent each strange name of the candidate stands for, as statements that are
    otherwise alike tell."""
    votes: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)  # in order: what binds a name comes first
    for tag, i, j, k, m in _matches(old, new):
        if tag == "equal":
            for a, b in zip(old[i:j], new[k:m], strict=True):
                votes[b.function].update(dict.fromkeys(zip(b.names, a.names, strict=True)))
    found: dict[str, dict[str, str]] = {}
    for function, pairs in votes.items():
        names: dict[str, str] = {}
        for theirs, ours in pairs:
            if theirs not in names and ours not in names.values():
                names[theirs] = ours
        found[function] = names
    return found


def _numbered(line: _Line) -> _Line:
    """`line` with its new names by their number in the statement, as they may be any."""
    numbers: dict[str, str] = {}
    first, *pieces = line.shape.split("?")
    named = (numbers.setdefault(name, f"_{len(numbers) + 1}") for name in line.names)
    shape = first + "".join(name + piece for name, piece in zip(named, pieces, strict=True))
    return _Line(line.scope, line.rank, shape, line.values, (), line.function)


def _given(units: Sequence[_Unit], before: _Program, after: _Program) -> dict[tuple[str, str], ast.expr]:
    """New names that stand for one literal, by scope: `GAIN = 1.2` is 1.2 wherever it is read."""
    bindings: dict[tuple[str, str], list[ast.expr | None]] = defaultdict(list)
    for unit in units:
        for node in ast.walk(unit.node):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bindings[_home(unit, node.id, after), node.id].append(None)
            elif isinstance(node, ast.arg):
                bindings[_home(unit, node.arg, after), node.arg].append(None)
        for assign in ast.walk(unit.node):
            if isinstance(assign, (ast.Assign, ast.AnnAssign)) and (value := _literal(assign.value)) is not None:
                targets = assign.targets if isinstance(assign, ast.Assign) else [assign.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        bindings[_home(unit, target.id, after), target.id].append(value)
    found = {}
    for (scope, name), bound in bindings.items():
        values = [value for value in bound if value is not None]
        strange = name not in (before.bound.get(scope, frozenset()) if scope else before.names)
        read_as_such = scope or not name.startswith(("FULL_", "SMALL_"))  # those are read under another name
        if strange and read_as_such and len(values) == 1 and len(bound) == 2:
            found[scope, name] = values[0]
    return found


def _literal(node: ast.expr | None) -> ast.expr | None:
    folded = _Plain().visit(copy.deepcopy(node)) if node is not None else None
    return folded if isinstance(folded, ast.Constant) else None


def _function(unit: _Unit) -> str:
    """The scope whose names the unit's statements bind; empty for the module's and a class's."""
    inside = isinstance(unit.node, (ast.FunctionDef, ast.AsyncFunctionDef))
    return _inside(unit.scope, unit.node.name) if inside else ""  # type: ignore[attr-defined]


def _home(unit: _Unit, name: str, program: _Program) -> str:
    function = _function(unit)
    return function if name in program.bound.get(function, frozenset()) else ""


@dataclass(frozen=True)
class _Names:
    """What the names of `program` come to beside `other`. `given`, see _given; `renamed`, by function: what a name
    is called in the other."""

    program: _Program
    other: _Program
    given: dict[tuple[str, str], ast.expr] = field(default_factory=dict)
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)

    def plain(self, function: str) -> _Plain:
        """For the statements of one function."""
        own = self.program.bound.get(function, frozenset())
        theirs = self.other.bound.get(function, frozenset())

        def is_strange(name: str) -> bool:
            if name in own:
                return name not in theirs
            return name in self.program.made and name not in self.other.names

        given = {
            name: value
            for (scope, name), value in self.given.items()
            if scope == function or (not scope and name not in own)
        }
        imports = {alias: path for alias, path in self.program.imports.items() if alias not in own}
        return _Plain(imports, is_strange, given, self.renamed.get(function, {}))


def _lines(unit: _Unit, names: _Names) -> Iterator[_Line]:
    """The statements of a unit."""
    function = _function(unit)
    plain = names.plain(function)
    scope = ".".join("?" if plain.is_strange(name) else name for name in unit.scope.split("."))
    yield from _flat([unit.node], scope if unit.scope else "", 0, plain, function)


_BLOCKS = ("body", "handlers", "orelse", "finalbody")


def _flat(
    body: Sequence[ast.stmt], scope: str, rank: int, plain: _Plain, function: str
) -> Iterator[_Line]:  # fmt: skip
    for node in body:
        if _is_silent(node) or isinstance(node, ast.Pass):
            continue
        head = copy.copy(node)
        blocks = [(name, inner) for name in _BLOCKS if isinstance(inner := getattr(node, name, None), list)]
        for name, _ in blocks:
            setattr(head, name, [ast.Pass()] if name == "body" else [])
        if not plain.is_given(head):
            yield plain.line(head, scope, rank, function)
        inside = scope
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            inside = _inside(scope, "?" if plain.is_strange(node.name) else node.name)
        for name, inner in blocks:
            if inner and name in ("orelse", "finalbody"):
                yield _Line(inside, rank, name, (), (), function)
            yield from _flat(inner, inside, rank + 1, plain, function)


_LITERAL, _STRANGE = "__literal", "__strange"
_MARK = re.compile(rf"({_LITERAL}|{_STRANGE})_(\d+)_")


class _Plain(ast.NodeTransformer):
    """Rewrites an expression to its plain form, in which it does not matter how it was written."""

    def __init__(
        self,
        imports: dict[str, str] | None = None,
        is_strange: Callable[[str], bool] = lambda name: False,
        given: dict[str, ast.expr] | None = None,
        renamed: dict[str, str] | None = None,
    ) -> None:
        self.imports, self.given, self.renamed = imports or {}, given or {}, renamed or {}
        self._is_strange = is_strange

    def is_strange(self, name: str) -> bool:
        return name not in self.renamed.values() and self._is_strange(name)

    def _called(self, name: str) -> str:
        return self.renamed.get(name, name)

    def is_given(self, node: ast.stmt) -> bool:
        """Whether a statement only gives a literal its new name."""
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        named = [target.id for target in targets if isinstance(target, ast.Name)]
        return isinstance(node, (ast.Assign, ast.AnnAssign)) and bool(named) and set(named) <= self.given.keys()

    def line(self, node: ast.stmt, scope: str, rank: int, function: str) -> _Line:
        masked = _Masked(self.is_strange)
        shown = masked.visit(self.visit(copy.deepcopy(node)))
        text = ast.unparse(ast.fix_missing_locations(shown)).removesuffix("\n    pass").rstrip(":")
        values, names = [], []
        for mark, number in _MARK.findall(text):
            if mark == _LITERAL:
                values.append(masked.values[int(number)])
            else:
                names.append(masked.names[int(number)])
        shape = _MARK.sub(lambda found: "#" if found[1] == _LITERAL else "?", text)
        return _Line(scope, rank, shape, tuple(values), tuple(names), function)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self.given:
            return copy.copy(self.given[node.id])
        return ast.Name(self.imports.get(node.id) or self._called(node.id), node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return ast.Attribute(self.visit(node.value), self._called(node.attr), node.ctx)

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        return ast.keyword(self._called(node.arg) if node.arg else None, self.visit(node.value))

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self._called(node.arg))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns, node.name = None, self._called(node.name)
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._called(node.name)
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return node
        return ast.Assign([node.target], node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        target = copy.deepcopy(node.target)
        target.ctx = ast.Load()
        return self.visit(ast.Assign([node.target], ast.BinOp(target, node.op, node.value)))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.USub) and _number(node.operand):
            return ast.Constant(-node.operand.value)  # type: ignore[attr-defined]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        folded = _folded(node)
        if folded is not None:
            return folded
        if isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant) and node.right.value == 2:
            return _square(node.left)
        if isinstance(node.op, (ast.Add, ast.Mult)):
            terms = sorted(_terms(node, type(node.op)), key=self._order)
            return functools.reduce(lambda left, right: ast.BinOp(left, node.op, right), terms)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        node.keywords.sort(key=lambda keyword: keyword.arg or "")
        if isinstance(node.func, ast.Attribute) and node.func.attr == "pow" and len(node.args) == 1:
            power = node.args[0]
            if isinstance(power, ast.Constant) and power.value == 2:
                return _square(node.func.value)
        return node

    def _order(self, node: ast.expr) -> str:
        """What a term is put in order by: literals, and names that an edit may have chosen, are left out."""
        return ast.dump(_Masked(self.is_strange).visit(copy.deepcopy(node)))


def _square(node: ast.expr) -> ast.expr:
    """x ** 2 and x.pow(2) as x.square()."""
    return ast.Call(ast.Attribute(node, "square", ast.Load()), [], [])


def _terms(node: ast.expr, kind: type[ast.operator]) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, kind):
        yield from _terms(node.left, kind)
        yield from _terms(node.right, kind)
    else:
        yield node


def _number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _folded(node: ast.BinOp) -> ast.Constant | None:
    if not (_number(node.left) and _number(node.right)):
        return None
    left, right = node.left.value, node.right.value  # type: ignore[attr-defined]
    if isinstance(node.op, ast.Pow) and abs(right) * math.log10(abs(left) + 10) > DIGITS_MOST:
        return None
    try:
        value = BINARY[type(node.op)](left, right)
    except (KeyError, ArithmeticError, ValueError):
        return None
    return ast.Constant(value) if isinstance(value, (int, float)) else None


class _Masked(ast.NodeTransformer):
    """Puts a mark in the place of each literal, and of each strange name, and remembers them in order."""

    def __init__(self, is_strange: Callable[[str], bool]) -> None:
        self.is_strange = is_strange
        self.values: list[Value] = []
        self.names: list[str] = []

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        value = node.value
        self.values.append(value if isinstance(value, (int, float, str, bool, type(None))) else repr(value))
        return ast.Name(f"{_LITERAL}_{len(self.values) - 1}_", ast.Load())

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        self.values.append(ast.unparse(node))
        return ast.Name(f"{_LITERAL}_{len(self.values) - 1}_", ast.Load())

    def _mark(self, name: str) -> str:
        if not self.is_strange(name):
            return name
        self.names.append(name)
        return f"{_STRANGE}_{len(self.names) - 1}_"

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self._mark(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self._mark(node.arg))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        inner = self.visit(node.value)
        return ast.Attribute(inner, self._mark(node.attr), node.ctx)

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        return ast.keyword(self._mark(node.arg) if node.arg else None, self.visit(node.value))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.name = self._mark(node.name)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.name = self._mark(node.name)
        return node
