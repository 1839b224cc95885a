"""The lines that a person reads while a campaign runs without a terminal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from harness import show
from harness.show import Line
from hypothesis import given
from hypothesis import strategies as st


def used(tool: str, seconds: float = 0.1, **given: Any) -> dict[str, Any]:
    state = {"status": "completed", "input": given, "output": "…", "time": {"start": 0, "end": seconds * 1000}}
    return {"type": "tool_use", "part": {"tool": tool, "state": state}}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (used("skill", name="autoresearch"), Line("skill", "autoresearch")),
        (used("read", filePath="/a/b/train.py"), Line("read", "train.py")),
        (used("bash", command="tools/status.py", description="d"), Line("bash", "tools/status.py")),
        (used("bash", 63.2, command="scripts/x.sh --wait"), Line("bash", "(63 s) scripts/x.sh --wait")),
        (
            used("edit", filePath="/a/train.py", oldString="A = 1\nB = 2\n", newString="A = 1\nB = 3\n"),
            Line("edit", "train.py  B = 3"),
        ),
        ({"type": "text", "part": {"text": " I try\n"}}, Line("says", "I try")),
        ({"type": "text", "part": {"text": ""}}, None),
        ({"type": "step_start", "part": {}}, None),
        ({"type": "error", "error": {"name": "ProviderAuthError"}}, Line("problem", "ProviderAuthError")),
        ({"type": "error", "error": {"name": "E", "data": {"message": "no key"}}}, Line("problem", "no key")),
        (
            {"type": "tool_use", "part": {"tool": "edit", "state": {"status": "error", "error": "denied"}}},
            Line("problem", "edit train.py"),
        ),
    ],
)
def test_an_event_is_a_line(event: dict[str, Any], line: Line | None) -> None:
    if line is not None and line.text == "edit train.py":
        event["part"]["state"]["input"] = {"filePath": "/x/train.py", "oldString": "a", "newString": "b"}
        line = Line("problem", "edit train.py  b: denied")
    assert show.describe(event) == line


def test_changes() -> None:
    assert show.change("a\nb\nc\n", "a\n") == "2 lines removed"
    assert show.change("a\n", "a\nb = 1\nc = 2\n") == "b = 1 (and 1 more line)"
    assert show.change(None, None) == "nothing changed"


@given(st.text(), st.text())
def test_whatever_a_model_says_is_one_short_line(label_text: str, text: str) -> None:
    line = Line("says", label_text + "\x1b[2J" + text).format(0.0, colour=False)
    assert len(line) <= show.WIDTH
    assert "\n" not in line and "\r" not in line and "\x1b" not in line


def experiment(number: int, status: str, score: float | None, baseline: bool = False) -> Any:
    decision = SimpleNamespace(status=status, val_bpb=score, description=f"idea {number}")
    return SimpleNamespace(number=number, decision=decision, is_baseline=baseline)


def test_the_table_holds_each_against_the_best_before_it() -> None:
    done = [
        experiment(0, "keep", 2.0, baseline=True),
        experiment(1, "discard", 2.1),
        experiment(2, "keep", 1.9),
        experiment(4, "crash", None),
        experiment(6, "keep", 1.85),
    ]
    assert show.table(done) == [
        "run     val_bpb     change  verdict  what was tried",
        "0000   2.000000             keep     idea 0",
        "0001   2.100000  +0.100000  discard  idea 1",
        "0002   1.900000  -0.100000  keep     idea 2",
        "0004          -             crash    idea 4",
        "0006   1.850000  -0.050000  keep     idea 6",
    ]
    assert show.summary(done) == "4 experiments: 2 kept, 1 discarded, 1 crashed"
    assert show.summary(done[:1]) == "0 experiments: none yet"
    assert show.summary(done[:2]) == "1 experiment: 1 discarded"
    assert show.table(done, most=1)[1:] == [
        "(4 before these are in results.tsv)",
        "0006   1.850000  -0.050000  keep     idea 6",
    ]
