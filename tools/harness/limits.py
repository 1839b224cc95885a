"""When research ends by itself: the limits of a stint, read from program.md's section on the budget or from flags.

A stint is one going of research, from its start to its end, and what a limit counts is counted within it. The same
kind of limit may come from two places, or stand twice on the page: what is reached first ends the stint. A person
who wrote a limit gets one: where its value makes no sense, a safe default stands in, and a line says so.
"""

from __future__ import annotations

import math
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from . import Refused
from .branch import STEERING
from .ledger import clean
from .text import printable

HOUR = 3600.0
LATEST = 366 * 24 * HOUR  # seconds from the start that a time may lie ahead
COMPLAINTS_MOST = 5
QUOTED = 80  # characters of a line that a complaint shows
LINE_MOST = 400  # characters of a line that are read

UNTIL, EXPERIMENTS, DEVICE_HOURS, TARGET = "until", "experiments", "device hours", "target"
TOKENS, DOLLARS, WITHOUT_KEEP = "client tokens", "client cost", "without a keep"


@dataclass(frozen=True)
class Kind:
    """What one kind of limit accepts. `safe` stands in for nonsense (None: nothing does), `says` tells of it."""

    example: str
    what: str
    least: float
    most: float
    safe: float | None
    says: str
    whole: bool = False


KINDS = {
    UNTIL: Kind("07:00", "time such as 07:00 or 2026-11-24 07:00", 0, 0, 12 * HOUR, "12 hours"),
    EXPERIMENTS: Kind("100", "number of experiments such as 100", 1, 100_000, 100, "100", whole=True),
    DEVICE_HOURS: Kind("8", "number of hours such as 8", 0.001, 100_000, 12, "12"),
    TARGET: Kind("0.965", "val_bpb such as 0.965", 0.001, 20, None, ""),
    TOKENS: Kind("20M", "number of tokens such as 20M", 1000, 1e13, 20e6, "20M"),
    DOLLARS: Kind("15 USD", "sum in dollars such as 15 USD", 0.01, 1e6, 20, "20 USD"),
    WITHOUT_KEEP: Kind("12", "number of experiments such as 12", 1, 100_000, 30, "30", whole=True),
}
FLAGS = {
    "until": UNTIL,
    "experiments": EXPERIMENTS,
    "hours": DEVICE_HOURS,
    "device-hours": DEVICE_HOURS,
    "target": TARGET,
    "tokens": TOKENS,
    "dollars": DOLLARS,
    "cost": DOLLARS,
    "patience": WITHOUT_KEEP,
    "without-keep": WITHOUT_KEEP,
}


@dataclass(frozen=True)
class Limit:
    """One limit. `value` in the unit of its kind (until: unix time), `text` as written, `source`: where."""

    kind: str
    value: float
    text: str
    source: str


@dataclass(frozen=True)
class Limits:
    """All limits in force; of each kind the one that is reached first is what the properties give."""

    all: tuple[Limit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.all)

    def __add__(self, other: Limits) -> Limits:
        return Limits(self.all + other.all)

    def first(self, kind: str) -> Limit | None:
        """The limit of this kind that is reached first."""
        own = [limit for limit in self.all if limit.kind == kind]
        choose = max if kind == TARGET else min
        return choose(own, key=lambda limit: limit.value, default=None)

    def _value(self, kind: str) -> float | None:
        limit = self.first(kind)
        return limit.value if limit else None

    @property
    def until(self) -> float | None:
        """Unix time."""
        return self._value(UNTIL)

    @property
    def experiments(self) -> float | None:
        return self._value(EXPERIMENTS)

    @property
    def device_hours(self) -> float | None:
        return self._value(DEVICE_HOURS)

    @property
    def target(self) -> float | None:
        """val_bpb."""
        return self._value(TARGET)

    @property
    def tokens(self) -> float | None:
        return self._value(TOKENS)

    @property
    def dollars(self) -> float | None:
        return self._value(DOLLARS)

    @property
    def without_keep(self) -> float | None:
        return self._value(WITHOUT_KEEP)


