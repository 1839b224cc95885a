"""Limits as a person writes them: what is meant is found, nonsense is named and made safe, prose is left alone."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from harness import Refused, limits
from harness.limits import (
    DEVICE_HOURS,
    DOLLARS,
    EXPERIMENTS,
    KINDS,
    TARGET,
    TOKENS,
    UNTIL,
    WITHOUT_KEEP,
    Limit,
    Limits,
    Spent,
    flag_limits,
    parse,
    reached,
)
from hypothesis import given
from hypothesis import strategies as st

HOUR = 3600.0


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def local(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))


EVENING = "2026-11-23 22:10"


def read(line: str, at: str = EVENING) -> tuple[list[tuple[str, float]], list[str]]:
    """Kind and value of what one line under the heading sets, and the complaints."""
    found, complaints = parse(f"# Program\n\n## Budget\n\n{line}\n", local(at))
    return [(own.kind, own.value) for own in found.all], complaints


@pytest.mark.parametrize(
    "line, told",
    [
        ("until: 07:00", "2026-11-24 07:00"),
        ("- Until: 7:00", "2026-11-24 07:00"),
        ("**until**: `23:30`", "2026-11-23 23:30"),
        ("until: 22:10", "2026-11-24 22:10"),
        ("until: 0700", "2026-11-24 07:00"),
        ("until: 7 am", "2026-11-24 07:00"),
        ("until: 7:30pm", "2026-11-24 19:30"),
        ("until: 12 am", "2026-11-24 00:00"),
        ("until: 12 p.m.", "2026-11-24 12:00"),
        ("until: midnight", "2026-11-24 00:00"),
        ("until: 24:00", "2026-11-24 00:00"),
        ("deadline: noon", "2026-11-24 12:00"),
        ("Stop at: 07:00", "2026-11-24 07:00"),
        ("until: 2026-11-25 07:00", "2026-11-25 07:00"),
        ("until: 2026-11-25T07:00", "2026-11-25 07:00"),
        ("until: 2026-11-20 07:00", "2026-11-20 07:00"),  # over: it is what they wrote
        ("stop at 07:00", "2026-11-24 07:00"),
        ("Stop at 7 a.m.", "2026-11-24 07:00"),
        ("End by 0700.", "2026-11-24 07:00"),
        ("until 7:00", "2026-11-24 07:00"),
        ("Until midnight.", "2026-11-24 00:00"),
        ("stop at 2026-11-25 07:00", "2026-11-25 07:00"),
        ("until: ０７:００", "2026-11-24 07:00"),
    ],
)
def test_times(zone: str, line: str, told: str) -> None:
    found, complaints = read(line)
    assert [(kind, time.strftime("%Y-%m-%d %H:%M", time.localtime(value))) for kind, value in found] == [
        (UNTIL, told)
    ]
    assert complaints == []


@pytest.mark.parametrize(
    "line, expected",
    [
        ("experiments: 100", {EXPERIMENTS: 100}),
        ("* EXPERIMENTS = 1,000", {EXPERIMENTS: 1000}),
        ("max experiments: ~50", {EXPERIMENTS: 50}),
        ("experiments: about 50", {EXPERIMENTS: 50}),
        ("experiments: twelve", {EXPERIMENTS: 12}),
        ("1. experiments: 5 runs", {EXPERIMENTS: 5}),
        ("device hours: 8", {DEVICE_HOURS: 8}),
        ("hours: 1.5 h", {DEVICE_HOURS: 1.5}),
        ("target: 0.965", {TARGET: 0.965}),
        ("target val_bpb: <= 0.965 bpb", {TARGET: 0.965}),
        ("val_bpb: below 0.965", {TARGET: 0.965}),
        ("client tokens: 20M", {TOKENS: 20e6}),
        ("client tokens: 20,000,000", {TOKENS: 20e6}),
        ("tokens: 20 000 000 tokens", {TOKENS: 20e6}),
        ("tokens: 20\u2009000\u2009000", {TOKENS: 20e6}),
        ("client tokens: 1.5M", {TOKENS: 1.5e6}),
        ("client tokens: 500k", {TOKENS: 500e3}),
        ("client tokens: 0.02G", {TOKENS: 20e6}),
        ("client cost: 15 USD", {DOLLARS: 15}),
        ("client cost: $15", {DOLLARS: 15}),
        ("dollars: 1,500.50", {DOLLARS: 1500.5}),
        ("cost: US$ 1.50", {DOLLARS: 1.5}),
        ("without a keep: 12", {WITHOUT_KEEP: 12}),
        ("patience: 12 experiments", {WITHOUT_KEEP: 12}),
        ("at most 30 experiments", {EXPERIMENTS: 30}),
        ("- At most ten experiments.", {EXPERIMENTS: 10}),
        ("Stop after 30 experiments.", {EXPERIMENTS: 30}),
        ("max 30 experiments", {EXPERIMENTS: 30}),
        ("no more than 1,000 experiments", {EXPERIMENTS: 1000}),
        ("stop after 10 experiments without a keep", {WITHOUT_KEEP: 10}),
        ("stop when ten in a row bring nothing", {WITHOUT_KEEP: 10}),
        ("Stop when ten experiments in a row brought nothing.", {WITHOUT_KEEP: 10}),
        ("12 in a row", {WITHOUT_KEEP: 12}),
        ("stop at a val_bpb of 0.96", {TARGET: 0.96}),
        ("stop at val_bpb below 0.96", {TARGET: 0.96}),
        ("stop at val_bpb 0.96", {TARGET: 0.96}),
        ("no more than $20", {DOLLARS: 20}),
        ("Stop after 20 dollars", {DOLLARS: 20}),
        ("at most 1,000 USD", {DOLLARS: 1000}),
        ("at most 20M tokens", {TOKENS: 20e6}),
        ("at most 8 device hours", {DEVICE_HOURS: 8}),
        ("at most 8 device hours or after 30 experiments", {DEVICE_HOURS: 8, EXPERIMENTS: 30}),
        (
            "Stop after 30 experiments, no more than $5; at most 1M tokens.",
            {EXPERIMENTS: 30, DOLLARS: 5, TOKENS: 1e6},
        ),
    ],
)
def test_amounts(line: str, expected: dict[str, float]) -> None:
    found, complaints = read(line)
    assert dict(found) == pytest.approx(expected)
    assert len(found) == len(expected)
    assert complaints == []


@pytest.mark.parametrize(
    "line",
    [
        "Go on until I stop you.",
        "Never stop.",
        "Do not stop before I say so.",
        "You need not stop; somebody will stop you.",
        "Go on until you are stopped.",
        "I am away; do not wait for me.",
        "Be frugal.",
        "until: I stop you",
        "Until I stop you.",
        "experiments: no limit",
        "client cost: none",
        "target: -",
        "",
        "---",
        "```",
    ],
)
def test_prose_sets_nothing_and_is_no_complaint(line: str) -> None:
    assert read(line) == ([], [])


@pytest.mark.parametrize(
    "line, kind, value",
    [
        ("until: 25:00", UNTIL, None),
        ("until: 24:30", UNTIL, None),
        ("until: 07:61", UNTIL, None),
        ("until: 7", UNTIL, None),
        ("until: 13 pm", UNTIL, None),
        ("until: the cows come home", UNTIL, None),
        ("until: 07:00 UTC", UNTIL, None),
        ("until: Friday 07:00", UNTIL, None),
        ("until: 2026-02-30 07:00", UNTIL, None),
        ("until: 9999-01-01 07:00", UNTIL, None),
        ("until: 8 hours", UNTIL, None),
        ("experiments: -5", EXPERIMENTS, 100),
        ("experiments: 0", EXPERIMENTS, 100),
        ("experiments: nan", EXPERIMENTS, 100),
        ("experiments: 2.5", EXPERIMENTS, 100),
        ("experiments: 1.000", EXPERIMENTS, 100),
        ("experiments: 1k", EXPERIMENTS, 100),
        ("experiments: 5 per idea", EXPERIMENTS, 100),
        ("experiments: 99999999999999999999999999999999", EXPERIMENTS, 100),
        ("experiments: many", EXPERIMENTS, 100),
        ("experiments:", EXPERIMENTS, 100),
        ("device hours: inf", DEVICE_HOURS, 12),
        ("client tokens: many", TOKENS, 20e6),
        ("client tokens: 1,5M", TOKENS, 1.5e6),
        ("client tokens: 20MB", TOKENS, 20e6),
        ("client tokens: 2 million", TOKENS, 2e6),
        ("client tokens: 5000 maybe", TOKENS, 5000),
        ("client tokens: 900M or so", TOKENS, 20e6),
        ("client cost: 15 EUR", DOLLARS, 15),
        ("client cost: 5, please", DOLLARS, 5),
        ("client cost: 1.000.000 EUR", DOLLARS, 20),
        ("client cost: -3", DOLLARS, 3),
        ("client cost: $0", DOLLARS, 20),
        ("without a keep: 0", WITHOUT_KEEP, 30),
        ("target: low", TARGET, 0),
        ("target: 0", TARGET, 0),
        ("target: 0,965", TARGET, 0),
        ("target: 96.5 %", TARGET, 0),
    ],
)
def test_nonsense_is_named_and_made_safe(line: str, kind: str, value: float | None) -> None:
    found, complaints = read(line)
    safe = local(EVENING) + 12 * HOUR if value is None else value
    assert found == ([(kind, safe)] if safe else [])
    (complaint,) = complaints
    assert complaint.startswith(f'program.md, line 5: "{line}" is no ')
    assert KINDS[kind].what in complaint, "what would be right"
    assert ("sets no limit" if kind == TARGET else " counts instead") in complaint
    assert "\n" not in complaint


MISREAD = [
    "Each experiment at most 5 minutes",
    "Stop after 3 hours without improvement",
    "Don't spend more than 5 experiments on any one idea",
    "Spend at most 10 experiments on the optimizer",
    "Limit the depth to 12 and use at most 10 experiments on optimizers",
    "At most 24 GB of memory and 2 hours of tuning learning rates",
    "Until 07:00 only small models, afterwards anything",
    "Stop after 1.000 experiments",
    "by 7 am",
    "End before breakfast",
    "1.5h",
    "two hours",
]


@pytest.mark.parametrize(
    "line",
    [
        *MISREAD,
        "experments: 30",
        "stop before breakfast",
        "stop when it gets boring",
        "stop after two bad nights",
        "do not stop before 30 experiments",
        "at least 30 experiments",
        "at most 0 experiments",
        "at most 5 experiments (per idea)",
        "at most 5 experiments or the other way round",
        "stop at 07:00 or when it is boring",
        "stop at 1000",
        "stop at 25:00",
        "stop after 8 hours",
        "no more than €20",
        "stop after 100",
        "Only one experiment at a time.",
        "The GPU is a 4090 that I share with Bob.",
        "depth = 12",
    ],
)
def test_what_is_no_limit_sets_none_and_is_named(line: str) -> None:
    told = f'program.md, line 5: "{line}" sets no limit; a limit is a line such as `experiments: 100`'
    assert read(line) == ([], [told])


@pytest.mark.parametrize("line", ["stop at 07:00 CET", "until 7 am UTC", "until Friday", "stop at 07:00 +01:00"])
def test_a_zone_and_a_weekday_are_no_part_of_a_time(line: str) -> None:
    found, complaints = read(line)
    assert found == []
    assert complaints[0].endswith("; times are local, without a zone or a weekday")


def test_the_forms_that_complaints_name_are_forms() -> None:
    for kind, about in KINDS.items():
        found, complaints = read(f"{kind}: {about.example}")
        assert [own for own, _ in found] == [kind]
        assert complaints == []


def test_where_it_looks() -> None:
    page = """\
