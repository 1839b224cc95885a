"""Edits of train.py told again in other ways, for benchmarks/recall.py: the same experiment in disguise, and other
experiments that look like it.

Disguises change how an edit is written and not what it does, by rules. Those of REWORDED were written by hand, as
somebody who has only the idea would write it; a comparison of programs need not see through them.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from researcher.trainfile import Edit, TrainFile, number, written

from .edits import Idea, Ideas

PROFILE = "small"
NEARBY = (0.93, 0.96, 1.03, 1.06)  # of a value that an idea gives a constant


@dataclass(frozen=True)
class Planted:
    """`text`: the whole train.py, meant as the idea `label` again; `how`: the disguise."""

    label: str
    how: str
    text: str


def catalogue(ideas: Ideas, base: str) -> dict[str, str]:
    """The text after each idea that applies to `base`, by label."""
    train = TrainFile(base, PROFILE)
    labels = [label for idea in ideas.catalogue.ideas.values() for label in idea.labels(train)]
    texts = {label: ideas.apply(Idea(label, False), base) for label in labels}
    return {label: text for label, text in texts.items() if text is not None}


# ---------------------------------------------------------------------------------------------------
# The same once more


def laid_out(base: str, text: str, dice: random.Random) -> str | None:
    """Comments, blank lines and brackets around what changed; the numbers in another notation."""
    lines = text.split("\n")
    for at in reversed(_changed(base, text)):
        line = lines[at]
        if found := re.fullmatch(r"([A-Z][A-Z0-9_]* = )([^#\n]+?)(\s*#.*)?", line):
            value = _notation(found[2].strip())
            lines[at : at + 1] = ["", f"{found[1]}({value})  # tried again, {dice.randrange(1000)}"]
        elif line.strip().startswith("return ") and line.count("(") == line.count(")"):
            indent = line[: len(line) - len(line.lstrip())]
            value = line.strip().removeprefix("return ")
            lines[at : at + 1] = [f"{indent}return (  # as before", f"{indent}    {value}", f"{indent})"]
        else:
            indent = line[: len(line) - len(line.lstrip())]
            lines[at:at] = [f"{indent}# idea {dice.randrange(1000)}: see the note"]
    return "\n".join(lines)


def _notation(value: str) -> str:
    """0.04 as 4e-2, 512 as 2**9."""
    found = number(value)
    if isinstance(found, int) and found >= 8 and found & (found - 1) == 0:
        return f"2**{found.bit_length() - 1}"
    return f"{found:e}" if isinstance(found, float) and float(f"{found:e}") == found else value


def unparsed(base: str, text: str, dice: random.Random) -> str | None:
    """The whole file as a formatter would write it: no comments, its own brackets and line ends."""
    return ast.unparse(ast.parse(text)) + "\n"


def renamed(base: str, text: str, dice: random.Random) -> str | None:
    """A local name of each changed function called something else."""
    tree, lines = ast.parse(text), text.split("\n")
    changed = _changed(base, text)
    done = False
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        if not any(first <= at < last for at in changed):
            continue
        given = {part.arg for call in ast.walk(tree) if isinstance(call, ast.Call) for part in call.keywords}
        names = sorted(
            {
                part.id
                for part in ast.walk(node)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and len(part.id) > 1
            }
            - given
        ) or ["x"]
        name = dice.choice(names)
        body = "\n".join(lines[first:last])
        # Not after a dot: that is an attribute; not in a string.
        again = re.sub(rf"(?<![.\w\"']){name}\b(?![\"'])", f"{name}_again", body)
        lines[first:last] = again.split("\n")
        done = done or again != body
    return "\n".join(lines) if done else None


def nearby(base: str, text: str, dice: random.Random) -> str | None:
    """A constant set to a value a few percent beside the one that it had."""
    changed = _changed(base, text)
    if len(changed) != 1:
        return None
    lines = text.split("\n")
    found = re.match(r"[A-Z][A-Z0-9_]*(?= = )", lines[changed[0]])
    if found is None:
        return None
    train = TrainFile(text, PROFILE)
    was, now = number(TrainFile(base, PROFILE).value(found[0])), number(train.value(found[0]))
    if not isinstance(now, float) or was is None or not now or now >= 0.9:
        return None
    value = now * dice.choice([factor for factor in NEARBY if (now * factor - was) * (now - was) > 0])
    setting = train.setting(found[0], written(value, False))
    after = train.edited(setting) if setting else None
    return after.text if after else None


def commuted(base: str, text: str, dice: random.Random) -> str | None:
    """Sums and products in changed lines of code the other way round."""
    lines, done = text.split("\n"), False
    for at in _changed(base, text):
        try:
            tree = ast.parse(lines[at].strip())
        except SyntaxError:
            continue
        if not any(isinstance(node, ast.BinOp) for node in ast.walk(tree)):
            continue
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        turned = ast.unparse(ast.fix_missing_locations(_Turn().visit(tree)))
        if not re.match(r"[A-Z]", turned):
            done = done or turned != ast.unparse(ast.parse(lines[at].strip()))
            lines[at] = indent + turned
    return "\n".join(lines) if done else None


class _Turn(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, (ast.Add, ast.Mult)):
            node.left, node.right = node.right, node.left
        return node


def named(base: str, text: str, dice: random.Random) -> str | None:
    """A number in new code given a name of its own at the top of the file."""
    lines = text.split("\n")
    for at in _changed(base, text):
        line = lines[at]
        if not line.startswith(" ") or line.strip().startswith("#"):
            continue
        if found := re.search(r"(?<![\w.\"'])(\d+\.\d+)(?![\w.\"'])", line.split("#")[0]):
            lines[at] = line[: found.start()] + "NEW_SHARE" + line[found.end() :]
            first = next(i for i, one in enumerate(lines) if one.startswith("ROPE_BASE = "))
            lines.insert(first, f"NEW_SHARE = {found[1]}  # of the idea")
            return "\n".join(lines)
    return None


DISGUISES: dict[str, Callable[[str, str, random.Random], str | None]] = {
    "layout": laid_out,
    "formatter": unparsed,
    "renamed locals": renamed,
    "nearby value": nearby,
    "turned round": commuted,
    "number named": named,
}


def _changed(base: str, text: str) -> list[int]:
    """The lines of `text` that `base` does not have there."""
    matcher = SequenceMatcher(None, base.split("\n"), text.split("\n"), autojunk=False)
    return [at for tag, _, _, k, m in matcher.get_opcodes() if tag != "equal" for at in range(k, m)]


# By label: the idea as another hand writes it.
REWORDED: dict[str, Sequence[Sequence[Edit]]] = {
    "gelu": (
        [Edit("F.relu(self.up(x)).square()", "nn.functional.gelu(self.up(x))")],
        [Edit("F.relu(self.up(x)).square()", "torch.nn.functional.gelu(self.up(x))")],
    ),
    "leaky-square": (
        [Edit("F.relu(self.up(x)).square()", "F.leaky_relu(self.up(x), 0.5) ** 2")],
        [Edit("F.relu(self.up(x)).square()", "F.leaky_relu(self.up(x), negative_slope=0.5).pow(2)")],
    ),
    "qk-gain": (
        [
            Edit(
                "q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))",
                "q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))\n        q = q * 1.2",
            )
        ],
        [
            Edit(
                "q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))",
                "q = norm(rotate(q, cos, sin)) * 1.2\n        k = norm(rotate(k, cos, sin))",
            )
        ],
    ),
    "steady-decay": (
        [Edit("    return 1 - progress\n", "    return 1\n")],
        [Edit("    return 1 - progress\n", "    del progress  # it stays\n    return 1.0\n")],
    ),
    "parallel": (
        [
            Edit(
                "        x = x + self.attention(norm(x), tokens, cos, sin)\n"
                "        x = x + self.mlp(norm(x))\n        return x\n",
                "        return x + self.mlp(norm(x)) + self.attention(norm(x), tokens, cos, sin)\n",
            )
        ],
        [
            Edit(
                "        x = x + self.attention(norm(x), tokens, cos, sin)\n"
                "        x = x + self.mlp(norm(x))\n        return x\n",
                "        normed = norm(x)\n        return x + (self.attention(normed, tokens, cos, sin)"
                " + self.mlp(normed))\n",
            )
        ],
    ),
    "no-cautious": (
        [
            Edit(
                "s.value.sub_(lr * (update + decay * s.value * (update * s.value >= 0)))",
                "s.value.sub_(lr * (decay * s.value + update))",
            )
        ],
    ),
    "half-batch=512": ([Edit("SMALL_TOTAL_BATCH = 2**10", "SMALL_TOTAL_BATCH = 4 * 128")],),
    "smear": (
        [
            Edit(
                "        x = x0 = norm(self.embedding(tokens).to(self.dtype))\n",
                "        x = norm(self.embedding(tokens).to(self.dtype))\n"
                "        x = x0 = x + 0.1 * F.pad(x, (0, 0, 1, -1))\n",
            )
        ],
    ),
    "mlp-ratio": (
        [
            Edit(
                "Linear(width, 4 * width), Linear(4 * width, width)",
                "Linear(width, width * 3), Linear(width * 3, width)",
            )
        ],
    ),
    "root-warmdown": (
        [
            Edit(
                "(1 - final) * (1 - progress) / warmdown if",
                "(1 - final) * (1 - ((progress - (1 - warmdown)) / warmdown) ** 0.5) if",
            )
        ],
    ),
}


def reworded(base: str, label: str) -> Iterator[Planted]:
    for edits in REWORDED.get(label, ()):
        train: TrainFile | None = TrainFile(base, PROFILE)
        for edit in edits:
            train = train.edited(edit) if train else None
        if train is not None:
            yield Planted(label, "reworded by hand", train.text)


def planted(base: str, texts: dict[str, str], count: int, seed: int = 0) -> list[Planted]:
    """`count` duplicates: all that were reworded by hand, and disguises drawn for all ideas in turn."""
    dice = random.Random(f"planted {seed}")
    found = [one for label in texts for one in reworded(base, label)]
    made: list[Planted] = []
    for label, text in texts.items():
        for how, disguise in DISGUISES.items():
            other = disguise(base, text, dice)
            if other is not None and other != text and _is_python(other):
                made.append(Planted(label, how, other))
    rare = [one for one in made if one.how in ("turned round", "number named", "renamed locals")]
    common = [one for one in made if one not in rare]
    dice.shuffle(common)
    return [*found, *rare, *common][:count]


# ---------------------------------------------------------------------------------------------------
# Other experiments

STEPS = (0.25, 0.5, 0.67, 1.5, 2.0, 3.0)


def others(base: str, texts: dict[str, str], ideas: Ideas) -> list[Planted]:
    """Experiments that are none of `texts`, each the neighbour of one: another value of its constant (a fifth and
    more from any that the catalogue gives it), its code with a rate tuned, two ideas at once."""
    train = TrainFile(base, PROFILE)
    taken: dict[str | None, list[float]] = {}
    for text in texts.values():
        name = _only_constant(base, text)
        given = number(TrainFile(text, PROFILE).value(name)) if name else None
        taken.setdefault(name, []).extend([] if given is None else [given])
    found = []
    for label, text in texts.items():
        constant = _only_constant(base, text)
        if constant is not None:
            old = number(train.value(constant))
            for factor in STEPS if old is not None else ():
                value = written((old or 0) * factor, isinstance(old, int))
                apart = all(not 0.8 < (number(value) or 0) / one < 1.25 for one in taken[constant] if one)
                setting = train.setting(constant, value) if apart else None
                after = train.edited(setting) if setting else None
                if after is not None and after.text not in texts.values():
                    found.append(Planted(label, "another value", after.text))
        for other in ("matrix-lr=0.04", "warmdown=0.75"):
            if other != label:
                both = ideas.apply(Idea(other, False), text)
                if both is not None and both not in texts.values():
                    found.append(Planted(label, "with another idea", both))
    return found


def _only_constant(base: str, text: str) -> str | None:
    changed = _changed(base, text)
    if len(changed) != 1:
        return None
    found = re.match(r"([A-Z][A-Z0-9_]*) = ", text.split("\n")[changed[0]])
    return found[1] if found else None


def _is_python(text: str) -> bool:
    try:
        compile(text, "train.py", "exec")
    except SyntaxError:
        return False
    return True
