"""results.tsv: any text round-trips, people's rows stay, nothing is lost to a kill or to a neighbour."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import ledger
from harness.ledger import HEADER, LedgerError, Row
from hypothesis import given
from hypothesis import strategies as st

BASELINE = Row("a1b2c3d", 1.1, 4.2, "keep", "baseline")
BETTER = Row("b2c3d4e", 1.09, 4.3, "keep", "higher learning rate")
CRASH = Row("c3d4e5f", 0.0, 0.0, "crash", "too deep")
HAND = "9999999\t1.085\t4.0\tdiscard\ttried on the laptop"

any_text = st.text(st.characters())  # surrogates too
rows = st.builds(
    Row,
    st.text("0123456789abcdef", min_size=7, max_size=7),
    st.integers(0, 10**8).map(lambda n: n / 1e6),
    st.integers(0, 10**5).map(lambda n: n / 10),
    st.sampled_from(["keep", "discard"]),
    any_text.map(ledger.clean),
)


def file_of(*lines: str) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *lines))


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


# ------------------------------------------------------------------------------------------------------
# Rows


@given(any_text)
def test_a_clean_description_is_one_line_that_stays_as_it_is(description):
    cleaned = ledger.clean(description)
    assert cleaned == ledger.clean(cleaned) == cleaned.strip()
    assert 1 <= len(cleaned) <= ledger.DESCRIPTION_LIMIT
    assert len(cleaned.splitlines()) == 1
    assert not set(cleaned) & set('\t\n\r\x00\x1b"\u2028\u202e')
    cleaned.encode()


def test_what_is_cleaned_away():
    assert ledger.clean("a\tb\nc\r\nd\x00e\x1b[31m") == "a b c d e [31m"
    assert ledger.clean("  \n\t ") == ledger.NO_DESCRIPTION
    assert ledger.clean('SwiGLU "x" für 你好 🚀') == "SwiGLU 'x' für 你好 🚀"
    assert ledger.clean("x" * 1000) == "x" * ledger.DESCRIPTION_LIMIT


@given(st.lists(rows, max_size=5))
def test_rows_round_trip(written):
    assert ledger.parse(file_of(*map(ledger.format_row, written))) == written


@given(any_text)
def test_any_description_round_trips_cleaned(description):
    line = ledger.format_row(Row("a1b2c3d", 1.0, 2.0, "keep", description))
    assert ledger.parse(file_of(line)) == [Row("a1b2c3d", 1.0, 2.0, "keep", ledger.clean(description))]


def test_the_seeds_format():
    assert HEADER == "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
    assert ledger.format_row(BASELINE) == "a1b2c3d\t1.100000\t4.2\tkeep\tbaseline"
    assert ledger.format_row(Row("c3d4e5f", 1.0, 9.9, "crash", "x")) == "c3d4e5f\t0.000000\t0.0\tcrash\tx"


@pytest.mark.parametrize(
    "row",
    [
        Row("a1b2c3d", float("nan"), 1.0, "keep", "x"),
        Row("a1b2c3d", 1.0, float("inf"), "keep", "x"),
        Row("a1b2c3d", -1.0, 1.0, "keep", "x"),
        Row("a1b2c3d", 1.0, 1.0, "confirm", "x"),
        Row("", 1.0, 1.0, "keep", "x"),
        Row("a\tb", 1.0, 1.0, "keep", "x"),
    ],
)
def test_a_row_that_the_file_must_not_hold_is_refused(row, tmp_path):
    with pytest.raises(LedgerError):
        ledger.format_row(row)
    with pytest.raises(LedgerError):
        ledger.sync(tmp_path / "results.tsv", [row])
    assert not (tmp_path / "results.tsv").exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hello\n", 1),
        (ledger.format_row(BASELINE), 1),  # no header
        (file_of(HEADER), 2),  # the header twice
        (file_of("a b c d e"), 2),
        (file_of(HAND, "9999999\t1,085\t4.0\tdiscard\tdecimal comma"), 3),
        (file_of("9999999\tnan\t4.0\tdiscard\tx"), 2),
        (file_of("9999999\t1.0\t4.0\tmaybe\tx"), 2),
        (file_of("\t1.0\t4.0\tkeep\tx"), 2),
        (file_of("9999999\t1.0\t4.0\tkeep\tx\ty"), 2),
    ],
)
def test_nonsense_is_named_by_its_line(text, line):
    with pytest.raises(LedgerError) as error:
        ledger.parse(text)
    assert error.value.line == line
    assert str(error.value).startswith(f"line {line}: ")


def test_blank_lines_and_foreign_line_ends_are_no_nonsense():
    assert ledger.parse("") == []
    assert ledger.parse(HEADER) == []
    assert ledger.parse(file_of("", ledger.format_row(BASELINE), "  ").replace("\n", "\r\n")) == [BASELINE]


# ------------------------------------------------------------------------------------------------------
# Keeping the file true


def test_a_new_file_then_only_what_is_missing(tmp_path):
    path = tmp_path / "runs" / "jul1" / "results.tsv"
    assert ledger.sync(path, [BASELINE]).appended == 1
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert ledger.sync(path, [BASELINE]) == ledger.SyncReport()
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before  # not written again
    assert ledger.sync(path, [BASELINE, BETTER, CRASH]).appended == 2
    assert ledger.parse(path.read_text()) == [BASELINE, BETTER, CRASH]


def test_rows_added_by_hand_stay_where_they_are(tmp_path):
    path = tmp_path / "results.tsv"
    path.write_text(file_of(HAND, ledger.format_row(BASELINE))[:-1])  # an editor left the last line open
    report = ledger.sync(path, [BASELINE, BETTER])
    assert (report.appended, report.by_hand, report.moved_to) == (1, 1, None)
    assert lines_of(path) == [HEADER, HAND, ledger.format_row(BASELINE), ledger.format_row(BETTER)]


def test_a_measured_number_that_was_changed_is_mended_and_its_description_kept(tmp_path):
    path = tmp_path / "results.tsv"
    path.write_text(file_of("a1b2c3d\t0.900000\t4.2\tkeep\tbaseline, by Ann"))
    assert ledger.sync(path, [BASELINE]).mended == 1
    assert lines_of(path)[1] == "a1b2c3d\t1.100000\t4.2\tkeep\tbaseline, by Ann"


def test_a_caller_that_knows_less_removes_nothing(tmp_path):
    path = tmp_path / "results.tsv"
    ledger.sync(path, [BASELINE, BETTER])
    ledger.sync(path, [])
    assert ledger.parse(path.read_text()) == [BASELINE, BETTER]


def test_a_commit_that_was_measured_twice_has_two_rows(tmp_path):
    path = tmp_path / "results.tsv"
    again = Row(BASELINE.commit, 1.2, 4.2, "discard", "again")
    ledger.sync(path, [BASELINE, again])
    assert ledger.sync(path, [BASELINE, again]) == ledger.SyncReport()
    assert ledger.parse(path.read_text()) == [BASELINE, again]


def test_nonsense_is_kept_aside_and_the_file_rebuilt_with_its_valid_rows(tmp_path):
    path = tmp_path / "results.tsv"
    nonsense = file_of(HAND, "this is no row", ledger.format_row(BASELINE))
    path.write_text(nonsense)
    report = ledger.sync(path, [BASELINE, BETTER])
    assert report.moved_to == tmp_path / "results.tsv.old-1"
    assert report.moved_to is not None
    assert report.why.startswith("line 3: ")
    assert report.moved_to.read_text() == nonsense
    assert lines_of(path) == [HEADER, HAND, ledger.format_row(BASELINE), ledger.format_row(BETTER)]
    path.write_bytes(b"\xff\xfe\x00garbage\n")
    report = ledger.sync(path, [BASELINE])
    assert report.moved_to == tmp_path / "results.tsv.old-2"
    assert ledger.parse(path.read_text()) == [BASELINE]


@given(st.binary(max_size=200), st.booleans())
def test_whatever_is_in_the_file_it_is_kept_and_the_rows_are_there(tmp_path_factory, raw, headed):
    folder = tmp_path_factory.mktemp("ledger")
    path = folder / "results.tsv"
    path.write_bytes((HEADER + "\n").encode() + raw if headed else raw)
    before = path.read_bytes()
    report = ledger.sync(path, [BASELINE, CRASH])
    found = ledger.parse(path.read_text(encoding="utf-8"))
    assert [row for row in found if row in (BASELINE, CRASH)] == [BASELINE, CRASH]
    assert report.moved_to is None or report.moved_to.read_bytes() == before
    assert ledger.sync(path, [BASELINE, CRASH]) == ledger.SyncReport(by_hand=len(found) - 2)


def test_a_link_is_written_through(tmp_path):
    target = tmp_path / "runs" / "jul1" / "results.tsv"
    link = tmp_path / "results.tsv"
    link.symlink_to(Path("runs") / "jul1" / "results.tsv")  # it leads nowhere yet
    ledger.sync(link, [BASELINE])
    ledger.sync(link, [BASELINE, BETTER])
    assert link.is_symlink()
    assert ledger.parse(target.read_text()) == [BASELINE, BETTER]
    assert [p.name for p in tmp_path.iterdir() if p.is_file() and not p.is_symlink()] == []


# ------------------------------------------------------------------------------------------------------
# Neighbours and kills

WORKER = """
import sys
from harness import ledger
name, count, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rows = []
for i in range(count):
    rows.append(ledger.Row(f"{name}{i:06d}", 1.0, 1.0, "keep", f"{name} number {i} " + "x" * 200))
    ledger.sync(path, rows)
    print(i, flush=True)
"""
TOOLS = Path(__file__).parents[2] / "tools"


def worker(name: str, count: int, path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, name, str(count), str(path)],
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
    )


def test_several_processes_at_once_lose_nothing(tmp_path):
    path = tmp_path / "results.tsv"
    processes = [worker(name, 15, path) for name in "abc"]
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0
    found = ledger.parse(path.read_text())
    assert sorted(row.commit for row in found) == sorted(f"{n}{i:06d}" for n in "abc" for i in range(15))


def test_killed_at_any_moment_the_file_is_whole_and_holds_what_was_said(tmp_path):
    path = tmp_path / "results.tsv"
    moment = random.Random(7)
    for _ in range(8):
        process = worker("a", 10_000, path)
        assert process.stdout is not None
        process.stdout.readline()  # it is at work
        time.sleep(moment.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        said = process.communicate(timeout=10)[0].split(b"\n")[:-1]  # what it printed in whole lines
        found = ledger.parse(path.read_text())
        assert len(found) >= len(said) + 1
        assert [row.commit for row in found] == [f"a{i:06d}" for i in range(len(found))]
    assert ledger.sync(path, [BASELINE]).appended == 1  # the lock died with its holder
