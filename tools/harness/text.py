"""Text in and out: files written whole, and a run's log made fit to show.

Two concerns that both end in a file's bytes. A campaign must survive a kill at any moment, so nothing is
ever half-written; and a log is data from the experiment, so nothing in it may look like an order to the
agent that reads it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import unicodedata
from pathlib import Path
from typing import Any

LINE_LIMIT = 200  # characters of one log line that are shown
FRAME_LINES = 30  # most lines that last_frames returns, the cause included

# ---------------------------------------------------------------------------------------------------
# Files written whole


def write_whole(path: str | os.PathLike[str], data: str | bytes) -> None:
    """Replace the file at `path` by `data`: readers see the old or the new, never a mixture.

    Temporary file beside it, fsync, rename, fsync of the directory. A symbolic link is written through to
    its target. Raises OSError (a full disk, no permission), leaving the old file as it was.
    """
    target = Path(path).resolve()
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` whole as indented JSON. Raises TypeError or ValueError for what JSON lacks (NaN)."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The JSON object in `path`; None when the file is missing or holds anything else."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# ---------------------------------------------------------------------------------------------------
# A log made fit to show

# Terminal sequences: CSI (colours, cursor), OSC (titles, links; ended by BEL or ST), two-character escapes.
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")
# What could pass for a tag of the client or of a chat template: <tool>, </tool>, <|im_start|>, [INST].
_TAG = re.compile(r"<(?=[A-Za-z/|!?])")
_TEMPLATE = re.compile(r"\[(?=/?(?:INST|SYS|SYSTEM|TOOL\w*|AVAILABLE_TOOLS)\])", re.IGNORECASE)
# What our own commands print at the start of a line, and what could pass for a turn of the conversation.
_MARKER = re.compile(
    r"^[\s>#*`|]*(?:(?:next|verdict|state|cause|framework|system|user|human|assistant|tool)\s*:|---|```)",
    re.IGNORECASE,
)


def printable(line: str) -> str:
    """`line` without terminal sequences, control and direction characters; a progress bar's last state."""
    line = _ANSI.sub("", line).rstrip("\r")
    line = line.rsplit("\r", 1)[-1].replace("\t", "    ")
    if line.isascii() and line.isprintable():
        return line
    # C*: control, format (text direction, zero width), surrogate; Zl, Zp: other line ends
    return "".join(
        " " if unicodedata.category(c) in ("Zl", "Zp") else c
        for c in line
        if not unicodedata.category(c).startswith("C")
    )


def _quote(line: str) -> str:
    """One printable log line as data: shortened, tags broken, look-alikes of our own output named."""
    line = line.rstrip()
    if len(line) > LINE_LIMIT:
        line = line[: LINE_LIMIT - 1] + "…"
    line = _TEMPLATE.sub("(", _TAG.sub("‹", line))
    return f"| (printed by the run) {line.strip()}" if _MARKER.match(line) else f"| {line}".rstrip()


def clean_log(text: str, lines: int = 20) -> list[str]:
    """The last `lines` lines of a log, prefixed `| ` and safe to show; repeats are counted."""
    shown: list[str] = []
    repeats = 0
    # Only the end of a log is looked at, so that a huge one costs nothing.
    for raw in text[-400 * LINE_LIMIT :].split("\n"):
        line = printable(raw)
        if not line.strip():
            continue
        quoted = _quote(line)
        if shown and quoted == shown[-1]:
            repeats += 1
            continue
        if repeats:
            shown.append(f"| (the same line {repeats} more times)")
            repeats = 0
        shown.append(quoted)
    if repeats:
        shown.append(f"| (the same line {repeats} more times)")
    return shown[-lines:] if lines > 0 else []


# ---------------------------------------------------------------------------------------------------
# Why a run crashed

_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|MemoryError|can(?:'t|not) allocate memory|ALLOC_FAILED", re.IGNORECASE
)
_FAULT = re.compile(r"Fatal Python error|Segmentation fault|Bus error|Killed|Aborted|Illegal instruction")
_TELLING = re.compile(
    rf"{_MEMORY.pattern}|{_FAULT.pattern}|\bnan\b|not a number|non-?finite|diverge", re.IGNORECASE
)
# One clear line of ours; a step of a run that goes on.
_OURS = re.compile(r"(?:train|prepare|evaluate): ")
_STEP = re.compile(r"\s*\d+(?:\.\d+)? ?% \|")
_HEADER = "Traceback (most recent call last):"
_FRAME = re.compile(r'\s*File "(?P<file>[^"]*)", line (?P<line>\d+)(?:, in (?P<function>.+))?')


def last_frames(log: str) -> list[str]:
    """Why a run ended, in at most 30 lines: `cause: …`, then its last frames (else its last lines) as data.

    The cause is the last line of ours (`train: …`, `prepare: …`) or of the system after the last traceback;
    else that traceback's exception, with its place in train.py; else the last line of all.
    """
    lines = [line.rstrip() for line in map(printable, log[-1000 * LINE_LIMIT :].split("\n")) if line.strip()]
    if not lines:
        return ["cause: nothing was printed"]
    # What a step of training came after, the run survived.
    survived = max((i + 1 for i, line in enumerate(lines) if _STEP.match(line)), default=0)
    first, exception = _traceback(lines, survived)
    spoken = [
        i for i in range(max(survived, exception), len(lines)) if _OURS.match(lines[i]) or _FAULT.match(lines[i])
    ]
    # Ours are remarks as well ("train: attention …"): only a word that tells is believed, or the end.
    telling = [i for i in spoken if _TELLING.search(lines[i])]
    spoken = telling or [i for i in spoken if i >= len(lines) - 3]
    place = ""
    if spoken:
        cause = lines[spoken[-1]]
    elif first < exception:
        cause, place = lines[exception], _place(lines[first:exception])
    else:
        cause = lines[-1]
    if _MEMORY.search(cause) and "out of memory" not in cause.lower():
        cause = f"out of memory: {cause}"

    if first < exception:
        # Messages go on over several lines, so some of what follows the exception is shown too.
        shown = lines[first : min([exception + 8, *(i for i in spoken if i > exception)])]
    else:
        shown = lines[-10:]
    room = FRAME_LINES - 1
    if len(shown) > room:  # the last frames are nearest the fault
        shown = [shown[0], f"({len(shown) - room + 1} lines left out)", *shown[2 - room :]]
    return [f"cause: {_quote(cause.strip())[2:]}{place}", *map(_quote, shown)]


def _traceback(lines: list[str], start: int) -> tuple[int, int]:
    """The last traceback from line `start` on: its first line and its exception's; (0, 0) without one."""
    first = next((i for i in range(len(lines) - 1, start - 1, -1) if lines[i].strip() == _HEADER), -1)
    if first < 0:  # a syntax error in the very file that was started has a frame and no header
        first = next((i for i in range(len(lines) - 1, start - 1, -1) if _FRAME.match(lines[i])), -1)
    exception = first + 1
    while first >= 0 and exception < len(lines) and lines[exception].startswith(" "):
        exception += 1
    return (first, exception) if first >= 0 and exception < len(lines) else (0, 0)


def _place(frames: list[str]) -> str:
    """The last of `frames` that lies in train.py, said as a person would; empty without one."""
    for line in reversed(frames):
        frame = _FRAME.match(line)
        if frame and frame["file"].endswith("train.py"):
            inside = f", in {frame['function']}" if frame["function"] else ""
            return f" (train.py, line {frame['line']}{inside})"
    return ""
