"""The branch `autoresearch/<tag>`: its tip is always the incumbent, its history the kept improvements.

All of git is reached from here and from `snapshot`, by plumbing that never touches a file of the working tree:
the branch moves by compare-and-swap, and of the index only the entry of train.py is refreshed. So a kill at any
instant is harmless, a person's other work stays where it is, and no commit is ever thrown away.

Works with an empty HOME: a fallback identity stands in for a missing one, nothing is signed, no hook runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import Refused

PREFIX = "autoresearch/"
TRAIN = "train.py"
STEERING = "program.md"
NEW_BRANCH = f"git switch -c {PREFIX}<tag>"
STANDALONE = "standalone"  # runs/standalone is where `uv run train.py` leaves its files
# The bench: what no experiment may change. Every Python file at the root but train.py, and the tools.
BENCH_FOLDERS = ("tools", "scripts")
SYSTEM_GITS = ("/usr/bin/git", "/usr/local/bin/git")  # before PATH, which for one command could lead anywhere
NOTHING = ""  # to update-ref, as the old value: the ref must not exist yet
NAME, EMAIL = "autoresearch", "autoresearch@localhost"

# Where the caller's own git environment would lead our calls elsewhere (a command started by a git hook).
_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
_INDEX_PATIENCE = 2.0  # seconds to wait for somebody else's index.lock


class GitFailed(Refused):
    """git said no; carries its own words."""


class Git:
    """git in one repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._env = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
        self._env |= {"LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"}  # `git replace` would show other files

    def ask(self, *args: str, data: bytes | None = None, env: dict[str, str] | None = None) -> bytes | None:
        """What git printed; None when it failed."""
        done = self._run(args, data, env)
        return done.stdout if done.returncode == 0 else None

    def run(self, *args: str, data: bytes | None = None, env: dict[str, str] | None = None) -> bytes:
        """What git printed. Raises GitFailed."""
        done = self._run(args, data, env)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise GitFailed(f"git {args[0]} failed in {self.root}: {said[0] if said else 'without a word'}")
        return done.stdout

    def line(self, *args: str, data: bytes | None = None, env: dict[str, str] | None = None) -> str:
        """The one line that git printed."""
        return self.run(*args, data=data, env=env).decode("utf-8", "replace").strip()

    def blobs(self, *names: str) -> list[str | None]:
        """The object behind each name (`HEAD:train.py`), None where there is none; one call for all."""
        asked = "".join(f"{name}\n" for name in names).encode()
        answers = self.run("cat-file", "--batch-check=%(objectname)", data=asked).decode().splitlines()
        return [None if answer.endswith((" missing", " ambiguous")) else answer for answer in answers]

    def texts(self, *names: str) -> list[str]:
        """What stands behind each name (`HEAD:train.py`), empty where there is nothing; one call for all."""
        if not names:
            return []
        raw = self.run("cat-file", "--batch", data="".join(f"{name}\n" for name in names).encode())
        found, at = [], 0
        for _ in names:
            end = raw.index(b"\n", at)
            head = raw[at:end].split(b" ")  # `<hash> blob <size>`, or `<name> missing`
            size = int(head[-1]) if len(head) == 3 and head[-1].isdigit() else None
            at = end + 1
            found.append("" if size is None else raw[at : at + size].decode("utf-8", "replace"))
            at += 0 if size is None else size + 1
        return found

    def identity(self, when: float | None = None) -> dict[str, str]:
        """Environment for a commit: the user's own name where git knows one, else the fallback."""
        env = {}
        if not all((self.ask("config", key) or b"").strip() for key in ("user.name", "user.email")):
            for who in ("AUTHOR", "COMMITTER"):
                env[f"GIT_{who}_NAME"] = os.environ.get(f"GIT_{who}_NAME") or NAME
                env[f"GIT_{who}_EMAIL"] = os.environ.get(f"GIT_{who}_EMAIL") or EMAIL
        if when is not None:  # the same commit, bit for bit, when it is made again after a kill
            env["GIT_AUTHOR_DATE"] = env["GIT_COMMITTER_DATE"] = f"@{int(when)} +0000"
        return env

    def _run(
        self, args: Sequence[str], data: bytes | None, env: dict[str, str] | None
    ) -> subprocess.CompletedProcess[bytes]:
        # core.hooksPath also silences the reference-transaction hook, which update-ref would run.
        program = next((path for path in SYSTEM_GITS if os.access(path, os.X_OK)), "git")
        command = [program, "-c", "core.hooksPath=/dev/null", *args]
        try:
            return subprocess.run(
                command, input=data or b"", cwd=self.root, env={**self._env, **(env or {})}, capture_output=True
            )
        except FileNotFoundError:
            raise Refused("git is not installed, or not on PATH: install git") from None


