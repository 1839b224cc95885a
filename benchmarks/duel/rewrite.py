"""Another project's file with other constants, in memory: the file on disk stays as it is.

What is changed is a small vocabulary: the value of a name at the top level, the device's name, the seed, a
comparison. All else runs as it was written, and each change is said in words.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType


class UnknownFile(Exception):
    """The file is not the one that this knows how to run. The message is one line."""


@dataclass(frozen=True)
class Factor:
    """Times what stands there."""

    by: float


@dataclass(frozen=True)
class Changes:
    constants: Mapping[str, object] = field(default_factory=dict)  # of top-level names
    device: str | None = None  # instead of "cuda"
    seed: int | None = None  # given to whatever is called manual_seed
    compares: tuple[int, int] | None = None  # `step > a` becomes `step > b`


class _Rewriter(ast.NodeTransformer):
    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.said: list[str] = []
        self.devices = self.pins = self.compares = 0

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if node.value == "cuda" and self.changes.device is not None:
            self.devices += 1
            return ast.copy_location(ast.Constant(self.changes.device), node)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        self.generic_visit(node)
        if node.arg == "pin_memory" and self.changes.device is not None:
            self.pins += 1
            node.value = ast.copy_location(ast.Constant(False), node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        is_seed = isinstance(node.func, ast.Attribute) and node.func.attr == "manual_seed" and node.args
        if is_seed and self.changes.seed is not None:
            node.args[0] = ast.copy_location(ast.Constant(self.changes.seed), node.args[0])
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if self.changes.compares is not None:
            before, after = self.changes.compares
            if ast.unparse(node) == f"step > {before}":
                self.compares += 1
                return ast.copy_location(ast.parse(f"step > {after}", mode="eval").body, node)
        return node


def rewrite(path: Path, changes: Changes) -> tuple[CodeType, list[str]]:
    """The file's code with the changes, and what was changed, a line each. Raises UnknownFile."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UnknownFile(f"{path} cannot be read as Python: {str(error).splitlines()[0]}") from None
    said = [_assign(tree, path, name, value) for name, value in changes.constants.items()]
    rewriter = _Rewriter(changes)
    ast.fix_missing_locations(rewriter.visit(tree))
    if rewriter.devices:
        said.append(f'{path.name}: "cuda" → "{changes.device}" in {rewriter.devices} places')
    if rewriter.pins:
        said.append(f"{path.name}: pin_memory → False in {rewriter.pins} places")
    if changes.compares is not None and not rewriter.compares:
        raise UnknownFile(f"{path} has no `step > {changes.compares[0]}`: it is another version than this knows")
    return compile(tree, str(path), "exec"), said


def _assign(tree: ast.Module, path: Path, name: str, value: object) -> str:
    """Changes the one assignment to `name` at the top level, and says so."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            before = ast.unparse(node.value)
            text = f"({before}) * {value.by!r}" if isinstance(value, Factor) else repr(value)
            node.value = ast.parse(text, mode="eval").body
            ast.fix_missing_locations(ast.copy_location(node.value, node))
            return f"{path.name}: {name} = {before} → {ast.unparse(node.value)}"
    raise UnknownFile(f"{path} has no constant {name}: it is another version than this knows")


def load(name: str, path: Path, changes: Changes) -> tuple[ModuleType, list[str]]:
    """Runs the file as module `name`, so that `import name` finds it from then on."""
    code, said = rewrite(path, changes)
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(code, module.__dict__)
    return module, said
