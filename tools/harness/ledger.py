"""results.tsv: five columns that people and notebooks read, kept true to the records in runs/.

The records are the source of truth. `sync` appends what the file lacks and mends a measured row whose numbers
were changed; rows that a person added stay where they put them.
"""

from __future__ import annotations

import codecs
import fcntl
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import text as textfile

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
STATUSES = ("keep", "discard", "crash")
DESCRIPTION_LIMIT = 300  # characters
JOINERS = "\u200c\u200d"  # parts of words and emoji
NO_DESCRIPTION = "(no description)"  # an empty last column is lost by editors that strip line ends
_COMMIT, _NUMBER = re.compile(r"[!-~]{1,64}"), re.compile(r"\d{1,12}(\.\d{1,20})?", re.ASCII)


@dataclass(frozen=True)
class Row:
    """One line. `val_bpb` has six decimals in the file, `memory_gb` one; both are zero for a crash."""

    commit: str
    val_bpb: float
    memory_gb: float
    status: str
    description: str


class LedgerError(Exception):
    """results.tsv, or a row meant for it, is not as it must be: `line` (from 1, 0 for none) and `why`."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}" if line else why)
        self.line, self.why = line, why


@dataclass(frozen=True)
class SyncReport:
    """What `sync` did: rows appended, measured rows mended, rows by hand kept, where a nonsense file went."""

    appended: int = 0
    mended: int = 0
    by_hand: int = 0
    moved_to: Path | None = None
    why: str = ""


def clean(description: str) -> str:
    """One line without control characters, 1 to 300 characters; cleaning it again changes nothing."""
    plain = description.isascii() and description.isprintable()
    kept = [description] if plain else []
    for c in "" if plain else description:
        category = unicodedata.category(c)
        if category in ("Cc", "Cs", "Zl", "Zp"):  # control, surrogate, other line ends
            kept.append(" ")
        elif category != "Cf" or c in JOINERS:  # no direction marks
            kept.append(c)
    # A double quote opens a quoted field in many readers, and swallows the lines up to the next one.
    line = " ".join("".join(kept).replace('"', "'").split())
    return line[:DESCRIPTION_LIMIT].rstrip() or NO_DESCRIPTION


def format_row(row: Row) -> str:
    """`row` as a line without its end. Raises LedgerError for what the file must not hold."""
    crash = row.status == "crash"
    numbers = (0.0, 0.0) if crash else (row.val_bpb, row.memory_gb)
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise LedgerError(0, f"{row.commit}: {row.val_bpb} and {row.memory_gb} must be finite and not negative")
    line = f"{row.commit}\t{numbers[0]:.6f}\t{numbers[1]:.1f}\t{row.status}\t{clean(row.description)}"
    _parse_row(line, 0)
    return line


def parse(text: str) -> list[Row]:
    """The rows of a whole file, blank lines passed by. Raises LedgerError at the first nonsense."""
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if number == 1:
            if line and line != HEADER:
                raise LedgerError(1, f"the header is not {HEADER!r}")
        elif line.strip():
            rows.append(_parse_row(line, number))
    return rows


def _parse_row(line: str, number: int) -> Row:
    columns = line.split("\t")
    if len(columns) != 5:
        raise LedgerError(number, f"{len(columns)} columns where 5 are expected, tab-separated")
    commit, val_bpb, memory_gb, status, description = columns
    if not _COMMIT.fullmatch(commit) or commit == "commit":
        raise LedgerError(number, f"{commit[:40]!r} is not a commit")
    if status not in STATUSES:
        raise LedgerError(number, f"status {status[:40]!r} is none of {', '.join(STATUSES)}")
    values = []
    for name, value in (("val_bpb", val_bpb), ("memory_gb", memory_gb)):
        if not _NUMBER.fullmatch(value):
            raise LedgerError(number, f"{name} {value[:40]!r} is not a number")
        values.append(float(value))
    return Row(commit, values[0], values[1], status, description)


def sync(path: str | os.PathLike[str], rows: Sequence[Row], former: Sequence[Row] = ()) -> SyncReport:
    """Make the file at `path` hold every one of `rows`, in order, under a lock; written only if it must.

    Nothing is ever removed: a row of the file that `rows` lacks is somebody's, or newer than what the caller
    knew. A row with the commit of a measured one gets the measured numbers back and keeps its description;
    `former` are rows that measured ones took the place of, and are replaced whole, without a word. A
    nonsense file is kept as NAME.old-N beside it, and rebuilt with its valid rows in place. `path` may be a
    symbolic link. Raises LedgerError for a row that cannot be written, OSError as usual.
    """
    lines = [format_row(row) for row in rows]
    before = [_parse_row(format_row(row), 0) for row in former]
    target = Path(path).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when the process dies
        if _holds(target, lines):  # as it does nearly always
            return SyncReport()
        return _sync_locked(target, [_parse_row(line, 0) for line in lines], before)
    finally:
        os.close(lock)


def _holds(target: Path, lines: Sequence[str]) -> bool:
    """Whether the file is these rows and nothing else."""
    try:
        return target.read_bytes() == "".join(f"{line}\n" for line in [HEADER, *lines]).encode()
    except OSError:
        return False


def _sync_locked(target: Path, measured: Sequence[Row], former: Sequence[Row]) -> SyncReport:
    try:
        raw = target.read_bytes()
    except FileNotFoundError:
        raw = b""
    moved_to, why = None, ""
    try:
        parse(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        why = "it is not UTF-8 text"
    except LedgerError as error:
        why = str(error)
    if why:
        moved_to = _keep_old(target, raw)
    merged, report = _merge(_valid_rows(raw), measured, former)
    content = "".join(f"{line}\n" for line in [HEADER, *merged]).encode()
    if content != raw:
        textfile.write_whole(target, content)
    return SyncReport(report.appended, report.mended, report.by_hand, moved_to, why)


def _valid_rows(raw: bytes) -> list[str]:
    """Every line of `raw` that is a row, as it stands."""
    lines = []
    for number, line in enumerate(raw.removeprefix(codecs.BOM_UTF8).split(b"\n")):
        try:
            row = line.decode().rstrip("\r")
            _parse_row(row, number)
        except (UnicodeDecodeError, LedgerError):
            continue
        lines.append(row)
    return lines


def _merge(
    lines: Sequence[str], measured: Sequence[Row], former: Sequence[Row]
) -> tuple[list[str], SyncReport]:
    """`lines` of a file with `measured` rows mended in place or appended."""
    waiting: dict[str, list[Row]] = {}  # by commit: its n-th row in the file is its n-th measured one
    for row in measured:
        waiting.setdefault(row.commit, []).append(row)
    merged, mended, by_hand = [], 0, 0
    for line in lines:
        row = _parse_row(line, 0)
        if not waiting.get(row.commit):
            by_hand += 1
            merged.append(line)
            continue
        true = waiting[row.commit].pop(0)
        if row in former:
            line = format_row(true)
        elif not _agree(row, true):
            mended += not any(_agree(row, one) for one in former)
            line = format_row(Row(true.commit, true.val_bpb, true.memory_gb, true.status, row.description))
        merged.append(line)
    missing = [row for row in measured if any(row is left for left in waiting[row.commit])]
    merged += [format_row(row) for row in missing]
    return merged, SyncReport(appended=len(missing), mended=mended, by_hand=by_hand)


def _agree(one: Row, other: Row) -> bool:
    """Whether two rows say the same of the same commit, in whatever words."""
    return replace(one, description="") == replace(other, description="")


def _keep_old(target: Path, raw: bytes) -> Path:
    """Copy a nonsense file to the first free NAME.old-N; the same bytes are kept once."""
    number = 1
    while True:
        old = target.with_name(f"{target.name}.old-{number}")
        if not old.exists():
            textfile.write_whole(old, raw)
            return old
        if old.read_bytes() == raw:
            return old
        number += 1
