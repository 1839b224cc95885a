"""What a name in a file stands for, as far as its text tells: after `from torch import nn`, `nn` for torch.nn.

Scopes are Python's. A name that is bound to different things, or to what only the running program knows, stands
for nothing; one that is bound nowhere is a builtin.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

# Modules that are the same wherever another one carries them along: torch.os is os.
CARRIED = {
    "os", "sys", "builtins", "importlib", "subprocess", "ctypes", "inspect", "pickle", "io", "socket", "shutil",
    "tempfile", "mmap", "linecache",
}  # fmt: skip
DEPTH_MOST = 20  # names that stand for names; further ones are not followed

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef)
_ARITHMETIC = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)

Value = str | ast.expr | None  # what is bound to a name: a dotted path, an expression, something unknown


@dataclass(eq=False)
class Scope:
    """A module, class, function or comprehension, with all that its names are ever bound to."""

    node: ast.AST
    parent: Scope | None
    bound: dict[str, list[Value]] = field(default_factory=dict)
    module_wide: set[str] = field(default_factory=set)  # declared global


class Names:
    """A file, read once. `nodes` are in the order in which they are written, `parent` is the node around one."""

    def __init__(self, tree: ast.Module) -> None:
        self.nodes: list[ast.AST] = []
        self.parent: dict[ast.AST, ast.AST] = {}
        self.reads_docs = False  # docstrings are data then
        self._module = Scope(tree, None)
        self._scope: dict[ast.AST, Scope] = {}  # of nodes
        self._given: dict[ast.AST, ast.expr | None] = {}  # the value that a target of an assignment gets
        self._own_attributes: set[str] = set()  # that the file gives to its classes and their objects
        self._known: dict[tuple[Scope, str], str | None] = {}  # paths of names
        todo: list[tuple[ast.AST, Scope]] = [(tree, self._module)]
        while todo:
            node, scope = todo.pop()
            self.nodes.append(node)
            self._scope[node] = scope
            self._read(node, scope)
            for child, within in reversed(list(_children(node, scope))):
                self.parent[child] = node
                todo.append((child, within))

    # -- what it answers

    def path(self, node: ast.AST, depth: int = 0) -> str | None:
        """The dotted name that an expression stands for, builtins.… for a builtin; None if that is not plain."""
        attributes: list[str] = []
        while taken := step(node):
            node, attribute = taken
            attributes.append(attribute)
        if not isinstance(node, ast.Name):
            return None
        root = self._path_of(node.id, self._scope[node], depth)
        return canonical(".".join([root, *reversed(attributes)])) if root else None

    def literal(self, node: ast.expr) -> tuple[object, ...] | None:
        """What an expression of constants and of names of constants is made of; None where it is anything else."""
        parts: list[object] = []
        for part in ast.walk(node):
            if isinstance(part, ast.Constant):
                parts.append(part.value)
            elif isinstance(part, _ARITHMETIC):
                parts.append(type(part))
            elif isinstance(part, ast.Name) and (binder := self._binder(part.id, self._scope[part])):
                values = [value.value for value in binder.bound[part.id] if isinstance(value, ast.Constant)]
                if len(values) < len(binder.bound[part.id]):
                    return None
                parts += values
            elif not isinstance(part, ast.expr_context):
                return None
        return tuple(parts)

    def is_own(self, owner: ast.expr, attribute: str) -> bool:
        """Whether an attribute belongs to an object of the file's own rather than to the run."""
        return is_self(owner) or (attribute in self._own_attributes and last(owner) != "run")

    # -- reading

    def _read(self, node: ast.AST, scope: Scope) -> None:
        """Note what a node binds."""
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                self._bind(node.id, self._given.get(node), scope)
            self.reads_docs |= node.id == "__doc__"
        elif isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Store) and is_self(node.value):
                self._own_attributes.add(node.attr)
            self.reads_docs |= node.attr == "__doc__"
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._give(target, node.value)
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
            self._give(node.target, node.value)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self._bind(alias.asname or top, alias.name if alias.asname else top, scope)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self._bind(alias.asname or alias.name, f"{node.module}.{alias.name}", scope)
        elif isinstance(node, ast.Global):
            scope.module_wide.update(node.names)
        elif isinstance(node, ast.arg):
            self._bind(node.arg, None, scope)
        elif isinstance(node, ast.MatchMapping):
            self._bind(node.rest, None, scope)
        elif not isinstance(node, ast.alias):  # def, class, except, case, a type's parameter
            name = getattr(node, "name", None)
            self._bind(name if isinstance(name, str) else None, None, scope)

    def _give(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                self._give(one, its)
        else:
            self._given[target] = value

    def _bind(self, name: str | None, value: Value, scope: Scope) -> None:
        if name is None or (isinstance(value, ast.Name) and value.id == name):  # open = open says nothing
            return
        if isinstance(scope.node, ast.ClassDef):
            self._own_attributes.add(name)
        scope = self._module if name in scope.module_wide else scope
        scope.bound.setdefault(name, []).append(value)

    # -- looking up

    def _binder(self, name: str, scope: Scope) -> Scope | None:
        """The scope whose `name` is meant in `scope`. A class's names are seen from its own body alone."""
        at: Scope | None = self._module if name in scope.module_wide else scope
        while at and (name not in at.bound or (at is not scope and isinstance(at.node, ast.ClassDef))):
            at = at.parent
        return at

    def _path_of(self, name: str, scope: Scope, depth: int) -> str | None:
        binder = self._binder(name, scope)
        if binder is None:
            return f"builtins.{name}"
        if (binder, name) not in self._known:
            self._known[binder, name] = None  # while it is looked up: a = b; b = a stand for nothing
            paths: set[str | None] = set()
            for value in binder.bound[name]:
                if isinstance(value, ast.Constant) and value.value is None:
                    continue  # a stand-in for what could not be imported
                if isinstance(value, ast.expr):
                    value = self.path(value, depth + 1) if depth < DEPTH_MOST else None
                paths.add(value)
            self._known[binder, name] = paths.pop() if len(paths) == 1 else None
        return self._known[binder, name]


def _children(node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
    """What a node in `scope` is made of, each part with the scope that its names are looked up in."""
    inner = Scope(node, scope) if isinstance(node, _SCOPES) else scope
    for name, value in ast.iter_fields(node):
        within = scope
        if name in ("body", "args") or isinstance(node, _COMPREHENSIONS):
            within = inner
        elif name in ("defaults", "kw_defaults"):  # of parameters: worked out where the function is made
            within = scope.parent or scope
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, ast.AST):
                yield child, within


def canonical(path: str) -> str:
    """A dotted name from the last module on that is the same wherever it is reached: torch.os.path is os.path."""
    root, *parts = path.split(".")
    if root not in ("builtins", "prepare"):
        for i in reversed(range(len(parts))):
            if (module := parts[i].lstrip("_")) in CARRIED:
                return ".".join([module, *parts[i + 1 :]])
    return path


# ---------------------------------------------------------------------------------------------------
# Single expressions


def step(node: ast.AST) -> tuple[ast.expr, str] | None:
    """The object and the attribute of x.a, getattr(x, "a"), x.__dict__["a"] and vars(x)["a"]."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if isinstance(node, ast.Call) and last(node.func) == "getattr" and len(node.args) > 1:
        return (node.args[0], name) if (name := text_of(node.args[1])) else None
    if isinstance(node, ast.Subscript) and (name := text_of(node.slice)):
        if isinstance(node.value, ast.Attribute) and node.value.attr == "__dict__":
            return node.value.value, name
        if isinstance(node.value, ast.Call) and last(node.value.func) == "vars" and node.value.args:
            return node.value.args[0], name
    return None


def last(node: ast.AST | None) -> str | None:
    """The name that an expression ends in: b of a.b."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def text_of(node: ast.AST | None) -> str | None:
    """The string that an expression is."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")