# Program

until: 01:00

<!--
## Budget
until: 02:00
-->

## The budget of a night

experiments: 7 <!-- or
experiments: 8
-->
### In detail
without a keep: 5

## Ideas
experiments: 9

# BUDGET
client cost: $3
"""
    for text in (page, page.replace("\n", "\r\n"), "\ufeff" + page):
        found, complaints = parse(text.encode(), 0.0)
        assert [(own.kind, own.value, own.source) for own in found.all] == [
            (EXPERIMENTS, 7, "program.md line 12"),
            (WITHOUT_KEEP, 5, "program.md line 16"),
            (DOLLARS, 3, "program.md line 22"),
        ]
        assert complaints == []


def test_the_page_as_it_is_delivered() -> None:
    from harness.command import ROOT

    page = (ROOT / "program.md").read_text()
    assert parse(page, 0.0) == (Limits(), [])
    comment = page.partition("## Budget")[2].partition("<!--")[2].partition("-->")[0]
    shown = [line for line in comment.splitlines() if line.startswith("- ")]
    shown += re.findall('"(.+?)"', " ".join(comment.split()))
    found, complaints = parse("## Budget\n" + "\n".join(shown), 0.0)
    assert complaints == [], "what its comment shows is understood"
    assert {own.kind for own in found.all} == set(KINDS) and len(found.all) == len(shown)


def test_no_page() -> None:
    assert parse(None, 0.0) == parse("", 0.0) == parse(b"\xff\xfe", 0.0) == (Limits(), [])


def test_many_complaints_are_few_lines() -> None:
    page = "# Budget\n" + "experiments: x\n" * 100 + "stop stop stop\n" * 100
    found, complaints = parse(page, 0.0)
    assert found.first(EXPERIMENTS) == found.all[0] and found.all[0].value == 100
    assert len(complaints) == limits.COMPLAINTS_MOST + 1
    assert max(map(len, complaints)) < 1000


@given(
    st.text()
    | st.lists(st.sampled_from([*"0123456789.,:-$%()` \n", "stop", "until", "at most", "ten ", "M", "h "]))
)
def test_no_text_is_too_odd(text: str | list[str]) -> None:
    """Any page: an answer at once, values that make sense, complaints of one line."""
    line = text if isinstance(text, str) else "".join(text)
    found, complaints = parse(f"# Budget\n{line}", 1.8e9)
    for own in found.all:
        about = KINDS[own.kind]
        assert math.isfinite(own.value)
        assert own.kind == UNTIL or 0 < own.value <= about.most
        assert own.kind in (UNTIL, TOKENS, DOLLARS) or about.least <= own.value
    assert all(complaint and complaint.isprintable() for complaint in complaints)


@given(st.sampled_from(["((((((", "1 ", "0,", "a a ", "stop at ", "in a row ", "val_bpb is ", "$", "- ", "12 h "]))
def test_a_line_without_end_is_read_at_once(part: str) -> None:
    began = time.process_time()
    parse("# Budget\n" + part * 100_000, 0.0)
    assert time.process_time() - began < 5


# ---------------------------------------------------------------------------------------------------
# Reached


SPENT = Spent(now=1000.0, started=0.0, experiments=10, device_hours=2.0, best=0.97, tokens=5000, dollars=3.0)


@pytest.mark.parametrize(
    "kind, value, more",
    [
        (UNTIL, 1000.0, {}),
        (EXPERIMENTS, 10, {}),
        (DEVICE_HOURS, 2, {}),
        (TARGET, 0.97, {}),
        (TOKENS, 5000, {}),
        (DOLLARS, 3, {}),
        (WITHOUT_KEEP, 4, {"without_keep": 4}),
    ],
)
def test_reached_exactly_at_the_limit(kind: str, value: float, more: dict[str, int]) -> None:
    spent = replace(SPENT, without_keep=more.get("without_keep", 0))
    at = Limits((Limit(kind, value, "x", "program.md line 9"),))
    told = reached(at, spent)
    assert told is not None
    assert told.endswith("(limit set by program.md line 9)")
    assert "\n" not in told
    further = value - 0.001 if kind == TARGET else value + 0.001
    assert reached(Limits((Limit(kind, further, "x", "there"),)), spent) is None
    assert limits.lines(at, spent)[0].startswith("limits: ")


def test_no_score_is_no_target() -> None:
    assert reached(Limits((Limit(TARGET, 0.97, "", ""),)), replace(SPENT, best=None)) is None


@given(st.lists(st.integers(min_value=1, max_value=20), min_size=1), st.integers(min_value=0, max_value=20))
def test_of_two_sources_the_first_reached_counts(values: list[int], done: int) -> None:
    found = Limits()
    for number, value in enumerate(values):
        found += Limits((Limit(EXPERIMENTS, value, str(value), f"source {number}"),))
    first = found.first(EXPERIMENTS)
    assert first is not None and first.value == min(values)
    assert bool(reached(found, replace(SPENT, experiments=done))) == (done >= min(values))


def test_of_two_targets_the_first_reached_counts() -> None:
    found = Limits((Limit(TARGET, 0.95, "", ""), Limit(TARGET, 0.98, "", "")))
    assert found.first(TARGET) == found.all[1]


def test_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert limits.lines(Limits(), SPENT) == []
    found = flag_limits(
        {"until": "08:00", "experiments": "100", "dollars": "15", "tokens": "20M", "target": "0.965"},
        SPENT.started,
    )
    assert limits.lines(found, replace(SPENT, now=HOUR, tokens=1_234_000)) == [
        "limits: until 08:00 (7 h 0 min left), 10 of 100 experiments, val_bpb 0.9700 to 0.965, "
        "1.234M of 20M client tokens, $3.00 of $15"
    ]


# ---------------------------------------------------------------------------------------------------
# Flags


def test_flags() -> None:
    found = flag_limits(
        {"until": "07:00", "--experiments": "30", "hours": "8", "target": "0.9", "tokens": "1M", "dollars": "5"}
        | {"patience": "ten"},
        local(EVENING),
    )
    assert {own.kind: own.value for own in found.all} == {
        UNTIL: local("2026-11-24 07:00"),
        EXPERIMENTS: 30,
        DEVICE_HOURS: 8,
        TARGET: 0.9,
        TOKENS: 1e6,
        DOLLARS: 5,
        WITHOUT_KEEP: 10,
    }
    assert "--experiments 30" in str(reached(found, replace(SPENT, experiments=30)))


@pytest.mark.parametrize("name", limits.FLAGS)
@pytest.mark.parametrize("value", ["", "x", "-1", "nan", "inf", "1e999", "0"])
def test_a_flag_of_nonsense_is_refused(name: str, value: str) -> None:
    with pytest.raises(Refused, match=f"--{name} "):
        flag_limits({name: value})