@dataclass(frozen=True)
class HandCommit:
    """A commit made on the branch by hand and taken off it again; its edit stays in the working tree."""

    commit: str
    ref: str  # which keeps it reachable
    to: str  # where the branch is now


@dataclass(frozen=True)
class Branch:
    """The campaign's branch, checked out in `git.root`. `tip` is the commit at the time of looking."""

    git: Git
    tag: str
    tip: str

    @property
    def ref(self) -> str:
        return f"refs/heads/{PREFIX}{self.tag}"

    @property
    def train(self) -> Path:
        return self.git.root / TRAIN


def current(root: Path) -> Branch:
    """The branch that is checked out at `root`. Raises Refused where that is no campaign's branch."""
    git = Git(root)
    answer = git.ask("rev-parse", "--show-toplevel", "HEAD", "--symbolic-full-name", "HEAD")
    if answer is None:
        try:
            git.run("rev-parse", "--git-dir")
        except GitFailed as failure:
            if "dubious ownership" in str(failure):
                raise Refused(
                    f"git does not trust {root}: git config --global --add safe.directory {root}"
                ) from None
            raise Refused(f"{root} is not a git repository: clone the project with git") from None
        raise Refused(f"the git repository {root} has no commit yet: commit the project first")
    top, tip, name = answer.decode("utf-8", "replace").splitlines()
    if Path(top).resolve() != root.resolve():
        raise Refused(
            f"{root} is not a git repository of its own (it lies inside {top}): clone the project with git"
        )
    if name == "HEAD":
        raise Refused(
            f"detached HEAD at {tip[:7]}: git switch {PREFIX}<tag>, or {NEW_BRANCH} for a new campaign",
            NEW_BRANCH,
        )
    if not name.startswith(f"refs/heads/{PREFIX}"):
        branch = name.removeprefix("refs/heads/")
        raise Refused(
            f"the branch {branch} is no campaign's: git switch {PREFIX}<tag>, or {NEW_BRANCH} for a new one",
            NEW_BRANCH,
        )
    tag = name.removeprefix(f"refs/heads/{PREFIX}")
    if tag == STANDALONE:
        raise Refused(f"the tag {tag} is taken by runs outside the bench: git branch -m {PREFIX}<another tag>")
    if "/" in tag:
        raise Refused(
            f"the tag {tag!r} has a slash, and a campaign's folder is runs/<tag>: git branch -m {PREFIX}<tag>"
        )
    return Branch(git, tag, tip)


# ---------------------------------------------------------------------------------------------------
# What the working tree holds


def come_back(root: Path, tag: str) -> str:
    """Check the campaign's branch out again where somebody left it. Returns a word on that, or nothing.

    Raises Refused.
    """
    git = Git(root)
    name = git.ask("symbolic-ref", "--quiet", "--short", "HEAD")
    if name is not None and name.decode("utf-8", "replace").strip() == f"{PREFIX}{tag}":
        return ""
    git.run("switch", "--quiet", f"{PREFIX}{tag}")
    return f"The branch {PREFIX}{tag} had been left; it is checked out again."


def train_blob(git: Git, text: bytes, write: bool = False) -> str:
    """The blob that train.py with this text is or would be, through the filters that git applies to it."""
    return git.line("hash-object", *(["-w"] if write else []), "--stdin", f"--path={TRAIN}", data=text)


def changed_files(git: Git) -> list[str]:
    """Tracked files that differ from HEAD, in the working tree or in the index."""
    output = git.run(
        "--no-optional-locks", "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"
    ).decode("utf-8", "surrogateescape")
    return [entry[3:] for entry in output.split("\0") if entry]


def bench_changes(git: Git, pinned: str) -> list[str]:
    """Files of the bench that differ from the commit `pinned`, in the working tree or at the tip.

    The working tree's are hashed here: the index can be told to look away (`update-index --assume-unchanged`)."""
    wanted, at_tip = _bench_blobs(git, pinned), _bench_blobs(git, "HEAD")
    if wanted is None or at_tip is None:
        raise Refused(f"the bench's commit {pinned[:12]} is not in this repository: git fetch it")
    new_at_tip = at_tip.keys() - wanted.keys()
    there = [name for name in wanted if (git.root / name).is_file()]
    paths = "".join(f"{name}\n" for name in there).encode("utf-8", "surrogateescape")
    hashes = git.run("hash-object", "--stdin-paths", "--no-filters", data=paths).decode().split()
    found = dict(zip(there, hashes, strict=True))
    differing = {name for name, blob in wanted.items() if found.get(name) != blob or at_tip.get(name) != blob}
    return sorted(differing | new_at_tip)


