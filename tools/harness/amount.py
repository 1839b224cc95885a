"""How much the literals of a file hold, all taken together: many small ones have as much room as a large one.

Counted is what the running program can read: the digits of numbers, each time that they are written, since their
order tells something too; the characters of strings, with docstrings, which are an attribute; and the names that
a file gives, each once. A string that stands alone and is no docstring is gone when the file is compiled, and
comments are not even parsed.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

# What is counted, and how much of it a file may hold: four to six times what the largest of tests/honest does.
DIGITS, TEXT, NAMES = "digits of numbers", "characters of strings and docstrings", "characters of names"
MOST = {DIGITS: 4_000, TEXT: 24_000, NAMES: 16_000}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_COLLECTIONS = (ast.List, ast.Tuple, ast.Set)


def too_much(nodes: list[ast.AST]) -> Iterator[tuple[int, str, int]]:
    """What there is too much of: the line where it becomes too much, its name, how much there is in all."""
    totals, lines = dict.fromkeys(MOST, 0), dict[str, int]()
    for line, what, amount in sorted(amounts(nodes)):
        totals[what] += amount
        if totals[what] > MOST[what]:
            lines.setdefault(what, line)
    for what, line in lines.items():
        yield line, what, totals[what]


def amounts(nodes: list[ast.AST]) -> Iterator[tuple[int, str, int]]:
    """What each node holds by itself, with its line."""
    unread = set(_unread(nodes))
    known: set[str] = set()
    for node in nodes:
        line = getattr(node, "lineno", 1)
        if isinstance(node, ast.Constant):
            if node not in unread:
                yield line, *_of_constant(node.value)
            continue
        if isinstance(node, _COLLECTIONS):  # [a, b, b, a] is as good as [0, 1, 1, 0]
            yield line, DIGITS, sum(isinstance(part, ast.Name) for part in node.elts)
        for name in _names(node):
            if name not in known:
                known.add(name)
                yield line, NAMES, len(name)


def _of_constant(value: object) -> tuple[str, int]:
    return (TEXT, len(value)) if isinstance(value, (str, bytes)) else (DIGITS, digits(value))


def digits(value: object) -> int:
    """Decimal digits that say which number it is: 1 of 1000.0, 3 of 0.0125; 1 of True, None and ..."""
    if isinstance(value, int):
        return max(1, math.ceil(value.bit_length() * math.log10(2)))
    return max(1, len("".join(filter(str.isdigit, repr(value))).strip("0")))


def _unread(nodes: list[ast.AST]) -> Iterator[ast.expr]:
    """Strings and numbers that stand alone as a statement: no program can read them, but for docstrings."""
    docs = {node.body[0] for node in nodes if isinstance(node, _DOCUMENTED) and node.body}
    for node in nodes:
        alone = node.value if isinstance(node, ast.Expr) else None
        if isinstance(alone, ast.Constant) and not (node in docs and isinstance(alone.value, str)):
            yield alone


def _names(node: ast.AST) -> Iterator[str]:
    """Names that a node is written with, whatever they name."""
    for _, value in ast.iter_fields(node):
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, str):
                yield part
