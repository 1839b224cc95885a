"""A candidate as a commit, and the files that a run of it consists of.

What runs is never the working tree: train.py comes from the candidate's commit, the fixed files (prepare.py,
evaluate.py and what they import) from the campaign's pinned one, so an edit made while a run goes on cannot reach
it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .branch import NOTHING, TRAIN, Branch, Git, commit_train, fixed_files, set_ref, train_blob
from .text import sha256_of, write_whole


def commit_candidate(branch: Branch, text: bytes, message: str) -> str:
    """A commit of this train.py on top of the incumbent; no branch, index or file is touched."""
    blob = train_blob(branch.git, text, write=True)
    return commit_train(branch.git, branch.tip, blob, branch.tip, message.strip() + "\n")


def numbers_taken(git: Git, tag: str) -> list[int]:
    """Run numbers that have a ref, also those whose folder in runs/ is gone."""
    names = git.run("for-each-ref", "--format=%(refname:lstrip=3)", f"refs/autoresearch/{tag}/").decode().split()
    return [int(name) for name in names if name.isdigit()]


def keep_reachable(git: Git, tag: str, number: int, commit: str) -> bool:
    """Give run `number` its ref, so that its commit stays whatever becomes of it; False when it is taken."""
    return set_ref(git, f"refs/autoresearch/{tag}/{number:04d}", commit, NOTHING, f"run {number:04d}")


def files(git: Git, commit: str, bench: str) -> dict[str, bytes]:
    """The snapshot's files by name: train.py of `commit`, the fixed ones of `bench`."""
    sources = {TRAIN: commit, **dict.fromkeys(fixed_files(git, bench), bench)}
    return {name: git.run("cat-file", "blob", f"{source}:{name}") for name, source in sources.items()}


def digests(contents: dict[str, bytes]) -> dict[str, str]:
    """sha256 of each file."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def restore(folder: Path, git: Git, commit: str, bench: str, sha256: dict[str, str]) -> list[str]:
    """Make the snapshot in `folder` what it was taken as; returns the files that were not."""
    wrong = [name for name, digest in sha256.items() if sha256_of(folder / name) != digest]
    if wrong:
        contents = files(git, commit, bench)
        for name in wrong:
            (folder / name).unlink(missing_ok=True)  # it may be a link by now, which would be written through
            write_whole(folder / name, contents[name])
    return wrong
