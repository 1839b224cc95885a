"""The constants of train.py: found, read and replaced by its syntax tree, and nothing around them touched.

A constant is a name that the module binds once, on a line of its own, to a literal: a number, a text, True or
False, a tuple of them, or arithmetic on numbers (2**18). Whatever hangs on another name is computed, and is
refused: what it is computed from is the constant.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import Refused
from .branch import TRAIN

PREFIXES = {"full": "FULL_", "small": "SMALL_"}  # of the constants that one profile alone reads
NEAREST = 3  # names that a refusal offers
VALUE_MOST = 200  # characters of a value
_BITS_MOST = 4096  # of a whole number that a power makes
_LINE_END = re.compile(rb"\r\n|\r|\n")  # as the tokenizer counts lines
_BOM = b"\xef\xbb\xbf"

# Arithmetic that is worked out where both sides are literals.
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


@dataclass(frozen=True)
class Constant:
    """One constant. `text`: its value as it is written; `start`, `end`: where that stands in the file (bytes)."""

    name: str
    line: int
    text: str
    value: object
    start: int
    end: int


@dataclass(frozen=True)
class Value:
    """A value to put in its place, as it is written and as it is."""

    text: str
    value: object


class _NoLiteral(ValueError):
    """Says why an expression is none."""


def resolve(source: bytes, name: str, profile: str) -> Constant:
    """The constant that `name` stands for in `profile`: itself, or with the profile's prefix. Raises Refused."""
    bound = _bindings(source)
    own = PREFIXES.get(profile, f"{profile.upper()}_")
    full = name if name in bound else own + name
    if full not in bound:
        raise Refused(f"{TRAIN} has no constant {name[:60]}{_nearest(name, own, bound)}")
    foreign = next((other for other in PREFIXES.values() if other != own and full.startswith(other)), None)
    if foreign is not None:
        twin = own + full.removeprefix(foreign)
        instead = f": sweep {twin}" if twin in bound else ""
        raise Refused(f"{full} does nothing here, since the campaign's profile is {profile}{instead}")
    return _constant(source, full, bound[full])


def parse(text: str, like: Constant) -> Value:
    """A value as a person types it, of the type of the constant `like`. Raises Refused."""
    text = text.strip()
    if len(text) > VALUE_MOST or not text:
        raise Refused(f"a value for {like.name} has {len(text)} characters: give 1 to {VALUE_MOST}")
    found = None
    try:
        value = evaluate(text)
        found = Value(_in_one_line(text), value)
    except _NoLiteral as why:
        if not isinstance(like.value, str):
            raise Refused(f"{text!r} is no value for {like.name} ({like.text}): {why}") from None
    if isinstance(like.value, str) and not (found and isinstance(found.value, str)):
        found = Value(_quoted(text), text)  # the shell took its quotes
    assert found is not None
    if isinstance(like.value, float) and type(found.value) is int:
        found = Value(repr(float(found.value)), float(found.value))
    if kind(found.value) != kind(like.value) and like.value is not None:
        own = f"{like.name} ({like.text}) is {kind(like.value)}"
        raise Refused(f"{text!r} is {kind(found.value)}, and {own}: give a value of its type")
    return found


def same(one: object, other: object) -> bool:
    """Whether two values are the same, of the same type."""
    return kind(one) == kind(other) and one == other


def replace(source: bytes, values: Mapping[str, str]) -> bytes:
    """The file with new values, as they are to be written, by full name. All else stays, byte for byte.

    Raises Refused where one of them is no constant of it.
    """
    bound = _bindings(source)
    found = []
    for name in values:
        if name not in bound:
            raise Refused(f"{TRAIN} has no constant {name[:60]} any more")
        found.append(_constant(source, name, bound[name]))
    for one in sorted(found, key=lambda constant: -constant.start):
        source = source[: one.start] + values[one.name].encode() + source[one.end :]
    return source


def read(source: bytes, name: str) -> str:
    """The value of a constant as it is written. Raises Refused."""
    bound = _bindings(source)
    if name not in bound:
        raise Refused(f"{TRAIN} has no constant {name[:60]} any more")
    return _constant(source, name, bound[name]).text


def evaluate(text: str) -> object:
    """What a literal, or arithmetic on literals, comes to. Raises ValueError where it is neither."""
    try:
        return _evaluate(ast.parse(text, mode="eval").body)
    except _NoLiteral:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _NoLiteral("it is no Python literal") from None


