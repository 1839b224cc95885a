"""program.md edited while research goes on: said, shown, and in few lines however much it is."""

from __future__ import annotations

import json
import unicodedata

from harness import steering
from harness.situation import look
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.lab import Lab

CHANGED = "program.md: changed since the last run; read it again. The difference:"


def steer(lab: Lab, text: str) -> None:
    (lab.root / "program.md").write_text(text)


def told(out: str) -> list[str]:
    """The difference as printed."""
    lines = out.splitlines()
    if CHANGED not in lines:
        return []
    below = lines[lines.index(CHANGED) + 1 :]
    end = next(i for i, line in enumerate(below) if not line.startswith("  "))
    return [line[2:] for line in below[:end]]


def test_status_shows_the_difference(lab: Lab) -> None:
    assert "program.md: as it was at the last run" in lab.call("status.py").out
    assert lab.status()["program_diff"] == []
    steer(lab, "# Program\n\n## Goal\n\nThe lowest val_bpb below 40 GB.\n")
    out = lab.call("status.py").out
    assert told(out) == [
        "@@ -4,2 +4,2 @@",
        " ",
        "-The lowest val_bpb.",
        "+The lowest val_bpb below 40 GB.",
    ]
    assert lab.status()["program_diff"] == told(out)


def test_the_next_run_is_told_and_then_it_is_known(lab: Lab) -> None:
    steer(lab, "# Program\n\nSmaller models.\n")
    lab.edit(SCORE=1.6)
    answer = lab.run("-m", "exp: x")
    assert "note: program.md: changed since the last run; read it again.\n" in answer.out
    assert told(lab.call("status.py").out) == []
    steer(lab, "# Program\n\nLarger models.\n")
    answer = lab.log()
    assert told(answer.out) == [], "the revert says it"
    answer = lab.revert()
    assert "-Smaller models." in told(answer.out)
    assert "+Larger models." in told(answer.out)
    assert answer.out.splitlines()[-1].startswith("next: ")
    lab.edit(SCORE=1.4)
    found = json.loads(lab.run("-m", "exp: y", "--json").out)
    assert "+Larger models." in found["program_diff"]
    steer(lab, "# Program\n\nAny models.\n")
    answer = lab.log()
    assert answer.out.startswith("verdict: keep\n")
    assert "+Any models." in told(answer.out)
    found = json.loads(lab.call("revert.py", "--json").out)
    assert "+Any models." in found["program_diff"]


def test_a_page_that_comes_and_goes(lab: Lab) -> None:
    (lab.root / "program.md").unlink()
    assert told(lab.call("status.py").out) == ["(program.md is gone)"]
    lab.try_idea(SCORE=1.6)
    steer(lab, "Anew.\n")
    assert "+Anew." in told(lab.call("status.py").out)
    lab.log()
    lab.revert()
    (lab.path(0) / "program.md").unlink()
    (lab.root / "program.md").unlink()
    assert lab.status()["program_changed"] is False


def test_the_copy_is_gone(lab: Lab) -> None:
    (lab.path(0) / "program.md").unlink()
    steer(lab, "Anew.\n")
    assert told(lab.call("status.py").out) == ["(the last run's copy of program.md is gone)"]


def test_before_any_run(new: Lab) -> None:
    steer(new, "Anew.\n")
    assert new.status()["program_diff"] == []


def test_only_white_space(lab: Lab) -> None:
    steer(lab, (lab.root / "program.md").read_text().replace("\n", "\r\n"))
    assert told(lab.call("status.py").out) == ["(in white space only)"]


@settings(max_examples=50, deadline=None)
@given(st.text(), st.integers(0, 300), st.integers(1, 500))
def test_however_much_it_is(begun_lab: Lab, text: str, lines: int, width: int) -> None:
    now = look(begun_lab.root)
    before = (begun_lab.root / "program.md").read_bytes()
    try:
        (begun_lab.root / "program.md").write_bytes(
            before + "".join(f"{i} {text[:width]}\n" for i in range(lines)).encode("utf-8", "replace")
        )
        found = steering.changes(now)
    finally:
        (begun_lab.root / "program.md").write_bytes(before)
    assert bool(found) == (lines > 0)
    assert len(found) <= steering.CHANGES_MOST + 1
    assert all(len(line) <= steering.CHANGE_LIMIT for line in found)
    assert not any(unicodedata.category(c)[0] == "C" or c in "\n\u2028\u2029" for line in found for c in line)
    if len(found) > steering.CHANGES_MOST:
        assert found[-1].endswith(" more lines")