def _bench_blobs(git: Git, commit: str) -> dict[str, str] | None:
    """The bench's files in `commit` and their blobs; None where there is no such commit."""
    listing = git.ask("ls-tree", "-r", "-z", commit)
    if listing is None:
        return None
    entries = [entry.split("\t", 1) for entry in listing.decode("utf-8", "surrogateescape").split("\0") if entry]
    return {name: facts.split()[2] for facts, name in entries if in_bench(name)}


def in_bench(name: str) -> bool:
    """Whether the path `name` belongs to the fixed bench."""
    folder, slash, _ = name.partition("/")
    return folder in BENCH_FOLDERS if slash else name.endswith(".py") and name != TRAIN


def bench_strangers(root: Path) -> list[str]:
    """What would be imported in place of Python's own modules (`tools/json.py`) or of the harness's
    (`tools/harness/verdict/`, before verdict.py)."""
    tools, harness = root / "tools", root / "tools" / "harness"
    beside = [path for path in tools.iterdir() if _module(path) in sys.stdlib_module_names]
    modules = {path.stem for path in harness.glob("*.py")}
    before = [path for path in harness.iterdir() if path.suffix != ".py" and _module(path) in modules]
    return sorted(str(path.relative_to(root)) for path in [*beside, *before])


def _module(path: Path) -> str:
    return path.name.partition(".")[0]


def fixed_files(git: Git, commit: str) -> list[str]:
    """The Python files at the root of `commit` other than train.py: the fixed half of every snapshot."""
    names = git.run("ls-tree", "--name-only", "-z", commit).decode("utf-8", "surrogateescape").split("\0")
    return [name for name in names if name.endswith(".py") and name != TRAIN]


def changed_lines(git: Git, old: str, new: str) -> tuple[int, int]:
    """Lines of train.py added and removed from commit `old` to commit `new`."""
    fields = git.line("diff-tree", "--numstat", "--no-renames", old, new, "--", TRAIN).split()
    return (int(fields[0]), int(fields[1])) if len(fields) >= 2 and fields[0].isdigit() else (0, 0)


def merged(git: Git, base: str, theirs: str, ours: str) -> bytes | None:
    """train.py of the commit `ours` with what changed from `base` to `theirs`; None where the two do not fit."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for at, commit in enumerate((ours, base, theirs)):
            path = Path(folder) / f"{at}.py"
            path.write_bytes(train_text(git, commit))
            names.append(str(path))
        try:
            return git.run("merge-file", "-p", "--quiet", *names)
        except GitFailed:
            return None


def commit_named(git: Git, tag: str, name: str) -> str | None:
    """The commit that `name` is: an experiment's number or a commit's hash; None where it is none, or has no
    parent."""
    if name.isascii() and name.isdigit() and len(name) <= 6:
        refs = [f"refs/autoresearch/{tag}/{int(name):04d}"]
    elif name.isascii() and name.isalnum():
        refs = []
    else:
        return None
    for ref in [*refs, name]:
        if (found := git.ask("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")) is None:
            continue
        if git.ask("rev-parse", "--verify", "--quiet", f"{ref}^") is not None:
            return found.decode().strip()
    return None


def changed_text(git: Git, old: str, new: str) -> list[str]:
    """The lines of train.py that were added or removed from commit `old` to commit `new`."""
    shown = git.run("diff-tree", "-p", "--unified=0", "--no-renames", "--no-ext-diff", old, new, "--", TRAIN)
    lines = shown.decode("utf-8", "replace").split("\n")
    start = next((at for at, line in enumerate(lines) if line.startswith("@@")), len(lines))
    return [line[1:] for line in lines[start:] if line.startswith(("+", "-"))]


def patched(text: bytes, diff: bytes) -> bytes | None:
    """train.py with this text and a unified diff applied to it; None where it does not fit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TRAIN
        path.write_bytes(text)
        git = Git(Path(folder))  # no repository there: no other file can be reached
        for strip in ("-p1", "-p0"):  # with the prefixes a/ and b/, or without
            if git.ask("apply", strip, "--unidiff-zero", f"--include={TRAIN}", "-", data=diff) is not None:
                changed = path.read_bytes()
                return changed if changed != text else None
    return None


# ---------------------------------------------------------------------------------------------------
# Commits and refs


def commit_train(git: Git, base: str, blob: str, parent: str, message: str, when: float | None = None) -> str:
    """A commit on `parent`: the files of the commit `base` with train.py replaced by `blob`. Moves nothing."""
    command = ["commit-tree", tree_with_train(git, base, blob), "-p", parent, "--no-gpg-sign", "-F", "-"]
    return git.line(*command, data=message.encode("utf-8", "replace"), env=git.identity(when))


