"""The command line of start, and which campaign it works on."""

from __future__ import annotations

import datetime
import string

import pytest
import start
from harness import Refused, plan
from hypothesis import given
from hypothesis import strategies as st

tags = st.sets(st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=2), max_size=6)


def test_the_date_makes_a_tag() -> None:
    assert plan.date_tag(datetime.date(2026, 11, 23)) == "nov23"
    assert plan.date_tag(datetime.date(2027, 3, 5)) == "mar5"


@pytest.mark.parametrize(
    ("asked", "current", "branches", "campaigns", "tag", "new"),
    [
        (None, None, (), (), "nov23", True),
        ("attention", None, (), (), "attention", True),
        (None, "mar5", ("mar5",), ("mar5",), "mar5", False),  # the branch that is checked out goes on
        (None, "mar5", ("mar5",), (), "mar5", False),  # also when nothing has run on it yet
        ("mar5", None, ("mar5",), ("mar5",), "mar5", False),
        ("may1", "mar5", ("mar5", "may1"), ("mar5", "may1"), "may1", False),
        (None, None, ("nov23",), ("nov23",), "nov23", False),  # started today already
        (None, None, ("nov23",), (), "nov23-2", True),  # somebody else's branch of that name
        (None, None, ("nov23", "nov23-2"), ("nov23-3",), "nov23-4", True),
        (None, None, (), ("nov23",), "nov23-2", True),  # its branch was deleted
    ],
)
def test_which_campaign(asked, current, branches, campaigns, tag, new) -> None:
    chosen = plan.choose_tag(asked, current, branches, campaigns, "nov23")
    assert (chosen.tag, chosen.new) == (tag, new)
    assert f"autoresearch/{tag}" in chosen.note


@pytest.mark.parametrize(("branches", "campaigns"), [(("mar5",), ()), ((), ("mar5",))])
def test_a_taken_tag_is_refused_with_a_free_one(branches, campaigns) -> None:
    with pytest.raises(Refused, match=r"tag mar5 is taken.*scripts/start.sh mar5-2"):
        plan.choose_tag("mar5", None, branches, campaigns, "nov23")


@given(asked=st.none() | st.sampled_from("abc"), branches=tags, campaigns=tags, today=st.sampled_from("abc"))
def test_a_new_branch_never_meets_an_old_one(asked, branches, campaigns, today) -> None:
    try:
        chosen = plan.choose_tag(asked, None, branches, campaigns, today)
    except Refused:
        assert asked in branches ^ campaigns
        return
    assert chosen.new == (chosen.tag not in branches | campaigns)
    assert chosen.new or chosen.tag in branches & campaigns


@pytest.mark.parametrize(
    "line",
    [
        "--demo mar5",
        "--demo --model a/b",
        "--demo --profile full",
        "--model gpt",
        "--model /x",
        "--profile large",
        "sub/tag",
        "-x",
        "a..b",
        "x.lock",
        "ends.",
        "two tags",
    ],
)
def test_bad_use_is_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        start.arguments(line.split())
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("start: ") and said.err.count("\n") == 1


def test_good_use() -> None:
    given = start.arguments(["mar5", "--headless", "--model", "openrouter/z-ai/glm-5", "--experiments", "3"])
    assert given == start.Options("mar5", True, "openrouter/z-ai/glm-5", False, None, None, {"experiments": "3"})
