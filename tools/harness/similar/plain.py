"""Expressions in a plain form, in which it does not matter how they were written."""

from __future__ import annotations

import ast
import copy
import functools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..constants import BINARY
from .change import Value

DIGITS_MOST = 50.0  # of a power that is worked out


@dataclass(frozen=True)
class Line:
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


_LITERAL, _STRANGE = "__literal", "__strange"
_MARK = re.compile(rf"({_LITERAL}|{_STRANGE})_(\d+)_")


class Plain(ast.NodeTransformer):
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

    def line(self, node: ast.stmt, scope: str, rank: int, function: str) -> Line:
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
        return Line(scope, rank, shape, tuple(values), tuple(names), function)

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
