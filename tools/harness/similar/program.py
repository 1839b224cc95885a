"""A train.py read into statements, and what its names are."""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class _Facts:
    """`names`: all that is written as a name; `made`: those that are bound, attributes too; `own`: those that a
    function binds for itself; `imports`: what aliases stand for."""

    names: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    own: frozenset[str] = frozenset()
    imports: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """A statement of the module, or of a class in it. `text`: its lines as they stand."""

    scope: str
    text: str
    node: ast.stmt


@dataclass(frozen=True)
class _Top:
    """A statement of the module: its lines from `start` (from 0) to before `end`, and its units."""

    start: int
    end: int
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Program:
    """The facts of all its units; `bound`: what each function binds."""

    tops: tuple[_Top, ...]
    units: tuple[Unit, ...]
    names: frozenset[str]
    made: frozenset[str]
    bound: dict[str, frozenset[str]]
    imports: dict[str, str]


@functools.lru_cache(maxsize=8)
def read(text: str) -> Program | None:
    tops = _tops(text)
    return _program(tops) if tops is not None else None


def read_beside(before: Program, parent: str, text: str) -> Program | None:
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
        return read(text)
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


def _program(tops: Sequence[_Top]) -> Program | None:
    units = tuple(unit for top in tops for unit in top.units)
    try:
        facts = [_facts(unit) for unit in units]
    except RecursionError:
        return None
    imports = {alias: path for one in facts for alias, path in one.imports.items()}
    names = frozenset().union(*(one.names for one in facts), imports.values())
    made = frozenset().union(*(one.made for one in facts))
    bound = {function_of(unit): one.own for unit, one in zip(units, facts, strict=True) if one.own}
    return Program(tuple(tops), units, names, made, bound, imports)


_KNOWN_MOST = 4096
_known: dict[str, _Facts] = {}  # by text: most of a program is as it was in the one before


def _facts(unit: Unit) -> _Facts:
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


def _units(body: Sequence[ast.stmt], lines: Sequence[str], scope: str) -> Iterator[Unit]:
    for node in body:
        if is_silent(node):
            continue
        if isinstance(node, ast.ClassDef) and node.body:
            head = copy.copy(node)
            head.body = [ast.Pass()]
            yield Unit(scope, _slice(lines, node, min(_first(node.body[0]) - 1, node.lineno)), head)
            yield from _units(node.body, lines, scoped(scope, node.name))
        else:
            yield Unit(scope, _slice(lines, node, node.end_lineno or node.lineno), node)


def _slice(lines: Sequence[str], node: ast.stmt, end: int) -> str:
    return "\n".join(lines[_first(node) - 1 : max(end, node.lineno)])


def _first(node: ast.stmt) -> int:
    """The first line of a statement, its decorators' among them; from 1."""
    return min([node.lineno, *(int(one.lineno) for one in getattr(node, "decorator_list", ()))])


def is_silent(node: ast.AST) -> bool:
    """Whether a statement does nothing: a docstring, a number alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def scoped(scope: str, name: str) -> str:
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


def function_of(unit: Unit) -> str:
    """The scope whose names the unit's statements bind; empty for the module's and a class's."""
    inside = isinstance(unit.node, (ast.FunctionDef, ast.AsyncFunctionDef))
    return scoped(unit.scope, unit.node.name) if inside else ""  # type: ignore[attr-defined]
