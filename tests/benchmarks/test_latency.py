"""The timing of commands: what is told of them, and that a command which fails is no figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import latency
from benchmarks.latency import Row


@pytest.fixture(autouse=True)
def this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(latency, "PYTHON", Path(sys.executable))


def test_work_is_counted_and_a_failure_is_no_figure(tmp_path: Path) -> None:
    work = ("-c", "x = 0\nfor i in range(4_000_000): x += i")
    assert latency.cpu_of(tmp_path, work, (0,)) > latency.cpu_of(tmp_path, ("-c", ""), (0,)) > 0
    with pytest.raises(RuntimeError, match="ended with 3: no word"):
        latency.cpu_of(tmp_path, ("-c", "raise SystemExit(3)"), (0, 1))


def test_what_is_over_its_target_says_so() -> None:
    rows = [Row(100, "a", 0.5, 0.21, 0.2), Row(100, "b", 0.5, 0.2, 0.2), Row(7, "c", 9.0, 9.0, None)]
    lines = latency.show(rows)
    assert [line.endswith("missed") for line in lines[1:]] == [True, False, False]


def test_every_command_exists() -> None:
    assert all((latency.ROOT / arguments[0]).is_file() for _, arguments, _ in latency.COMMANDS)
