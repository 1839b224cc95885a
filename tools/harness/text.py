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
    """Write `value` whole as indented JSON. Raises TypeError or ValueError for what JSON cannot hold (NaN)."""
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
    """The last `lines` lines of a log, each `| `-prefixed and safe to show; repeats are counted, not shown."""
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

# A cause, as a kind that the agent can act on, and how it is recognised. The first that fits wins.
CAUSES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "out of memory",
        re.compile(
            r"out of memory|OutOfMemoryError|can.t allocate memory|cannot allocate memory|MemoryError"
            r"|CUBLAS_STATUS_ALLOC_FAILED|^Killed\b",
            re.IGNORECASE,
        ),
    ),
    (
        "not a number or divergence",
        re.compile(r"\bnan\b|not a number|non-?finite|\binf\b|diverge", re.IGNORECASE),
    ),
)
_OURS = re.compile(r"^(?:train|prepare|evaluate): ")
_FAULT = re.compile(r"^(?:Fatal Python error|Segmentation fault|Bus error|Killed|Aborted|Illegal instruction)")
_ERROR = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning|Failure|Unsupported)?(?:: |$)"
)
_FRAME = re.compile(r'^\s*File ".*", line \d+')
_HEADER = "Traceback (most recent call last):"


def last_frames(log: str) -> list[str]:
    """Why a run ended, in at most 30 lines: `cause: …`, then the last frames (or the last lines) as data.

    Understands a Python traceback (the last of a chain; a syntax error has frames but no header), one clear
    `train: …` or `prepare: …` line as the last word, and what the system prints on a fault.
    """
    lines = [printable(raw).rstrip() for raw in log[-1000 * LINE_LIMIT :].split("\n")]
    lines = [line for line in lines if line]
    if not lines:
        return ["cause: nothing was printed"]

    first, last = _traceback(lines)
    # Our own line, or the system's, is the cause where it comes after the last traceback.
    spoken = [i for i, line in enumerate(lines) if i >= last and (_OURS.match(line) or _FAULT.match(line))]
    if spoken:
        telling = [i for i in spoken if _FAULT.match(lines[i]) or _kind(lines[i])]
        message = lines[telling[-1] if telling else spoken[-1]]
    elif last > first:
        message = next((line for line in reversed(lines[first:last]) if _ERROR.match(line)), lines[last - 1])
    else:
        message = lines[-1]
    kind = _kind(message)
    cause = _quote(message)[2:]
    cause = f"cause: {kind}: {cause}" if kind and kind not in cause.lower() else f"cause: {cause}"

    room = FRAME_LINES - 1
    frames = lines[first:last] if last > first else lines[-10:]
    if len(frames) > room:  # the last frames are nearest the fault; the header is said again
        frames = [*frames[:1], f"({len(frames) - room + 1} lines left out)", *frames[-(room - 2) :]]
    return [cause, *(_quote(line) for line in frames)]


def _kind(message: str) -> str:
    return next((kind for kind, pattern in CAUSES if pattern.search(message)), "")


def _traceback(lines: list[str]) -> tuple[int, int]:
    """Where the last traceback lies, as [first, last) of `lines`; (0, 0) when there is none."""
    first = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].strip() == _HEADER), -1)
    if first < 0:  # a syntax error in the file that was started has no header
        frames = [i for i, line in enumerate(lines) if _FRAME.match(line)]
        errors = [i for i in frames for j in range(i + 1, min(i + 5, len(lines))) if "Error: " in lines[j]]
        if not errors:
            return 0, 0
        first = errors[-1]
    end = first + 1
    while end < len(lines) and lines[end].startswith((" ", "|", "+")):
        end += 1  # the frames; what follows is the exception, its message maybe on several lines
    end = min(end + 1, len(lines))
    while end < len(lines) and end - first < 400 and not (_OURS.match(lines[end]) or _FAULT.match(lines[end])):
        end += 1
    return first, end
