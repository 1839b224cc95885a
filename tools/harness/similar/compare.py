"""What one program changes of another."""

from __future__ import annotations

import ast
import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from .change import Change, Part, differ
from .plain import Line, Plain
from .program import FUNCTIONS, Program, Unit, function_of, is_silent, scoped


def compare(before: Program, after: Program) -> Change:
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
                if any(map(differ, a.values, b.values)):
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


def _without(units: Iterable[Unit], same: Counter[tuple[str, str]]) -> Iterator[Unit]:
    left = Counter(same)
    for unit in units:
        if left[unit.scope, unit.text] > 0:
            left[unit.scope, unit.text] -= 1
        else:
            yield unit


def _matches(old: Sequence[Line], new: Sequence[Line]) -> Sequence[tuple[str, int, int, int, int]]:
    matcher = SequenceMatcher(None, [o.key for o in old], [n.key for n in new], autojunk=False)
    return matcher.get_opcodes()


def _renamings(old: Sequence[Line], new: Sequence[Line]) -> dict[str, dict[str, str]]:
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


def _numbered(line: Line) -> Line:
    """`line` with its new names by their number in the statement, as they may be any."""
    numbers: dict[str, str] = {}
    first, *pieces = line.shape.split("?")
    named = (numbers.setdefault(name, f"_{len(numbers) + 1}") for name in line.names)
    shape = first + "".join(name + piece for name, piece in zip(named, pieces, strict=True))
    return Line(line.scope, line.rank, shape, line.values, (), line.function)


def _given(units: Sequence[Unit], before: Program, after: Program) -> dict[tuple[str, str], ast.expr]:
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
    folded = Plain().visit(copy.deepcopy(node)) if node is not None else None
    return folded if isinstance(folded, ast.Constant) else None


def _home(unit: Unit, name: str, program: Program) -> str:
    function = function_of(unit)
    return function if name in program.bound.get(function, frozenset()) else ""


@dataclass(frozen=True)
class _Names:
    """What the names of `program` come to beside `other`. `given`, see _given; `renamed`, by function: what a name
    is called in the other."""

    program: Program
    other: Program
    given: dict[tuple[str, str], ast.expr] = field(default_factory=dict)
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)

    def plain(self, function: str) -> Plain:
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
        return Plain(imports, is_strange, given, self.renamed.get(function, {}))


def _lines(unit: Unit, names: _Names) -> Iterator[Line]:
    """The statements of a unit."""
    function = function_of(unit)
    plain = names.plain(function)
    scope = ".".join("?" if plain.is_strange(name) else name for name in unit.scope.split("."))
    yield from _flat([unit.node], scope if unit.scope else "", 0, plain, function)


_BLOCKS = ("body", "handlers", "orelse", "finalbody")


def _flat(
    body: Sequence[ast.stmt], scope: str, rank: int, plain: Plain, function: str
) -> Iterator[Line]:  # fmt: skip
    for node in body:
        if is_silent(node) or isinstance(node, ast.Pass):
            continue
        head = copy.copy(node)
        blocks = [(name, inner) for name in _BLOCKS if isinstance(inner := getattr(node, name, None), list)]
        for name, _ in blocks:
            setattr(head, name, [ast.Pass()] if name == "body" else [])
        if not plain.is_given(head):
            yield plain.line(head, scope, rank, function)
        inside = scope
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            inside = scoped(scope, "?" if plain.is_strange(node.name) else node.name)
        for name, inner in blocks:
            if inner and name in ("orelse", "finalbody"):
                yield Line(inside, rank, name, (), (), function)
            yield from _flat(inner, inside, rank + 1, plain, function)