@dataclass(frozen=True)
class Spent:
    """What a stint has come to. `best` is the incumbent's val_bpb, `without_keep` counts since the last keep."""

    now: float  # unix time
    started: float  # unix time
    experiments: int = 0
    device_hours: float = 0.0
    best: float | None = None
    tokens: int = 0
    dollars: float = 0.0
    without_keep: int = 0


# ---------------------------------------------------------------------------------------------------
# Are they reached?


def reached(limits: Limits, spent: Spent) -> str | None:
    """The first limit that is reached, in one line: which, its value, and where it was set."""
    for limit in limits.all:
        value = limit.value
        at = {
            UNTIL: spent.now,
            EXPERIMENTS: spent.experiments,
            DEVICE_HOURS: spent.device_hours,
            TARGET: -math.inf if spent.best is None else -spent.best,
            TOKENS: spent.tokens,
            DOLLARS: spent.dollars,
            WITHOUT_KEEP: spent.without_keep,
        }[limit.kind]
        if at >= (-value if limit.kind == TARGET else value):
            told = {
                UNTIL: f"it is past {_clock(value, spent.now)}",
                EXPERIMENTS: f"{spent.experiments} of {value:.0f} experiments are done",
                DEVICE_HOURS: f"{spent.device_hours:.1f} of {value:g} device hours are used",
                TARGET: f"val_bpb {spent.best or 0.0:.6f} is at the target of {value:g}",
                TOKENS: f"{_big(spent.tokens)} of {_big(value)} client tokens are used",
                DOLLARS: f"${spent.dollars:.2f} of ${value:g} are spent",
                WITHOUT_KEEP: f"{spent.without_keep} experiments in a row brought no keep",
            }[limit.kind]
            return f"{told} (limit set by {limit.source})"
    return None


def lines(limits: Limits, spent: Spent) -> list[str]:
    """How far each limit is away, on one line; none where none is set."""
    parts = []
    for kind in KINDS:
        limit = limits.first(kind)
        if limit is None:
            continue
        value = limit.value
        best = "-" if spent.best is None else f"{spent.best:.4f}"
        parts.append(
            {
                UNTIL: f"until {_clock(value, spent.now)} ({_span(value - spent.now)} left)",
                EXPERIMENTS: f"{spent.experiments} of {value:.0f} experiments",
                DEVICE_HOURS: f"{spent.device_hours:.1f} of {value:g} device hours",
                TARGET: f"val_bpb {best} to {value:g}",
                TOKENS: f"{_big(spent.tokens)} of {_big(value)} client tokens",
                DOLLARS: f"${spent.dollars:.2f} of ${value:g}",
                WITHOUT_KEEP: f"{spent.without_keep} of {value:.0f} without a keep",
            }[kind]
        )
    return [f"limits: {', '.join(parts)}"] if parts else []


def _clock(when: float, now: float) -> str:
    """07:00, with its day where that is not clear."""
    if abs(when - now) < 20 * HOUR:
        return time.strftime("%H:%M", time.localtime(when))
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def _span(seconds: float) -> str:
    minutes = max(int(seconds / 60), 0)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _big(number: float) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.4g}{unit}"
    return f"{number:.0f}"


# ---------------------------------------------------------------------------------------------------
# From flags


def flag_limits(flags: Mapping[str, str], started: float | None = None) -> Limits:
    """The limits that command-line flags set, by their names without the dashes. Raises Refused for nonsense."""
    at = time.time() if started is None else started
    found = []
    for name, text in flags.items():
        flag = f"--{name.lstrip('-')}"
        kind = FLAGS[name.lstrip("-")]
        value = read_value(kind, str(text), at, at)
        if value is None:
            raise Refused(f"{flag} {_quote(str(text))} is no {KINDS[kind].what}: give one, or leave it out")
        found.append(Limit(kind, value, _tidy(str(text)), f"{flag} {_tidy(str(text))}"))
    return Limits(tuple(found))


# ---------------------------------------------------------------------------------------------------
# From program.md