def number(text: str) -> int | float | None:
    """The number that a literal is; None where it is anything else."""
    value = evaluate(text)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def kind(value: object) -> str:
    """A value's type in words, by which values are held against each other."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)} ({', '.join(map(kind, value))})"
    names = {bool: "True or False", int: "a whole number", float: "a float", str: "a text", type(None): "None"}
    return names.get(type(value), type(value).__name__)


# ---------------------------------------------------------------------------------------------------
# In the file


def _bindings(source: bytes) -> dict[str, list[ast.stmt]]:
    """The statements by which the module binds each of its names, in their order. Raises Refused."""
    try:
        tree = ast.parse(source.removeprefix(_BOM).decode(), TRAIN)
    except UnicodeDecodeError:
        raise Refused(f"{TRAIN} is not UTF-8 text: save it as that") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Refused(f"{TRAIN} cannot be parsed as Python: {error}") from None
    found: dict[str, list[ast.stmt]] = {}
    for statement in _statements(tree.body):
        for name in _bound_by(statement):
            found.setdefault(name, []).append(statement)
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All that are carried out in the module's own scope, those under an `if` or a `try` among them."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                yield from _statements(handler.body)


def _bound_by(statement: ast.stmt) -> set[str]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign, ast.For, ast.AsyncFor)):
        targets = [statement.target]
    nodes = (node for target in targets for node in ast.walk(target))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _constant(source: bytes, name: str, statements: list[ast.stmt]) -> Constant:
    if len(statements) > 1:
        lines = ", ".join(str(statement.lineno) for statement in statements)
        raise Refused(f"{name} is bound more than once ({TRAIN} lines {lines}): bind it once, then sweep it")
    statement = statements[0]
    alone = isinstance(statement, ast.AnnAssign) or (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Name)
    )
    if not alone or not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
        raise Refused(f"{TRAIN} line {statement.lineno} binds {name} with others: give it a line of its own")
    try:
        value = _evaluate(statement.value)
    except _NoLiteral as why:
        raise Refused(f"{name} is computed ({TRAIN} line {statement.lineno}): {why}; edit by hand") from None
    start, end = _span(source, statement.value)
    return Constant(name, statement.lineno, source[start:end].decode(), value, start, end)


def _span(source: bytes, node: ast.expr) -> tuple[int, int]:
    """Where an expression stands in the file: first byte, and the one after its last."""
    skipped = len(_BOM) if source.startswith(_BOM) else 0
    lines = [skipped, *(match.end() for match in _LINE_END.finditer(source))]
    assert node.end_lineno is not None and node.end_col_offset is not None  # of parsed code they are known
    return lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset


def _evaluate(node: ast.expr) -> object:
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, (bool, int, float, str, type(None))) or _is_endless(node.value):
            raise _NoLiteral(f"{ast.unparse(node)[:60]} is no number, text, True or False")
        return node.value
    if isinstance(node, ast.Tuple):
        return tuple(_evaluate(part) for part in node.elts)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _number(_UNARY[type(node.op)](_number(_evaluate(node.operand))))
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        left, right = _number(_evaluate(node.left)), _number(_evaluate(node.right))
        if isinstance(node.op, ast.Pow) and abs(right) * max(math.log2(abs(left) or 1.0), 1.0) > _BITS_MOST:
            raise _NoLiteral(f"{ast.unparse(node)[:60]} is too large")
        try:
            return _number(BINARY[type(node.op)](left, right))
        except (ArithmeticError, ValueError) as error:
            raise _NoLiteral(f"{ast.unparse(node)[:60]} has no value ({error})") from None
    names = sorted({part.id for part in ast.walk(node) if isinstance(part, ast.Name)})
    if names:
        raise _NoLiteral(f"it hangs on {', '.join(names[:3])}")
    raise _NoLiteral(f"{ast.unparse(node)[:60]} is no literal")


def _number(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or _is_endless(value):
        raise _NoLiteral(f"{str(value)[:60]} is no number to compute with")
    return value


def _is_endless(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _in_one_line(text: str) -> str:
    """An expression as it was typed; without a comment or a line end, which could not stand anywhere."""
    return text if text.isprintable() and "#" not in text else ast.unparse(ast.parse(text, mode="eval"))


def _quoted(text: str) -> str:
    """A text as this project writes literals."""
    plain = text.isprintable() and '"' not in text and "\\" not in text
    return f'"{text}"' if plain else repr(text)


def _nearest(name: str, own: str, bound: Mapping[str, list[ast.stmt]]) -> str:
    """Constants with names like `name`, as the end of a refusal."""
    foreign = tuple(prefix for prefix in PREFIXES.values() if prefix != own)
    by_word = {one.removeprefix(own): one for one in bound if one.isupper() and not one.startswith(foreign)}
    word = name.upper().removeprefix(own)
    close = difflib.get_close_matches(word, by_word, NEAREST)
    close += [one for one in by_word if word in one and one not in close][: NEAREST - len(close)]
    return f"; the nearest: {', '.join(by_word[one] for one in close)}" if close else ": see its section 1"
