"""Every experiment of every campaign, fit to search: an index in SQLite beside the runs.

    runs/.recall.sqlite

Nothing is in it that the runs' folders and git do not have, so it may be deleted at any time; one that is damaged,
or of another version, is made anew. It follows what changes: the folders of a campaign are listed, and only runs
that are new, or were decided since, are read. Words are found by FTS5, or by LIKE where Python's SQLite lacks it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import Refused, experiment, record, similar, themes
from . import branch as git_branch
from .branch import TRAIN
from .experiment import Experiment
from .prospects import NEAR
from .similar import Change, Part
from .text import printable, read_json

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

NAME = ".recall.sqlite"
VERSION = 2  # of the tables, and of what is derived: raise it with either
DIFF_MOST = 20_000  # characters of a diff that are kept
TEXT_MOST = 4_000  # … and of a message, a description or a note
WORDS_MOST = 24  # of a query
PATIENCE = 5.0  # seconds to wait for another command that writes
_RUN = re.compile(r"\d+-")

_TABLES = """
CREATE TABLE run(campaign TEXT, name TEXT, experiment INTEGER, hash TEXT, stamp INTEGER,
    PRIMARY KEY(campaign, name)) WITHOUT ROWID;
CREATE INDEX run_of ON run(campaign, experiment);
CREATE INDEX run_made ON run(campaign, hash);
CREATE TABLE past(id INTEGER PRIMARY KEY, {columns});
CREATE UNIQUE INDEX past_of ON past(campaign, number);
CREATE TABLE part(place TEXT, id INTEGER);
CREATE INDEX part_at ON part(place);
CREATE INDEX part_of ON part(id);
"""
_WORDS = ("message", "description", "note", "themes", "diff")
_FTS = f"CREATE VIRTUAL TABLE words USING fts5({', '.join(_WORDS)}, tokenize = 'porter unicode61')"
_PLAIN = f"CREATE TABLE words({', '.join(_WORDS)})"
_RANK = "bm25(words, 4.0, 4.0, 3.0, 2.0, 1.0)"  # what somebody wrote says more than a diff


@dataclass(frozen=True)
class Past:
    """A decided experiment after the baseline. `campaign`: its folder; `gain`, `gain_sd` in bpb and `error`, the
    probability that it gains nothing, as believed when it was decided; `change`: None where its texts cannot be
    compared; `text_sha256`, `parent_sha256`: of its train.py, and of the one that it was tried on."""

    campaign: str
    tag: str
    number: int
    hash: str  # of its commit
    status: str
    val_bpb: float | None
    gain: float | None
    gain_sd: float | None
    error: float | None
    reason: str  # why it crashed, or was stopped
    message: str
    description: str
    note: str
    diff: str
    themes: tuple[str, ...]
    change: Change | None
    profile: str
    text_sha256: str
    parent_sha256: str

    @property
    def is_near_miss(self) -> bool:
        """Whether it was discarded, and could have been a gain."""
        return self.status == "discard" and self.error is not None and 1 - self.error >= NEAR

    @property
    def is_dead_end(self) -> bool:
        return self.status in ("discard", "crash") and not self.is_near_miss


_FIELDS = tuple(one.name for one in fields(Past))
_SELECT = f"SELECT {', '.join(f'past.{name}' for name in _FIELDS)} FROM past"


def ask(root: Path, question: Callable[[Memory], T]) -> T:
    """What `question` makes of the index of the checkout `root`, which need not exist yet. An index that fails in
    the middle is made anew; where it cannot be written at all, it is made in memory."""
    try:
        import sqlite3
    except ImportError:
        told = "past experiments cannot be searched: this Python has no sqlite3: install one that has"
        raise Refused(told) from None

    path = root / "runs" / NAME
    for place in (path, path, None):
        try:
            with contextlib.closing(_connect(place)) as connection:
                return question(Memory(connection))
        except sqlite3.DatabaseError as error:
            if place is None:
                raise Refused(f"the search cannot be done: {error}: is Python's sqlite3 whole?") from None
            if not _is_elsewhere(error):
                for file in (path, path.with_name(f"{NAME}-journal")):
                    with contextlib.suppress(OSError):
                        file.unlink()
    raise AssertionError("the last of them returns or raises")


def _is_elsewhere(error: sqlite3.DatabaseError) -> bool:
    """Whether what is wrong is not in the file: another command holds it, or it may not be written."""
    return any(word in str(error) for word in ("locked", "readonly", "unable to open", "disk is full", "disk I/O"))


def _connect(path: Path | None) -> sqlite3.Connection:
    import sqlite3

    if path is not None:
        path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(str(path) if path else ":memory:", timeout=PATIENCE, isolation_level=None)
    try:
        has_fts = _has_fts(connection)
        wanted = 2 * VERSION + has_fts
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, wanted):
            raise sqlite3.DatabaseError("of another version")
        connection.execute("PRAGMA synchronous = OFF")  # what a power cut damages is made anew
        if version == 0:
            columns = ", ".join(_FIELDS)
            script = f"{_TABLES.format(columns=columns)}{_FTS if has_fts else _PLAIN};"
            connection.executescript(f"BEGIN IMMEDIATE;{script}PRAGMA user_version = {wanted};COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def _has_fts(connection: sqlite3.Connection) -> bool:
    return any(row[0] == "ENABLE_FTS5" for row in connection.execute("PRAGMA compile_options"))


class Memory:
    """The index, open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.db = connection
        self.has_fts = bool(connection.execute("PRAGMA user_version").fetchone()[0] % 2)
        self.complaints: list[str] = []

    # -- following the runs

    def follow(self, folder: Path, git: git_branch.Git | None = None) -> str:
        """Take in what is new in runs/<tag>; returns what the campaign is known by here. `git`: where texts are
        found that no run has."""
        campaign = _clean(str(folder.resolve()), TEXT_MOST)
        there = _stamps(folder)
        if self._stamps(campaign) != there:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                self._take_in(campaign, folder, there, git)
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")
        return campaign

    def _stamps(self, campaign: str) -> dict[str, int]:
        return dict(self.db.execute("SELECT name, stamp FROM run WHERE campaign = ?", (campaign,)))

    def _take_in(self, campaign: str, folder: Path, there: dict[str, int], git: git_branch.Git | None) -> None:
        known = self._stamps(campaign)
        changed = {name for name in known.keys() | there.keys() if known.get(name) != there.get(name)}
        of = "SELECT experiment FROM run WHERE campaign = ? AND name = ?"
        touched = {number for name in changed for (number,) in self.db.execute(of, (campaign, name))}
        for name in sorted(changed):
            self.db.execute("DELETE FROM run WHERE campaign = ? AND name = ?", (campaign, name))
            request = _request(folder / name) if name in there else None
            if request is not None:
                number, commit = request
                row = (campaign, name, number, commit, there[name])
                self.db.execute("INSERT INTO run VALUES (?, ?, ?, ?, ?)", row)
                touched.add(number)
        profile = str((read_json(folder / "campaign.json") or {}).get("profile") or "")
        for number in sorted(touched):
            self._forget(campaign, number)
            past = self._read(campaign, folder, number, profile, git)
            if past is not None:
                self._add(past)

    def _read(
        self, campaign: str, folder: Path, number: int, profile: str, git: git_branch.Git | None
    ) -> Past | None:
        """The experiment as its runs' folders have it; None where it is undecided, or the baseline."""
        query = "SELECT name FROM run WHERE campaign = ? AND experiment = ? ORDER BY name"
        names = [name for (name,) in self.db.execute(query, (campaign, number))]
        try:
            runs = [run for name in names if (run := record.read(folder / name)) is not None]
        except Refused as damaged:
            self.complaints.append(str(damaged))
            self.db.executemany(
                "UPDATE run SET stamp = -1 WHERE campaign = ? AND name = ?", [(campaign, name) for name in names]
            )  # looked at again until it can be read
            return None
        runs.sort(key=lambda run: run.request.number)
        for found in experiment.group(runs):
            if found.decision is not None and not found.is_baseline:
                return self._past(campaign, folder, found, profile, git)
        return None

    def _past(
        self, campaign: str, folder: Path, found: Experiment, profile: str, git: git_branch.Git | None
    ) -> Past:
        decision, request = found.decision, found.candidate.request
        assert decision is not None
        text = _file(found.candidate.path / TRAIN)
        parent = self._text_of(campaign, folder, request.parent, git)
        change = None
        if text is not None and parent is not None:
            change = similar.describe(_decoded(parent), _decoded(text), profile)
        return Past(
            campaign=campaign,
            tag=_clean(folder.name, TEXT_MOST),
            number=found.number,
            hash=request.commit,
            status=decision.status,
            val_bpb=decision.val_bpb,
            gain=decision.gain,
            gain_sd=decision.gain_sd,
            error=decision.error,
            reason=_clean(found.reason, TEXT_MOST),
            message=_clean(request.message, TEXT_MOST),
            description=_clean(decision.description, TEXT_MOST),
            note=_clean(decision.note, TEXT_MOST),
            diff=_diff(parent, text) if text is not None and parent is not None else "",
            themes=themes.of(change or ()),
            change=change,
            profile=profile,
            text_sha256=digest(text),
            parent_sha256=digest(parent),
        )

    def _text_of(
        self, campaign: str, folder: Path, commit: str, git: git_branch.Git | None
    ) -> bytes | None:  # fmt: skip
        """train.py of a commit: a run's copy, or git's."""
        query = "SELECT name FROM run WHERE campaign = ? AND hash = ? LIMIT 1"
        for (name,) in self.db.execute(query, (campaign, commit)):
            if (text := _file(folder / name / TRAIN)) is not None:
                return text
        if git is None:
            return None
        try:
            return git_branch.train_text(git, commit)
        except Refused:
            return None

    def _forget(self, campaign: str, number: int) -> None:
        of = "SELECT id FROM past WHERE campaign = ? AND number = ?"
        for (key,) in self.db.execute(of, (campaign, number)).fetchall():
            self.db.execute("DELETE FROM past WHERE id = ?", (key,))
            self.db.execute("DELETE FROM part WHERE id = ?", (key,))
            self.db.execute("DELETE FROM words WHERE rowid = ?", (key,))

    def _add(self, past: Past) -> None:
        values: dict[str, Any] = {name: _plain(getattr(past, name)) for name in _FIELDS}
        values["themes"] = json.dumps(past.themes)
        values["change"] = json.dumps(
            None if past.change is None else [(p.scope, p.was, p.now, p.old, p.new) for p in past.change]
        )
        marks = ", ".join("?" * len(values))
        added = self.db.execute(
            f"INSERT INTO past({', '.join(values)}) VALUES ({marks})", tuple(values.values())
        )
        key = added.lastrowid
        places = {part.place for part in past.change or ()}
        self.db.executemany("INSERT INTO part VALUES (?, ?)", [(_whole(place), key) for place in places])
        said = (past.message, past.description, past.note, " ".join(past.themes), past.diff)
        self.db.execute(f"INSERT INTO words(rowid, {', '.join(_WORDS)}) VALUES (?, ?, ?, ?, ?, ?)", (key, *said))

    # -- asking it

    def all(self, campaigns: Sequence[str]) -> list[Past]:
        """Every experiment of the campaigns, oldest first."""
        return self._select(f"WHERE {_among(campaigns)} ORDER BY campaign, number", campaigns)

    def themes(self, campaign: str) -> dict[int, tuple[str, ...]]:
        """The themes of each experiment, by number."""
        query = "SELECT number, themes FROM past WHERE campaign = ?"
        return {number: tuple(json.loads(told)) for number, told in self.db.execute(query, (campaign,))}

    def search(self, words: str, campaigns: Sequence[str], most: int) -> list[Past]:
        """Experiments in which all of the words stand, else any of them; the best first."""
        wanted = [_clean(word, 200) for word in words.split()[:WORDS_MOST]]
        wanted = [word for word in wanted if any(c.isalnum() for c in word)]
        if not wanted or not campaigns:
            return []
        return self._with(wanted, "AND", campaigns, most) or self._with(wanted, "OR", campaigns, most)

    def _with(self, words: Sequence[str], how: str, campaigns: Sequence[str], most: int) -> list[Past]:
        if self.has_fts:
            # In quotes nothing is an operator; the star takes words that begin so.
            match = f" {how} ".join('"' + word.replace('"', '""') + '"*' for word in words)
            where = f"JOIN words ON words.rowid = past.id WHERE words MATCH ? AND {_among(campaigns)}"
            return self._select(f"{where} ORDER BY {_RANK} LIMIT ?", (match, *campaigns, most))
        texts = " || ' ' || ".join(f"words.{name}" for name in _WORDS)
        like = f" {how} ".join([f"({texts}) LIKE ? ESCAPE '\\'"] * len(words))
        patterns = ["%" + re.sub(r"([%_\\])", r"\\\1", word) + "%" for word in words]
        where = f"JOIN words ON words.rowid = past.id WHERE ({like}) AND {_among(campaigns)}"
        return self._select(f"{where} ORDER BY number DESC LIMIT ?", (*patterns, *campaigns, most))

    def alike(self, change: Change, campaigns: Sequence[str]) -> list[tuple[float, Past]]:
        """Experiments that changed something in the same place, and their distance, the nearest first."""
        found: dict[tuple[str, int], Past] = {}
        for place in sorted({part.place for part in change}):
            at = f"JOIN part ON part.id = past.id WHERE part.place = ? AND {_among(campaigns)}"
            for past in self._select(at, (_whole(place), *campaigns)):
                found[past.campaign, past.number] = past
        ranked = [(similar.distance(change, past.change or ()), past) for past in found.values()]
        return sorted(ranked, key=lambda pair: (pair[0], -pair[1].number))

    def same_text(self, sha256: str, campaigns: Sequence[str]) -> list[Past]:
        """Experiments that ran this very train.py."""
        where = f"WHERE text_sha256 = ? AND {_among(campaigns)} ORDER BY number"
        return self._select(where, (sha256, *campaigns))

    def _select(self, rest: str, values: Sequence[Any]) -> list[Past]:
        return [_past(row) for row in self.db.execute(f"{_SELECT} {rest}", tuple(values))]