def parse(program: str | bytes | None, started: float, asked: float | None = None) -> tuple[Limits, list[str]]:
    """The limits that program.md sets in its section on the budget, and a line for each that makes no sense.

    A time of day is the next such local time after `asked` (unix time; when the line was written, by default when
    the stint `started`).
    """
    text = program.decode("utf-8-sig", "replace") if isinstance(program, bytes) else (program or "")
    at = started if asked is None else asked
    found: list[Limit] = []
    complaints: list[str] = []
    passed_by: list[str] = []
    for number, line in _section(text):
        source = f"{STEERING} line {number}"
        for kind, raw in _read_line(line):
            if kind is None:
                passed_by.append(f"{source}: {_quote(raw)}")
                continue
            value = read_value(kind, raw, started, at)
            about = KINDS[kind]
            if value is None:
                used = f": {about.says} counts instead" if about.safe is not None else ", and sets no limit"
                complaints.append(f"{source}: {_quote(line)} is no {about.what}{used}")
                if about.safe is None:
                    continue
                value = about.safe + (at if kind == UNTIL else 0.0)
            found.append(Limit(kind, value, _tidy(raw), source))
    if passed_by:
        known = ", ".join(f"`{kind}: {about.example}`" for kind, about in KINDS.items())
        complaints.append(f"{'; '.join(passed_by[:COMPLAINTS_MOST])}: no limit known here; known are {known}")
    if len(complaints) > COMPLAINTS_MOST:
        more = len(complaints) - COMPLAINTS_MOST
        complaints = [*complaints[:COMPLAINTS_MOST], f"{STEERING}: {more} more lines on the budget make no sense"]
    return Limits(tuple(found)), complaints


def _section(text: str) -> Iterator[tuple[int, str]]:
    """The lines with text under the headings that name the budget, with their numbers; without comments."""
    # A comment that is never closed hides the rest of the page, as it does where the page is shown.
    text = re.sub(r"<!--.*?(?:-->|\Z)", lambda match: re.sub(r"[^\r\n]", "", match[0]), text, flags=re.DOTALL)
    depth = 0
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        heading = re.match(r" {0,3}(#{1,6})(?:\s|$)", line)
        if heading:
            if depth == 0 or len(heading[1]) <= depth:
                depth = len(heading[1]) if re.search(r"\bbudget", line, re.IGNORECASE) else 0
        elif depth and line.strip():
            yield number, line[:LINE_MOST]


def _quote(line: str) -> str:
    """A line of the person's as it is shown in one of ours."""
    return f"`{printable(clean(line)).replace('`', chr(39))[:QUOTED]}`"


