"""The startup benchmark's own parts: where stamps go, how they are read, and what becomes of them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import startup
from benchmarks.overhead import stamps, timeline
from benchmarks.overhead.stamps import Stamp
from benchmarks.overhead.timeline import Span

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", stamps.BLOCKS)
def test_stamps_stand_before_the_main_part_and_name_what_is_there(name):
    text = (ROOT / name).read_text()
    stamped = stamps.put_into(text, name)
    ast.parse(stamped)
    assert stamped.index("_stamp_life(") < stamped.rindex(stamps.GUARD)
    assert stamped.replace(stamps.BLOCKS[name].lstrip("\n"), "") == text
    with pytest.raises(ValueError, match="has no line"):
        stamps.put_into("a = 1\n", name)


def test_stamps_of_a_process_are_found_again(tmp_path):
    log = tmp_path / "run.log"
    code = stamps.COMMON + "work = _stamped('work', lambda: print('words of its own'))\n"
    code += "_stamp_life('trainer')\nwork()\nwork()\n"
    with log.open("wb") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, stderr=file, check=True)
    found = stamps.found_in([log, tmp_path / "none.log"])
    assert [stamp.name for stamp in found] == ["trainer begin", "trainer end", "work begin", "work end"]
    assert 0 <= found[1].time - found[0].time < 600  # born before it could say so


MOMENTS = [
    Stamp("trainer begin", 11.0),
    Stamp("imports end", 14.0),
    Stamp("finish begin", 24.0),
    Stamp("evaluate end", 30.0),
]


def test_spans_leave_no_gap_and_count_the_cpu_of_all():
    spent = [(10.0, 0.0), (14.0, 4.0), (24.0, 24.0), (31.0, 25.4)]
    found = timeline.spans(10.0, MOMENTS, 31.0, spent)
    assert [span.name for span in found] == [
        "command, guard, snapshot, box", "trainer: torch and train.py", "training", "scorer: score and summary",
        "runner: end of the scorer, record",
    ]  # fmt: skip
    assert sum(span.wall for span in found) == pytest.approx(21.0)
    assert found[1].cpu == pytest.approx(3.0) and found[2].cpu == pytest.approx(20.0)
    assert sum(span.cpu for span in found) == pytest.approx(25.4)
    assert timeline.overhead(found) == pytest.approx(11.0)
    assert timeline.overhead(found, "cpu") == pytest.approx(5.4)


def test_the_first_stamp_of_a_name_counts():
    twice = [*MOMENTS, Stamp("imports end", 29.0)]
    assert timeline.spans(10.0, twice, 31.0, []) == timeline.spans(10.0, MOMENTS, 31.0, [])


def test_medians_are_of_spans_that_all_runs_have():
    runs = [[Span("training", wall, 1.0), Span("scorer: audit", 1.0, wall)] for wall in (1.0, 5.0, 2.0)]
    assert timeline.median(runs) == [Span("training", 2.0, 1.0), Span("scorer: audit", 1.0, 2.0)]
    assert timeline.median([*runs, [Span("training", 2.0, 1.0)]]) == [Span("training", 2.0, 1.0)]


def test_the_table_adds_up():
    warm = timeline.spans(10.0, MOMENTS, 31.0, [])
    report = startup.Report(warm, warm, {"torch": (2.0, 1.5)}, 3, "10cpu", "a machine", "abc", 0.1)
    lines = startup.table(report)
    assert any("all but training" in line and line.count("11.00") == 2 for line in lines)
    assert any(line.startswith("torch") and line.endswith("2.00    1.50") for line in lines)
