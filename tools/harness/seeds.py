"""Seeds: what tells a lucky number in train.py from a better idea. The bench draws them; see `submit`.

Both questions are asked of two texts, the new one and the incumbent's. What is no seed beyond doubt counts as
research: SEED_LAYERS is a number of layers, and a name in the plural alone may be how many there are.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from itertools import chain, zip_longest

from .names import Names, last

SEEDERS = {"manual_seed", "manual_seed_all", "seed"}  # functions that seed all random numbers, or a generator
GENERATORS = {"default_rng", "RandomState", "Random", "PCG64", "Philox"}  # made from a seed
LIBRARIES = ("torch.", "numpy.", "random.")  # whose numbers all of a program shares


def new_literals(names: Names, incumbent: ast.Module | None) -> Iterator[tuple[int, str]]:
    """Line and function of calls that seed a library with a number that the incumbent does not have there."""
    found = list(_literals(names))
    known = {(path, numbers) for _, path, numbers in _literals(Names(incumbent))} if found and incumbent else set()
    yield from ((line, path) for line, path, numbers in found if (path, numbers) not in known)


def alone(new: ast.Module, old: ast.Module) -> int | None:
    """The line where two files begin to differ, if in nothing but seeds; None where they do in more, or not."""
    if first_difference(new, old, but_seeds=True) is not None:
        return None
    return first_difference(new, old, but_seeds=False)


def _literals(names: Names) -> Iterator[tuple[int, str, tuple[object, ...]]]:
    for node in names.nodes:
        if isinstance(node, ast.Call) and last(node.func) in SEEDERS:
            path = names.path(node.func) or ""
            numbers = [names.literal(given) for given in _given(node)]
            if path.startswith(LIBRARIES) and numbers and None not in numbers:
                yield node.lineno, path, tuple(numbers)


def first_difference(new: ast.Module, old: ast.Module, *, but_seeds: bool) -> int | None:
    """The line of `new` where what two files do begins to differ; None where it does not."""
    line, places = 1, set[ast.AST]()
    todo: list[tuple[object, object]] = [(new, old)]
    while todo:
        one, other = todo.pop()
        line = getattr(one, "lineno", line)
        if but_seeds and _is_seed(one, places) and _is_seed(other, places):
            continue
        if type(one) is not type(other):
            return line
        if isinstance(one, list) and isinstance(other, list):
            kept = ([part for part in side if not _is_silent(part, but_seeds)] for side in (one, other))
            todo += reversed(list(zip_longest(*kept)))
        elif isinstance(one, ast.AST) and isinstance(other, ast.AST):
            places.update(_places(one), _places(other))
            todo += reversed([(getattr(one, name, None), getattr(other, name, None)) for name in one._fields])
        elif one != other:
            return line
    return None


def _is_silent(part: object, but_seeds: bool) -> bool:
    """Whether a statement does nothing (a docstring) or, where seeds do not count, nothing but set one."""
    if not isinstance(part, ast.Expr):
        return False
    if but_seeds and isinstance(part.value, ast.Call) and last(part.value.func) in SEEDERS:
        given, keywords = _given(part.value), part.value.keywords
        said = all(_says_seed(keyword.arg) for keyword in keywords)
        return len(given) <= 1 and said and all(_is_seed(value, given) for value in given)
    return isinstance(part.value, ast.Constant)


def _places(node: ast.AST) -> Iterator[ast.AST]:
    """Parts of a node where a whole number is a seed: given to what seeds, or to a name that says so."""
    if isinstance(node, ast.Call):
        seeds = last(node.func) in SEEDERS | GENERATORS or _says_seed(last(node.func))
        if seeds and len(_given(node)) == 1:  # of several it is not clear which one is the seed
            yield from node.args
    elif isinstance(node, ast.keyword) and _says_seed(node.arg):
        yield node.value
    elif isinstance(node, ast.Assign):
        names = [last(target) for target in node.targets]
        if all(map(_says_seed, names)):
            yield node.value
        elif isinstance(node.value, (ast.Tuple, ast.List)) and all(_says_seed(name, "seeds") for name in names):
            yield from node.value.elts
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
        if node.value and _says_seed(last(node.target)):
            yield node.value
    elif isinstance(node, ast.arguments):
        plain = zip(reversed([*node.posonlyargs, *node.args]), reversed(node.defaults), strict=False)
        for argument, default in chain(plain, zip(node.kwonlyargs, node.kw_defaults, strict=True)):
            if default and _says_seed(argument.arg):
                yield default


def _is_seed(node: object, places: Container[object]) -> bool:
    """Whether an expression is whole numbers and names of seeds; without a name it must be in a seed's place."""
    named, todo = node in places if isinstance(node, ast.AST) else False, [node]
    while todo:
        part = todo.pop()
        if isinstance(part, ast.BinOp):
            todo += [part.left, part.right]
        elif isinstance(part, ast.UnaryOp):
            todo.append(part.operand)
        elif isinstance(part, (ast.Name, ast.Attribute)) and _says_seed(last(part)):
            named = True
        elif not (isinstance(part, ast.Constant) and type(part.value) is int):
            return False
    return named


def _given(call: ast.Call) -> list[ast.expr]:
    """All arguments of a call."""
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _says_seed(name: str | None, word: str = "seed") -> bool:
    """Whether a name is `word` or ends in it: seed, DATA_SEED, but not SEED_LAYERS or reseed."""
    return name is not None and name.lower().rpartition("_")[2] == word