# ---------------------------------------------------------------------------------------------------
# A line as a person writes it

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBER = (
    r"(?P<n>[-+\u2212]?(?:[0-9][0-9.,'_\u2019]*(?: [0-9]{3}\b)*|\.[0-9]+)(?:e\+?[0-9]+)?"
    r"(?: ?(?:k|m|g|b|thousand|million|billion)\b)?(?![0-9a-z])"
    rf"|\b(?:{'|'.join(WORDS)}|nan|inf|infinity)\b)"
)
_COUNTED = rf"[0-9]|\b(?:{'|'.join(WORDS)}|nan|inf|infinity)\b"
TIME = (
    r"(?P<n>(?:(?:today|tomorrow|tonight)(?: at)? )?(?:[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?: |t))?"
    r"[0-9]{1,2}(?::[0-9]+(?::[0-9]+)?|(?= ?(?:am|pm|o'?clock)\b)|(?=\W*$))"
    r"(?: ?(?:am|pm|o'?clock)\b)?(?: (?:today|tomorrow|tonight))?)"
)
_TRY = r"(?:experiments?|runs?|tries|attempts?|ideas?)"
_GAIN = r"(?:keep|improvement|gain|success|progress)s?"
# What sets a limit in plain words, the special before the general; `n` is its value.
FORMS: tuple[tuple[str, str], ...] = (
    (WITHOUT_KEEP, rf"{NUMBER} (?:\w+ )?(?:{_TRY} )?(?:in a row )?(?:without|with no) (?:\w+ )?{_GAIN}"),
    (WITHOUT_KEEP, rf"{NUMBER} (?:consecutive )?(?:{_TRY} )?(?:in a row )?(?:that )?\w+ nothing"),
    (WITHOUT_KEEP, rf"{NUMBER} (?:consecutive )?(?:{_TRY} )?(?:in a row )?(?:are |were )?(?:fail|discard)\w*"),
    (WITHOUT_KEEP, rf"(?:no {_GAIN}|nothing \w+) (?:in|for|within|after|over) (?:the last )?{NUMBER} {_TRY}"),
    (TARGET, rf"val_?bpb(?: (?!{NUMBER.replace('?P<n>', '?:')})[a-z<=≤]+){{0,4}} ?[:=<≤]* ?{NUMBER}"),
    (TARGET, rf"{NUMBER} (?:val_?)?bpb\b"),
    (TARGET, r"\b(?:stop|end) (?:at|below|under) (?P<n>[0-4]\.[0-9]+)(?![0-9:])"),
    (DOLLARS, rf"\b(?:us)?\$ ?{NUMBER}|(?<!\w)\$ ?{NUMBER.replace('?P<n>', '?P<m>')}"),
    (DOLLARS, rf"{NUMBER} ?(?:us ?)?(?:\$|usd\b|dollars?\b)"),
    (TOKENS, rf"{NUMBER} (?:client |model )?tokens?\b"),
    (DEVICE_HOURS, rf"{NUMBER} ?(?:device|gpu|training|accelerator)[- ]?(?:hours?|h)\b"),
    (DEVICE_HOURS, rf"{NUMBER} ?(?:hours?|h) of (?:device|gpu|training)\b"),
    (EXPERIMENTS, rf"{NUMBER} (?:more |further )?(?:experiments?|runs?)\b(?! (?:at|an?|per|each|in) )"),
    (UNTIL, rf"(?P<n>{NUMBER.replace('?P<n>', '?:')} ?(?:hours?|hrs?|h|minutes?|mins?))\b(?! (?:a|per|each)\b)"),
    (UNTIL, rf"\b(?:until|till|by|at|before) {TIME}"),
)
KEYS: tuple[tuple[str, str], ...] = (
    (UNTIL, r"until|till|stop at|end at"),
    (WITHOUT_KEEP, r"(?:experiments |stop )?without (?:a )?keeps?|patience"),
    (EXPERIMENTS, r"(?:max(?:imum)? |number of )?experiments"),
    (DEVICE_HOURS, r"(?:max(?:imum)? )?(?:device|gpu)[ -]hours"),
    (TARGET, r"target(?: val bpb)?|val bpb"),
    (TOKENS, r"(?:max(?:imum)? )?(?:client )?tokens"),
    (DOLLARS, r"(?:max(?:imum)? )?(?:client )?(?:costs?|dollars)"),
)
# Words by which a sentence sets a limit, and those by which it says that there is none.
_LEAD = (
    r"\b(?:stop|end|quit|halt|finish|until|till|at most|(?:no|not|never) more than|maximum|max|up to|limit\w*"
    r"|cap\w*|within|less than|fewer than)\b|(?:\b(?:not|never)|n't) (?:\w+ ){0,2}(?:more than|beyond|over)\b"
    r"|\b(?:go on|going|run|work|continue) for\b"
)
_NEGATED = r"(?:\b(?:never|not)|n't|\bno need to) (?:\w+ ){0,2}?(?:stop|end|quit|halt|finish)\b|\bat least\b"
_UNIT = (
    r"\b(?:experiments?|runs?|hours?|minutes?|nights?|days?|tokens?|dollars?|usd|eur|euros?|val_?bpb|keeps?|o'?clock"
    r"|in a row)\b|[$€£]|[0-9]:[0-9]"
)
# Somebody stops it, or is asked not to: nothing that could be a limit.
_BY_HAND = (
    r"\b(?:i|we|you|they|he|she|somebody|someone|anybody|person) (?:\w+ ){0,2}stop"
    r"|\bstop(?:s|ped)? (?:you|it|me)\b|\b(?:am|are|is|be|get|was|were|until|till|unless) stopped\b"
    r"|\bstop file\b|non-?stop|without (?:a )?stop"
)
_NONE = r"none|no|never|no limit|without(?: limit)?|unlimited|off|any|forever|[-–—∞/]"


