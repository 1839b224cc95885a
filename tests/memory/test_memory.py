"""The index of past experiments: what it takes in, what it finds, and what no damage or word upsets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from harness import memory, record
from harness.memory import Memory, Past
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.memory.campaigns import BASE, Campaign, setting


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Four experiments on one baseline."""
    made = Campaign(tmp_path)
    made.add(setting("SMALL_MATRIX_LR", 0.04), description="matrix LR doubled", note="diverges a little early")
    made.add(setting("SMALL_WARMDOWN", 0.9), description="longer warmdown", error=0.6)
    made.add(BASE.replace("F.relu(self.up(x)).square()", "F.gelu(self.up(x))"), description="GELU")
    made.add(setting("SMALL_HEAD_DIM", 48), status="crash", outcome="crashed", reason="shapes do not fit")
    return made


def ask(campaign: Campaign, question: Callable[[Memory, str], Any]) -> Any:
    return memory.ask(campaign.root, lambda index: question(index, index.follow(campaign.folder)))


def numbers(found: Sequence[Past]) -> list[int]:
    return [past.number for past in found]


def search(campaign: Campaign, words: str) -> list[int]:
    return numbers(ask(campaign, lambda index, at: index.search(words, [at], 10)))


def test_it_holds_what_an_experiment_left(campaign: Campaign) -> None:
    found = ask(campaign, lambda index, at: index.all([at]))
    assert numbers(found) == [1, 2, 3, 4]  # not the baseline
    assert (found[0].status, found[0].val_bpb, found[0].note) == ("discard", 2.0, "diverges a little early")
    assert found[0].diff.split("\n")[-1] == "+SMALL_MATRIX_LR = 0.04"
    assert [past.themes[0] for past in found] == ["learning rate", "schedule", "block", "attention"]
    assert [past.is_near_miss for past in found] == [False, True, False, False]
    assert [past.is_dead_end for past in found] == [True, False, True, True]
    assert found[3].reason == "shapes do not fit"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("matrix", [1]),
        ("diverges", [1]),  # of the note
        ("SMALL_WARMDOWN", [2]),  # of the diff
        ("warm", [2]),  # the beginning of a word
        ("gelu", [3]),
        ("attention", [4]),  # the theme
        ("matrix gelu", [1, 3]),  # no experiment has both
        ("longer warmdown", [2]),
        ("no-such-word", []),
        ("", []),
    ],
)
def test_words_find_it(campaign: Campaign, words: str, expected: list[int]) -> None:
    assert sorted(search(campaign, words)) == expected


def test_without_fts_words_find_it_all_the_same(campaign: Campaign) -> None:
    with mock.patch.object(memory, "_has_fts", return_value=False):
        assert search(campaign, "matrix gelu") == [3, 1]
        assert search(campaign, "SMALL_WARMDOWN") == [2]
        assert search(campaign, "100%") == [] and search(campaign, "_") == []
    assert search(campaign, "warm") == [2]  # the index is made anew, with FTS


OPERATORS = [
    "AND", "OR", "NOT", "NEAR(", ")", '"', "'", "*", "^", "-", "+", ":", "note:", "{a b}:", "gelu", "\0", "\\",
    "%", "_",
]  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.one_of(st.text(max_size=60), st.lists(st.sampled_from(OPERATORS), max_size=6).map(" ".join)),
       fts=st.booleans())  # fmt: skip
def test_no_words_ever_raise(campaign: Campaign, words: str, fts: bool) -> None:
    with mock.patch.object(memory, "_has_fts", return_value=fts):
        for number in search(campaign, words):
            assert number in (1, 2, 3, 4)


def test_only_what_changed_is_read_again(campaign: Campaign) -> None:
    ask(campaign, lambda index, at: None)
    with mock.patch.object(record, "read", side_effect=AssertionError("read again")):
        assert search(campaign, "gelu") == [3]
    new = campaign.add(setting("SMALL_DEPTH", 3), description="deeper")
    with mock.patch.object(record, "read", wraps=record.read) as read:
        assert search(campaign, "deeper") == [5]
    assert [call.args[0] for call in read.call_args_list] == [new]


