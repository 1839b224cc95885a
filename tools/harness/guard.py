"""May this experiment run? Pure checks of what was looked up; a refusal says which file, why, and what to do."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from . import Refused
from .branch import NEW_BRANCH, STEERING, TRAIN, in_bench


def check_files(changed: Sequence[str]) -> None:
    """Refuse changes to tracked files that an experiment may not carry. The bench has a check of its own."""
    others = [name for name in changed if name not in (TRAIN, STEERING) and not in_bench(name)]
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise Refused(
            f"{others[0]} has uncommitted changes{more}, and an experiment changes {TRAIN} alone: commit them "
            f"(git commit -m 'what and why' -- {others[0]}) or undo them"
        )


def check_bench(changed: Sequence[str], pinned: str, tag: str) -> None:
    """Refuse a bench that is not the campaign's: scores of two benches cannot be compared."""
    if changed:
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise Refused(
            f"{changed[0]} is not as campaign {tag} pinned it{more}, and the bench is fixed: put it back "
            f"(git show {pinned[:7]}:{changed[0]} > {changed[0]}, and commit that if the change was committed), "
            f"or begin another campaign ({NEW_BRANCH})"
        )


def check_strangers(strangers: Sequence[str]) -> None:
    """Refuse files that would be imported in place of Python's own modules."""
    if strangers:
        more = f" (and {len(strangers) - 1} more)" if len(strangers) > 1 else ""
        raise Refused(
            f"{strangers[0]} is none of the bench's{more}, and commands would import it in place of Python's own: "
            "move it out of the repository"
        )


def check_source(text: bytes | None) -> None:
    """Refuse a train.py that cannot train: missing, not Python, or without its build_model."""
    if text is None:
        raise Refused(f"{TRAIN} is missing or cannot be read: tools/revert.py brings the incumbent's back")
    try:
        tree = ast.parse(text, TRAIN)
    except SyntaxError as error:
        what = "syntax error" if type(error) is SyntaxError else "indentation error"
        quoted = f" ({error.text.strip()[:80]})" if error.text and error.text.strip() else ""
        raise Refused(
            f"{TRAIN} line {error.lineno or 1}: {what}: {error.msg}{quoted}: mend it and run again"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Refused(f"{TRAIN} cannot be parsed as Python: {error}: mend it and run again") from None
    if not any(_defines(node, "build_model") for node in tree.body):
        raise Refused(
            f"{TRAIN} has no top-level build_model(config), which the scorer loads the model with: define it again"
        )


def _defines(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == name
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    return False