def _read_line(line: str) -> list[tuple[str | None, str]]:
    """What a line sets: kind and raw value of each limit; None and the words for what only looks like one."""
    plain = _plain(line)
    key = re.match(r"([a-z][a-z _-]{0,40}?)\s*[:=]\s*(.*)", plain)
    if key:
        name = re.sub(r"[ _]+", " ", key[1])
        for kind, pattern in KEYS:
            if re.fullmatch(pattern, name):
                none = re.fullmatch(_NONE, key[2]) or re.search(_BY_HAND, key[2])
                return [] if none else [(kind, key[2])]
    found: list[tuple[str | None, str]] = []
    led = _is_alone(plain)
    for clause in re.split(r"; ?|, (?![0-9]{3}\b)|\. |\bor\b|\band\b|\bwhichever\b.*", plain):
        clause = clause.strip()
        negated = re.search(_NEGATED, clause) is not None
        led = led or re.search(_LEAD, clause) is not None
        rest = clause
        while led and not negated and re.search(_COUNTED, rest):
            match = next(((kind, m) for kind, form in FORMS if (m := re.search(form, rest))), None)
            if match is None:
                break
            groups = match[1].groupdict()
            found.append((match[0], groups["n"] or groups.get("m") or ""))
            rest = f"{rest[: match[1].start()]} … {rest[match[1].end() :]}"
        if _looks_like_one(rest, negated):
            found.append((None, clause))
    return found


def _plain(line: str) -> str:
    """In lower case, without bullets, emphasis, remarks in brackets and the full stop."""
    text = " ".join(unicodedata.normalize("NFKC", line).split())
    text = re.sub(r"^(?:[-*+>•–]\s*|[0-9]{1,2}[.)]\s+|\[[ xX]?\]\s*)+", "", text) if not _is_signed(text) else text
    text = re.sub(r"[*`\"]|(?<!\w)_|_(?!\w)", "", text).lower()
    text = re.sub(r"\([^)]*\)?", " ", text)
    text = re.sub(r"\b([ap])\.m\.?", r"\1m", text).replace("’", "'")
    return " ".join(text.split()).rstrip(".!;, ")


def _is_signed(text: str) -> bool:
    return re.match(r"[-+][0-9]", text) is not None


def _is_alone(plain: str) -> bool:
    """Whether the line is nothing but a value with its unit, such as `30 experiments` or `$20`."""
    counted = re.search(_COUNTED, plain) is not None
    return counted and any(re.fullmatch(form, plain) for kind, form in FORMS if kind != UNTIL)


def _looks_like_one(rest: str, negated: bool) -> bool:
    """Whether what is left of a clause could be meant as a limit."""
    if re.search(r"[0-9]", rest):
        return re.search(f"{_LEAD}|{_UNIT}|^[a-z][a-z _-]*[:=]", rest) is not None
    if negated or "…" in rest:
        return False
    if re.search(rf"\b(?:{'|'.join(WORDS[1:])})\b", rest) and re.search(_LEAD, rest):
        return True
    return re.search(r"\bstop\b", rest) is not None and re.search(_BY_HAND, rest) is None


# ---------------------------------------------------------------------------------------------------
# Values