def tree_with_train(git: Git, base: str, blob: str) -> str:
    """The tree of the commit `base` with train.py replaced by `blob`."""
    entries = [entry for entry in git.run("ls-tree", "-z", base).split(b"\0") if entry]
    mode = b"100644"
    others = []
    for entry in entries:
        meta, name = entry.split(b"\t", 1)
        if name == TRAIN.encode():
            mode = meta.split()[0]
        else:
            others.append(entry)
    others.append(b"%s blob %s\t%s" % (mode, blob.encode(), TRAIN.encode()))
    return git.line("mktree", "-z", data=b"\0".join(others) + b"\0")


def set_ref(git: Git, ref: str, new: str, old: str | None, why: str) -> bool:
    """Point `ref` at `new`, only if it is at `old` now (None: whatever it is). Says whether it did.

    False means that it is elsewhere; what else goes wrong (a full disk) raises GitFailed.
    """
    command = ["update-ref", "-m", f"autoresearch: {why}", ref, new] + ([old] if old is not None else [])
    try:
        git.run(*command, env=git.identity())
    except GitFailed:
        at = (git.ask("rev-parse", "--verify", "--quiet", ref) or b"").decode().strip()
        if old is not None and at != old:
            return False
        raise
    return True


def refresh_index(git: Git, tip: str) -> None:
    """Set the index entry of train.py to the tip's, so that `git status` shows what differs from it and no more.

    Waits a little for somebody else's index lock, then lets it be: no decision hangs on the index.
    """
    entry = git.run("ls-tree", "-z", tip, "--", TRAIN)
    deadline = time.monotonic() + _INDEX_PATIENCE
    while git.ask("update-index", "-z", "--index-info", data=entry) is None:
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def train_text(git: Git, commit: str) -> bytes:
    """train.py at `commit`, as it would be checked out."""
    return git.run("cat-file", "--filters", f"{commit}:{TRAIN}")


# ---------------------------------------------------------------------------------------------------
# The branch moves


def land(branch: Branch, candidate: str, parent: str, message: str, when: float) -> str:
    """Put a kept candidate, made on the incumbent `parent`, on the branch; returns the new tip.

    The parent is the tip as a rule, and then the branch moves to the candidate. Where the person committed
    meanwhile (program.md, say), train.py is applied on top of what they did. A train.py committed by hand
    meanwhile is taken off first, see `put_back`. Doing it again changes nothing. Raises GitFailed.
    """
    git = branch.git
    for _ in range(5):
        tip = git.line("rev-parse", branch.ref)
        candidate_blob, parent_blob, tip_blob = git.blobs(*(f"{c}:{TRAIN}" for c in (candidate, parent, tip)))
        if candidate_blob is None or parent_blob is None:
            raise GitFailed(f"the commit {candidate[:12]}, or its parent, is missing from the repository")
        if tip_blob == candidate_blob:
            refresh_index(git, tip)
            return tip
        if tip_blob != parent_blob:
            put_back(Branch(git, branch.tag, tip), parent_blob, parent)
            continue
        new = candidate if tip == parent else commit_train(git, tip, candidate_blob, tip, message, when)
        if set_ref(git, branch.ref, new, tip, "keep"):
            refresh_index(git, new)
            return new
    raise GitFailed(f"{branch.ref} is moved by somebody else: try again")


def put_back(branch: Branch, incumbent_blob: str, incumbent: str) -> HandCommit | None:
    """Take hand-made commits that change train.py off the branch, so that its tip is the incumbent again.

    The hand-made tip stays reachable under refs/autoresearch/<tag>/hand/, and its edit stays in the working
    tree, where it is the next candidate. What those commits changed in other files (program.md) is carried over
    in a commit of its own. Returns None when the branch was moved by somebody else meanwhile.
    """
    git, tip = branch.git, branch.tip
    line = git.line("rev-list", "--first-parent", "--max-count=500", tip).split()
    blobs = git.blobs(*(f"{commit}:{TRAIN}" for commit in line))
    # The newest commit that still has the incumbent's train.py: below what is taken off, above what was passed by.
    base = next((commit for commit, blob in zip(line, blobs, strict=True) if blob == incumbent_blob), incumbent)
    behind = git.ask("merge-base", "--is-ancestor", tip, incumbent) is not None
    if behind:  # moved back by hand: nothing new on it to carry
        target = incumbent
    else:
        tree = tree_with_train(git, tip, incumbent_blob)
        same = tree == git.line("rev-parse", f"{base}^{{tree}}")
        message = "Carry over what was changed outside train.py\n"
        target = base if same else commit_train(git, tip, incumbent_blob, base, message)
    ref = f"refs/autoresearch/{branch.tag}/hand/{tip[:12]}"
    set_ref(git, ref, tip, None, "made by hand")
    if not set_ref(git, branch.ref, target, tip, "back to the incumbent"):
        return None
    refresh_index(git, target)
    return HandCommit(tip, ref, target)
