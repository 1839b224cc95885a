"""Text in and out: files written and read whole, and a run's log made fit to show.

Two concerns that both end in a file's bytes. A campaign must survive a kill at any moment, so nothing is
ever half-written; and what a run says is data from the experiment, so nothing in it may look like an order to
the agent that reads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import unicodedata
from pathlib import Path
from typing import Any

LINE_LIMIT = 200  # characters of one log line that are shown
SAID_LIMIT = 300  # … and of what a run says within a line of ours
_SAID_FROM = 20_000  # characters from the end that are looked at for that
FRAME_LINES = 30  # most lines that last_frames returns, the cause included

# ---------------------------------------------------------------------------------------------------
# Files, whole


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
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # a Path takes as long as the reading
            value = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def sha256_of(path: Path) -> str:
    """Of the file at `path`, hexadecimal; empty where there is none that can be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def drawn(text: str) -> int:
    """The first 31 bits of the text's sha256: a seed that anyone can draw again and nobody can choose."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


# ---------------------------------------------------------------------------------------------------
# What a run says, made fit to show
#
# All of it reaches a reader through `said`: what train.py prints, the message of an exception (the model's too, by
# way of the scorer), names in a summary. The reader is a language model, so there is more to take away than what a
# terminal would obey: what cannot be seen, what looks like the end of the client's quotation, and what begins like
# a line of our own.

# Terminal sequences: CSI (colours, cursor), strings (OSC: titles, links; ended by BEL or ST), other escapes.
_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")
# Seen by nobody, and in no category of their own: joiners, fillers, selectors (256 of them: one for each byte).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# What could pass for a tag of the client or of a chat template: <tool>, </tool>, <|im_start|>, [INST].
_BRACKETS = str.maketrans(dict.fromkeys("<＜﹤", "‹"))
_TEMPLATE = re.compile(r"\[(?=/?(?:INST|SYS|SYSTEM|TOOL\w*|AVAILABLE_TOOLS)\])", re.IGNORECASE)

SUMMARY = (
    "val_bpb", "training_seconds", "total_seconds", "peak_vram_mb", "mfu_percent", "total_tokens_M", "num_steps",
    "num_params_M", "depth", "seed", "budget", "epochs", "cropped_percent", "waited_percent", "sandbox",
)  # fmt: skip
# What lines of our commands begin with, and what could pass for a turn of the conversation, or for an order.
_OPENINGS = (
    *SUMMARY, r"program\.md", "next", "verdict", "state", "cause", "note", "logged", "saved", "framework",
    "running", "interrupted", "crashed", "refused", "stopped", "finished", "goal", "limits?", "incumbent",
    "(?:the )?baseline", "noise", "best", "last results", "what was kept", "since its end", "the model", "open",
    "in progress elsewhere", "not boxed", "believed", "racing", "prospect", "campaign",
    "what the run printed.*", "written", "lessons?", "reflect", "direction",
    r"(?:run|experiment|campaign|sweep)\s+\S+", "winner",
    "system", "user", "human", "assistant", "developer", "tool", "function", "observation", "response",
    "important", "attention", "warning", "instructions?",
)  # fmt: skip
_FRAMEWORK = r"(?:composite|quality|efficiency|accuracy|safety)"  # of the framework
_MARKER = re.compile(
    rf"(?:^|[^\w\s]\s|[>)\]}}])[\W_]*(?:{'|'.join(_OPENINGS)})[\W_]{{0,4}}:"
    rf"|^[\W_]*(?:(?:run|experiment|{_FRAMEWORK})\s+\d|\d+ ?% of the budget)"
    r"|^\W*(?:---|```)",
    re.IGNORECASE,
)
_DECORATION = re.compile(r"^[\W_]+")
_OPENING = 40  # characters after it, by which a line says what it is; what only looks so is not all ASCII
MARK = "(printed by the run) "


def printable(line: str) -> str:
    """`line` without terminal sequences, control and direction characters; a progress bar's last state."""
    line = _ANSI.sub("", line).rstrip("\r")
    line = line.rsplit("\r", 1)[-1].replace("\t", "    ")
    if line.isascii() and line.isprintable():
        return line
    # C*: control, format (text direction, zero width), surrogate; Zl, Zp: other line ends
    return "".join(
        " " if unicodedata.category(c) in ("Zl", "Zp") else c
        for c in _INVISIBLE.sub("", line)
        if not unicodedata.category(c).startswith("C")
    )


def said(text: str, most: int = SAID_LIMIT) -> str:
    """What a run said, fit to stand in a line of ours: one line of at most `most` characters, no tag in it, named
    as the run's where it could pass for ours. Doing it again changes nothing."""
    line = " ".join(printable(part).strip() for part in text[-_SAID_FROM:].split("\n")).strip()
    return _fit(line, most)


def _quote(line: str) -> str:
    """One printable log line as a line of data."""
    return f"| {_fit(line, LINE_LIMIT)}".rstrip()


def _fit(line: str, most: int) -> str:
    """A printable line without tags, marked as the run's where it begins as ours do, or with what may look so."""
    line = _shortened(_TEMPLATE.sub("(", line.rstrip().translate(_BRACKETS)), most)
    opening = _DECORATION.sub("", line)[:_OPENING].replace("‹", "(")
    if not line.startswith(MARK) and (_MARKER.search(line) or not opening.isascii()):
        line = MARK + line.strip()
    return _shortened(line, most)


def _shortened(line: str, most: int) -> str:
    return line if len(line) <= most else line[: most - 1] + "…"


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
_FRAME = re.compile(r'\s*File "(?P<file>[^"]*)", line (?P<line>[0-9]+)(?:, in (?P<function>.+))?')
_NAME = re.compile(r"<?[A-Za-z_][\w.]{0,60}>?", re.ASCII)  # of a function: f, <module>, A.forward


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
    return [f"cause: {_fit(cause.strip(), LINE_LIMIT)}{place}", *map(_quote, shown)]


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
            name = frame["function"] or ""
            inside = f", in {name.translate(_BRACKETS)}" if _NAME.fullmatch(name) else ""
            return f" (train.py, line {frame['line'][:8]}{inside})"
    return ""
