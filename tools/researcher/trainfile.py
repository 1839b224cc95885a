"""train.py as text: its constants, and edits to it."""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass
from functools import cached_property

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Edit:
    """Replace `find`, which stands exactly once, by `replace`."""

    find: str
    replace: str


@dataclass(frozen=True)
class TrainFile:
    """The text, and the profile that the campaign trains in (`full`, `small`; empty while unknown)."""

    text: str
    profile: str = ""

    def edited(self, edit: Edit) -> TrainFile | None:
        """The file after the edit; None where its `find` does not stand exactly once, or nothing changes."""
        if not edit.find or self.text.count(edit.find) != 1 or edit.find == edit.replace:
            return None
        return TrainFile(self.text.replace(edit.find, edit.replace), self.profile)

    def value(self, name: str) -> str | None:
        """The Python source of a constant's value; None where there is no such constant on one line."""
        found = self._assignments.get(name)
        return found[2] if found else None

    def setting(self, name: str, value: str) -> Edit | None:
        """The edit that gives a constant another value; None where there is no such constant."""
        found = self._assignments.get(name)
        if found is None:
            return None
        line, start, old = found
        return Edit(line, line[:start] + value + line[start + len(old) :])

    def full_name(self, name: str) -> str:
        """The constant that `name` means in this profile: `DEPTH` may stand there as `SMALL_DEPTH`, and where that
        is None, since the machine decides, as `FIT_DEPTH`, from which its rule begins."""
        prefixed = f"{self.profile.upper()}_{name}"
        if self.value(prefixed) == "None" and f"FIT_{name}" in self._assignments:
            return f"FIT_{name}"
        return prefixed if self.profile and prefixed in self._assignments else name

    @cached_property
    def _assignments(self) -> dict[str, tuple[str, int, str]]:
        """Each `NAME = value` at the top level, alone on its line: the line, where the value begins, the value."""
        found: dict[str, tuple[str, int, str]] = {}
        try:
            body = ast.parse(self.text).body
        except (SyntaxError, ValueError):
            return found
        lines = self.text.splitlines()
        for node in body:
            if isinstance(node, ast.Assign):
                target = node.targets[0] if len(node.targets) == 1 else None
            else:
                target = node.target if isinstance(node, ast.AnnAssign) else None
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and value is not None and node.lineno == node.end_lineno:
                line = lines[node.lineno - 1]
                begin, end = (len(line.encode()[:at].decode()) for at in (value.col_offset, value.end_col_offset))
                found[target.id] = line, begin, line[begin:end]  # ast counts in bytes
        return found


def number(source: str | None) -> float | int | None:
    """The value of an arithmetic expression of numbers alone; None for anything else."""
    try:
        return _number(ast.parse(source or "", mode="eval").body)
    except (SyntaxError, KeyError, TypeError, ValueError, ArithmeticError):
        return None


def written(value: float, whole: bool) -> str:
    """A number as Python source: whole, or three significant digits."""
    return repr(round(value) if whole else float(f"{value:.3g}"))


def _number(node: ast.expr) -> float | int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    if isinstance(node, ast.BinOp):
        result: float | int = _OPERATORS[type(node.op)](_number(node.left), _number(node.right))
        return result
    raise ValueError("not a number")