def read_value(kind: str, text: str, started: float, asked: float) -> float | None:
    """The value of a limit as a person writes it, None for nonsense. A time of day is the next after `asked`."""
    text = _tidy(text)
    if kind == UNTIL:
        value = _time(text, started, asked)
        return value if value is not None and value - asked <= LATEST else None
    patterns = {
        EXPERIMENTS: r"(.+?) ?(?:more |further )?(?:experiments?|runs?)?",
        WITHOUT_KEEP: r"(.+?) ?(?:experiments?|runs?)?(?: in a row)?(?: without (?:a )?keep)?",
        TARGET: r"(?:val_?bpb )?(?:<=?|≤|below |under |of )?\s*(.+?) ?(?:(?:val_?)?bpb)?",
        TOKENS: r"(.+?) ?(?:client )?(?:tokens?)?",
        DOLLARS: r"(?:us)?(?:\$|usd)? ?(.+?) ?(?:us ?)?(?:\$|usd|dollars?)?",
        DEVICE_HOURS: r"(.+?) ?(?:device |gpu )?(h|hrs?|hours?|min|mins|minutes?)?",
    }
    match = re.fullmatch(patterns[kind], text)
    value = _number(match[1]) if match else None
    if value is None or not match:
        return None
    if kind == DEVICE_HOURS and (match[2] or "").startswith("m"):
        value /= 60
    about = KINDS[kind]
    if not about.least <= value <= about.most or (about.whole and value != int(value)):
        return None
    return value


def _tidy(text: str) -> str:
    """One line in lower case, without remarks in brackets and the full stop; what is remembered of a time."""
    text = re.sub(r"\([^)]*\)?", " ", unicodedata.normalize("NFKC", clean(text))).lower()
    return " ".join(re.sub(r"[`*']+$|^[`*']+", "", text).split()).rstrip(".,;!")[:QUOTED]


def _number(text: str) -> float | None:
    """20M, 1,000,000, 1 000 000, 1.5, 1,5, 1e6 or a word up to twelve."""
    text = text.strip()
    if text in WORDS:
        return float(WORDS.index(text) + 1)
    match = re.fullmatch(r"([0-9.,'_\u2019 ]+)(?:e\+?([0-9]{1,2}))? ?(k|m|g|b|thousand|million|billion)?", text)
    if not match:
        return None
    digits = match[1].strip()
    for separator in (",", ".", "[ '_\u2019]"):  # of thousands: once could be decimal, where it is a dot
        escaped = re.escape(separator) if len(separator) == 1 else separator
        if re.fullmatch(rf"[1-9][0-9]{{0,2}}(?:{escaped}[0-9]{{3}}){{{2 if separator == '.' else 1},}}", digits):
            digits = re.sub(r"[^0-9]", "", digits)
            break
    if re.fullmatch(r"[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+", digits):
        digits = digits.replace(",", "")
    digits = digits.replace(",", ".")
    if not re.fullmatch(r"[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15}", digits):
        return None
    factor = {"k": 1e3, "t": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}[match[3][0]] if match[3] else 1.0
    value = float(digits) * 10.0 ** int(match[2] or 0) * factor
    return value if math.isfinite(value) else None


def _time(text: str, started: float, asked: float) -> float | None:
    """07:00, 7 am, tomorrow 07:00, 2026-11-24 07:00 in local time, or a span such as 8 hours from the start."""
    span = re.fullmatch(r"(.+?) ?(h|hrs?|hours?|min|mins|minutes?)", text)
    if span and ":" not in text:
        value = _number(span[1])
        seconds = 60.0 if span[2].startswith("m") else HOUR
        return started + value * seconds if value is not None and 0 < value * seconds <= LATEST else None
    day = re.search(r"\b(?:today|tomorrow|tonight)\b", text)
    exact = "clock" in text
    text = re.sub(r"\b(?:today|tomorrow|tonight|at|o'?clock)\b", " ", text).strip()
    match = re.fullmatch(
        r"(?:([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})[ t]+)?([0-9]{1,2})(?::([0-9]{2})(?::[0-9]{2})?)? ?(am|pm)?", text
    )
    if not match or (match[5] is None and match[6] is None and not exact):
        return None
    hour, minute = int(match[4]), int(match[5] or 0)
    if match[6]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[6] == "pm" else 0)
    if hour > 24 or minute > 59:
        return None
    try:
        now = datetime.fromtimestamp(asked)
        if match[1]:
            date = datetime(int(match[1]), int(match[2]), int(match[3]))
            return (date + timedelta(hours=hour, minutes=minute)).timestamp()
        when = now.replace(hour=hour % 24, minute=minute, second=0, microsecond=0)
        later = (when + timedelta(days=1)).timestamp()
        return later if (day and day[0] == "tomorrow") or when.timestamp() <= asked else when.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
