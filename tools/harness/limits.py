"""When research ends by itself: the limits of a stint, read from program.md's section on the budget or from flags.

A stint is one going of research, from its start to its end, and what a limit counts is counted within it. The same
kind of limit may come from two places, or stand twice on the page: what is reached first ends the stint.

Only closed forms are read: a line that is wrongly understood ends the night, a complaint costs a glance. Where the
value of a known key makes no sense, a safe default stands in, and a line says so.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from . import Refused
from .branch import STEERING
from .ledger import clean
from .text import printable

HOUR = 3600.0
LATEST = 366 * 24 * HOUR  # seconds that a time may lie ahead
COMPLAINTS_MOST = 5
QUOTED = 80  # characters of a line that a complaint shows
LINE_MOST = 400  # characters of a line that are read

UNTIL, EXPERIMENTS, DEVICE_HOURS, TARGET = "until", "experiments", "device hours", "target"
TOKENS, DOLLARS, WITHOUT_KEEP = "client tokens", "client cost", "without a keep"


@dataclass(frozen=True)
class Limit:
    """One limit. `value` in the unit of its kind (until: unix time), `text` as written, `source`: where."""

    kind: str
    value: float
    text: str
    source: str


@dataclass(frozen=True)
class Limits:
    """All limits in force."""

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
# The kinds


@dataclass(frozen=True)
class Kind:
    """What one kind of limit accepts, and how it is told of.

    `safe` stands in for nonsense (None: nothing does). `keys` and `unit` are patterns: what names it, and what may
    stand around its value. `forms` are the sentences that set it; their group is the value.
    """

    example: str
    what: str
    least: float
    most: float
    safe: float | None
    keys: str
    unit: str
    forms: tuple[str, ...]
    is_reached: Callable[[float, Spent], bool]
    far: Callable[[float, Spent], str]  # how far it is
    done: str | Callable[[float, Spent], str]  # what is added to that once it is reached, or said instead
    whole: bool = False


_MOST = r"(?:at most|no more than|stop after)"
KINDS = {
    UNTIL: Kind(
        "07:00", "time such as 07:00 or 2026-11-24 07:00 (local time, without a zone or a weekday)", 0, 1e11,
        12 * HOUR, "until|stop at|deadline", "(.+)",
        (r"(?:stop|end|until)(?: at| by)? (?![1-9][0-9]*$)(.+)",),  # 0700 is a time, 1000 might be a number
        lambda value, spent: spent.now >= value,
        lambda value, spent: f"until {_clock(value, spent.now)} ({_span(value - spent.now)} left)",
        lambda value, spent: f"it is past {_clock(value, spent.now)}",
    ),
    EXPERIMENTS: Kind("100", "number of experiments such as 100", 1, 100_000,
        100, "experiments|max experiments", "(.+?)(?: experiments?| runs?)?",
        (r"(?:(?:stop|end) after|after|at most|no more than|max) (.+) experiments?",),
        lambda value, spent: spent.experiments >= value,
        lambda value, spent: f"{spent.experiments} of {value:.0f} experiments", " are done", whole=True,
    ),
    DEVICE_HOURS: Kind("8", "number of hours such as 8", 0.001, 100_000,
        12, "device hours|hours", "(.+?)(?: ?h| hours?| device hours?)?",
        (r"(?:at most|stop after) (.+) device hours?",), lambda value, spent: spent.device_hours >= value,
        lambda value, spent: f"{spent.device_hours:.1f} of {value:g} device hours", " are used",
    ),
    TARGET: Kind("0.965", "val_bpb such as 0.965", 0.001, 20,
        None, "target|val bpb|target val bpb", "(?:<=?|≤|below|of)? ?(.+?)(?: (?:val_)?bpb)?",
        (r"stop at (?:a )?val_bpb (?:of |below )?(.+)",),
        lambda value, spent: spent.best is not None and spent.best <= value,
        lambda value, spent: f"val_bpb {'-' if spent.best is None else f'{spent.best:.4f}'} to {value:g}",
        lambda value, spent: f"val_bpb {spent.best or 0.0:.6f} is at the target of {value:g}",
    ),
    TOKENS: Kind("20M", "number of tokens such as 20M", 1000, 1e13,
        20e6, "client tokens|tokens", "(.+?)(?: tokens?)?", (r"at most (.+) tokens",),
        lambda value, spent: spent.tokens >= value,
        lambda value, spent: f"{_big(spent.tokens)} of {_big(value)} client tokens", " are used",
    ),
    DOLLARS: Kind("15 USD", "sum in dollars such as 15 USD", 0.01, 1e6,
        20, "client cost|cost|dollars", r"(?:us)?\$? ?(.+?)(?: ?usd| ?\$| dollars?)?",
        (rf"{_MOST} (\$ ?.+)", rf"{_MOST} (.+ (?:dollars?|usd))"), lambda value, spent: spent.dollars >= value,
        lambda value, spent: f"${spent.dollars:.2f} of ${value:g}", " are spent",
    ),
    WITHOUT_KEEP: Kind("12", "number of experiments such as 12", 1, 100_000,
        30, "without a keep|patience", "(.+?)(?: experiments?| runs?)?(?: in a row)?",
        (r"(?:stop after )?(.+) experiments? without a keep",
         r"(?:stop (?:after|when) )?(.+?)(?: experiments)? in a row(?: br(?:ing|ought) nothing)?"),
        lambda value, spent: spent.without_keep >= value,
        lambda value, spent: f"{spent.without_keep} of {value:.0f} without a keep",
        lambda value, spent: f"{spent.without_keep} experiments in a row brought no keep", whole=True,
    ),
}  # fmt: skip
FLAGS = {
    "until": UNTIL,
    "experiments": EXPERIMENTS,
    "hours": DEVICE_HOURS,
    "target": TARGET,
    "tokens": TOKENS,
    "dollars": DOLLARS,
    "patience": WITHOUT_KEEP,
}


def reached(limits: Limits, spent: Spent) -> str | None:
    """The first limit that is reached, in one line: which, its value, and where it was set."""
    for limit in limits.all:
        about, value = KINDS[limit.kind], limit.value
        if about.is_reached(value, spent):
            told = (
                about.far(value, spent) + about.done if isinstance(about.done, str) else about.done(value, spent)
            )
            return f"{told} (limit set by {limit.source})"
    return None


def lines(limits: Limits, spent: Spent) -> list[str]:
    """How far each limit is away, on one line; none where none is set."""
    parts = [about.far(limit.value, spent) for kind, about in KINDS.items() if (limit := limits.first(kind))]
    return [f"limits: {', '.join(parts)}"] if parts else []


def _clock(when: float, now: float) -> str:
    """07:00, with its day where that is not clear."""
    form = "%H:%M" if abs(when - now) < 20 * HOUR else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(when))


def _span(seconds: float) -> str:
    minutes = max(int(seconds / 60), 0)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _big(number: float) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.4g}{unit}"
    return f"{number:.0f}"


# ---------------------------------------------------------------------------------------------------
# From flags and from program.md


def flag_limits(flags: Mapping[str, str], started: float | None = None) -> Limits:
    """The limits that command-line flags set, by their names without the dashes. Raises Refused for nonsense."""
    found = []
    for name, text in flags.items():
        kind, raw = FLAGS[name.lstrip("-")], _plain(str(text))
        value = read_value(kind, raw, time.time() if started is None else started)
        if value is None:
            flag = f"--{name.lstrip('-')} {_quote(str(text))}"
            raise Refused(f"{flag} is no {KINDS[kind].what}: give one, or leave it out")
        found.append(Limit(kind, value, raw, f"--{name.lstrip('-')} {raw}"))
    return Limits(tuple(found))


def parse(program: str | bytes | None, asked: float) -> tuple[Limits, list[str]]:
    """The limits that program.md sets in its section on the budget, and a line for each that makes no sense.

    A time of day is the next such local time after `asked` (unix time).
    """
    text = program.decode("utf-8-sig", "replace") if isinstance(program, bytes) else (program or "")
    found: list[Limit] = []
    complaints: list[str] = []
    for number, line in _section(text):
        own, complaint = _read_line(_plain(line), asked)
        found += [Limit(kind, value, raw[:QUOTED], f"{STEERING} line {number}") for kind, value, raw in own]
        if complaint:
            complaints.append(f"{STEERING}, line {number}: {_quote(line)} {complaint}")
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
    return '"' + printable(clean(line)).replace('"', "'")[:QUOTED] + '"'


def _plain(line: str) -> str:
    """In lower case, without bullet, emphasis and the full stop."""
    text = " ".join(unicodedata.normalize("NFKC", clean(line)).lower().split())
    text = re.sub(r"^(?:(?:[-*+>•–]|[0-9]{1,2}[.)]|\[[ x]?\]) )+", "", text)
    text = re.sub(r"[*`\"]|(?<!\w)_|_(?!\w)", "", text).replace("’", "'")
    return re.sub(r"\b([ap])\.m\b\.?", r"\1m", text).strip().rstrip(".!").rstrip()


WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NONE = r"none|no|no limit|unlimited|off|any|never|forever|[-–—∞]|(?:i|we|you|somebody)\b[^0-9]*\bstop[^0-9]*"
_DAYS = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_ZONED = rf"\b(?:utc|gmt|ces?t|[a-z][sd]t|{_DAYS})\b|[0-9] ?z\b|[0-9] ?[+-] ?[0-9]"
_SUSPECT = (
    rf"[0-9]|\b(?:{'|'.join(WORDS)}|dozen|twenty|thirty|forty|fifty|hundred|thousand|million)\b|(?<!\bi )\bam\b"
    rf"|\b(?:pm|noon|midnight|o'clock|tonight|today|tomorrow|weekend|breakfast|lunch|dinner|dawn|sunrise|{_DAYS})\b"
    r"|\b(?:hour|minute|night|day|week|morning|afternoon|evening)s?\b"
    r"|^(?:stop|end|until|till|limit|at most|max(?:imum)?|no more)\b"
)


def _read_line(plain: str, asked: float) -> tuple[list[tuple[str, float, str]], str]:
    """Kind, value and text of each limit that a line sets, and what is wrong with it ("": nothing)."""
    key = re.fullmatch(r"([a-z][a-z _-]*?) ?[:=] ?(.*)", plain)
    name = re.sub(r"[ _-]+", " ", key[1]) if key else ""
    for kind, about in KINDS.items():
        if key and re.fullmatch(about.keys, name):
            return _read_key(kind, key[2], asked)
    found = []
    for part in re.split(r" ?; ?|, (?:or )?| or ", plain):
        own = _read_sentence(part.strip(), asked)
        if own is None:
            by_hand = re.fullmatch(rf"until (?:{_NONE})", plain) is not None
            if by_hand or not re.search(_SUSPECT, plain):
                return [], ""
            zone = "; times are local, without a zone or a weekday" if re.search(_ZONED, plain) else ""
            return [], f"sets no limit; a limit is a line such as `experiments: 100`{zone}"
        found.append(own)
    return found, ""


def _read_key(kind: str, raw: str, asked: float) -> tuple[list[tuple[str, float, str]], str]:
    """What `key: value` sets; a safe value for nonsense, which for money and tokens is no more than was named."""
    if re.fullmatch(_NONE, raw):
        return [], ""
    about, value = KINDS[kind], read_value(kind, raw, asked)
    if value is not None:
        return [(kind, value, raw)], ""
    if about.safe is None:
        return [], f"is no {about.what}, and sets no limit"
    safe = min([about.safe, *_named(raw)]) if kind in (TOKENS, DOLLARS) else about.safe
    told = f"{safe / HOUR:g} hours" if kind == UNTIL else f"${safe:g}" if kind == DOLLARS else _big(safe)
    return [(kind, safe + (asked if kind == UNTIL else 0), raw)], f"is no {about.what}: {told} counts instead"


def _read_sentence(part: str, asked: float) -> tuple[str, float, str] | None:
    """What a sentence sets that is a limit as a whole; None for any other."""
    for kind, about in KINDS.items():
        for form in about.forms:
            match = re.fullmatch(form, part)
            if match and (value := read_value(kind, match[1], asked)) is not None:
                return kind, value, match[1]
    return None


# ---------------------------------------------------------------------------------------------------
# Values


def read_value(kind: str, text: str, asked: float) -> float | None:
    """The value of a limit as a person writes it, None for nonsense. A time of day is the next after `asked`."""
    about = KINDS[kind]
    match = re.fullmatch(about.unit, text)
    if not match:
        return None
    if kind == UNTIL:
        value = _time(text, asked)
        return value if value is not None and value - asked <= LATEST else None
    value = _number(match[1], kind)
    return value if value is not None and about.least <= value <= about.most else None


def _number(text: str, kind: str) -> float | None:
    """50, about 50, ~50, 1,000,000, twelve; 1.5 where what is counted is not whole; 20M of tokens."""
    text = re.sub(r"^(?:~ ?|about )", "", text)
    if text in WORDS:
        return float(WORDS.index(text) + 1)
    match = re.fullmatch(r"((?:[0-9]{1,15}|[1-9][0-9]{0,2}(?:([, ])[0-9]{3})(?:\2[0-9]{3}){0,4})(\.[0-9]{1,15})?)"
                         r" ?([kmg])?", text)  # fmt: skip
    if not match or (match[3] and KINDS[kind].whole) or (match[4] and kind != TOKENS):
        return None
    return float(re.sub("[, ]", "", match[1])) * {"k": 1e3, "m": 1e6, "g": 1e9}.get(match[4], 1)


def _named(text: str) -> list[float]:
    """Every positive number that can be read in a text, however it is written."""
    found = []
    for digits, unit in re.findall(r"([0-9](?:[0-9.,]*[0-9])?)(?: ?([kmg])(?:b|illion)?\b)?", text):
        several = len(re.findall("[.,]", digits)) > 1
        number = re.sub("[.,]+", "" if several else ".", digits)[:30]
        found.append(float(number) * {"k": 1e3, "m": 1e6, "g": 1e9}.get(unit, 1))
    return [number for number in found if number > 0]


def _time(text: str, asked: float) -> float | None:
    """07:00, 0700, 7 am, noon, midnight or 2026-11-24 07:00 in local time."""
    text = {"noon": "12:00", "midnight": "00:00"}.get(text, text)
    date, clock = r"(\d{4})-(\d\d)-(\d\d)[ t]", r"(\d\d?):(\d\d)|(\d\d)(\d\d)|(\d\d?)(?::(\d\d))? ?(am|pm)"
    match = re.fullmatch(f"(?:{date})?(?:{clock})", text, re.ASCII)
    if not match:
        return None
    hour, minute = int(match[4] or match[6] or match[8]), int(match[5] or match[7] or match[9] or 0)
    if match[10]:
        hour = hour % 12 + (12 if match[10] == "pm" else 0) if 1 <= hour <= 12 else 99
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        return None
    try:
        if match[1]:
            day = datetime(int(match[1]), int(match[2]), int(match[3]))
            return (day + timedelta(hours=hour, minutes=minute)).timestamp()
        when = datetime.fromtimestamp(asked).replace(hour=hour % 24, minute=minute, second=0, microsecond=0)
        return when.timestamp() if when.timestamp() > asked else (when + timedelta(days=1)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
