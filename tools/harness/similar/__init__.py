"""Whether two edits of train.py are the same experiment, whatever they are written like.

An edit is described by what it does to the program: statements that came, statements that went, and literals that
took another value where the statement around them stayed. Layout, comments, docstrings, annotations, the order of
what is added or multiplied, names that the edit itself brought in or renamed, and a number given a name of its own
do not count. Two descriptions have a distance, and are near where every part of one has its like in the other:
then a second run would tell what the first one told.
"""

from __future__ import annotations

from .change import Change, Part, Value, distance, gap, near, one_line
from .compare import compare
from .program import read, read_beside

__all__ = ["Change", "Part", "Value", "describe", "distance", "gap", "near", "one_line"]

INERT = {"full": "SMALL_", "small": "FULL_"}  # constants that a profile does not read


def describe(parent: str, candidate: str, profile: str = "") -> Change | None:
    """What `candidate` changes of `parent`, in no order that an edit could choose; None where one is no Python.

    `profile`: full or small, whose constants alone act; those of the other one are left out.
    """
    before = read(parent)
    after = read_beside(before, parent, candidate) if before else None
    if before is None or after is None:
        return None
    try:
        parts = compare(before, after)
    except RecursionError:
        return None
    inert = INERT.get(profile)
    return tuple(part for part in parts if not (inert and (part.now or part.was).startswith(inert)))