def themes_of(root: Path, folder: Path, git: git_branch.Git) -> dict[int, tuple[str, ...]]:
    """The themes of each decided experiment of runs/<tag>, by number; {} where Python has no sqlite3, or where
    the folder is gone."""
    if not folder.is_dir():
        return {}
    try:
        return ask(root, lambda index: index.themes(index.follow(folder, git)))
    except Refused:
        return {}


def digest(text: bytes | None) -> str:
    return hashlib.sha256(text).hexdigest() if text is not None else ""


def _among(campaigns: Sequence[str]) -> str:
    return f"past.campaign IN ({', '.join('?' * len(campaigns))})"


def _past(row: Sequence[Any]) -> Past:
    values = dict(zip(_FIELDS, row, strict=True))
    values["themes"] = tuple(json.loads(values["themes"]))
    parts = json.loads(values["change"])
    if parts is not None:
        parts = tuple(Part(scope, was, now, tuple(old), tuple(new)) for scope, was, now, old, new in parts)
    return Past(**{**values, "change": parts})


def _stamps(folder: Path) -> dict[str, int]:
    """The run folders of a campaign, and when each was decided (ns); 0 where it is not."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _RUN.match(entry.name)]
    except OSError:
        return {}
    for name in names:
        try:
            found[name] = os.stat(f"{folder}/{name}/decision.json").st_mtime_ns  # noqa: PTH116  # 10,000 of them
        except OSError:
            found[name] = 0
    return found


def _request(path: Path) -> tuple[int, str] | None:
    """Experiment and commit of a run."""
    value = read_json(path / "run.json") or {}
    number, commit = value.get("experiment"), value.get("commit")
    return (number, commit) if isinstance(number, int) and isinstance(commit, str) else None


def _file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _diff(parent: bytes, text: bytes) -> str:
    """The lines that went and came, with - and + before them."""
    old, new = (_decoded(one).split("\n") for one in (parent, text))
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    tail = min(len(old), len(new)) - start
    end = next((i for i in range(tail) if old[-1 - i] != new[-1 - i]), tail)
    lines = unified_diff(old[start : len(old) - end], new[start : len(new) - end], n=0, lineterm="")
    kept = [line for line in list(lines)[2:] if line[:1] in "+-"]  # after the names of two files
    return _whole("\n".join(kept)[:DIFF_MOST])


def _clean(text: object, most: int) -> str:
    """One printable line."""
    line = " ".join(printable(part).strip() for part in str(text)[:most].split("\n")).strip()
    return _whole(line)


def _plain(value: object) -> object:
    """None for what a damaged record has in place of a number or a text."""
    return value if isinstance(value, (int, float, str)) else None


def _whole(text: str) -> str:
    """What SQLite takes: no half of a pair."""
    return text.encode("utf-8", "replace").decode()