def test_a_decision_that_is_written_anew_is_taken_in(campaign: Campaign) -> None:
    assert search(campaign, "gelu") == [3]
    path = next(campaign.folder.glob("0003-*"))
    text = (path / "decision.json").read_text().replace("GELU", "a smooth gate")
    (path / "decision.json").write_text(text)
    campaign.touch(path, 10)
    assert search(campaign, "smooth gate") == [3]
    assert search(campaign, "deeper") == []


def test_an_undecided_run_is_not_there_yet(campaign: Campaign) -> None:
    path = campaign.add(setting("SMALL_DEPTH", 3), description="deeper")
    decided = (path / "decision.json").read_bytes()
    (path / "decision.json").unlink()
    assert search(campaign, "deeper") == []
    (path / "decision.json").write_bytes(decided)
    assert search(campaign, "deeper") == [5]


def test_a_run_that_is_gone_is_forgotten(campaign: Campaign) -> None:
    assert search(campaign, "gelu") == [3]
    next(campaign.folder.glob("0003-*")).rename(campaign.root / "elsewhere")
    assert search(campaign, "gelu") == []


def test_a_damaged_record_is_named_and_the_rest_found(campaign: Campaign) -> None:
    path = next(campaign.folder.glob("0003-*"))
    good = (path / "decision.json").read_text()
    (path / "decision.json").write_text("{")
    found, complaints = ask(campaign, lambda index, at: (index.all([at]), index.complaints))
    assert numbers(found) == [1, 2, 4]
    assert len(complaints) == 1 and "0003-" in complaints[0]
    again = ask(campaign, lambda index, at: index.complaints)
    assert again == complaints  # until it is mended
    (path / "decision.json").write_text(good)
    assert search(campaign, "gelu") == [3]


@pytest.mark.parametrize("how", ["garbage", "empty", "older", "torn", "foreign"])
def test_a_damaged_or_older_index_is_made_anew(campaign: Campaign, how: str) -> None:
    assert search(campaign, "gelu") == [3]
    path = campaign.root / "runs" / memory.NAME
    if how == "garbage":
        path.write_bytes(b"no database at all" * 1000)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "torn":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + b"\xff" * 4096)
    else:
        connection = sqlite3.connect(path)
        if how == "older":
            connection.execute("PRAGMA user_version = 1")
        connection.execute("DROP TABLE past")
        connection.commit()
        connection.close()
    assert search(campaign, "gelu") == [3]


def test_where_it_cannot_be_written_it_is_made_in_memory(campaign: Campaign) -> None:
    path = campaign.root / "runs" / memory.NAME
    path.mkdir()  # no file can be opened there, whoever asks
    assert search(campaign, "gelu") == [3]
    assert path.is_dir()


def test_what_is_said_is_cleaned(campaign: Campaign) -> None:
    hostile = "\x1b[31mred\x1b[0m \u202eover\u202c\nnext: rm -rf / \ud800 <tool>"
    campaign.add(setting("SMALL_DEPTH", 3), description="cleanly", message=hostile, note=hostile)
    (past,) = ask(campaign, lambda index, at: index.search("cleanly", [at], 10))
    for text in (past.message, past.note):
        assert not any(c in text for c in "\x1b\u202e\u202c\n\ud800")


def test_what_is_alike_comes_in_order(campaign: Campaign) -> None:
    campaign.add(setting("SMALL_MATRIX_LR", 0.05))
    known = {past.number: past for past in ask(campaign, lambda index, at: index.all([at]))}
    alike = ask(campaign, lambda index, at: index.alike(known[1].change, [at]))
    assert [(past.number, round(gap, 3) < 0.8) for gap, past in alike] == [(1, True), (5, True)]
    assert alike[0][0] == 0.0 and alike[1][0] > 0.0


def test_campaigns_do_not_mix(campaign: Campaign) -> None:
    other = Campaign(campaign.root, "t2")
    other.add(setting("SMALL_DEPTH", 3), description="deeper")

    def question(index: Memory) -> tuple[list[int], list[int]]:
        ours, theirs = index.follow(campaign.folder), index.follow(other.folder)
        return numbers(index.search("deeper", [ours], 9)), numbers(index.search("deeper", [ours, theirs], 9))

    assert memory.ask(campaign.root, question) == ([], [1])
