"""What two edits of train.py have in common."""

from __future__ import annotations

import ast
import random
from unittest import mock

import pytest
from harness import similar, themes
from harness.similar import Change, describe, distance, near
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bench import edits, planting
from tests.memory.campaigns import BASE, PROJECT, setting

IDEAS = edits.load(PROJECT / "tools" / "researcher" / "ideas.json")
TEXTS = planting.catalogue(IDEAS, BASE)
CHANGES: dict[str, Change] = {label: describe(BASE, text, "small") or () for label, text in TEXTS.items()}

SMALL = """
import torch.nn.functional as F

RATE = 0.04  # of it all
BETAS = (0.8, 0.95)


def forward(x, gain):
    y = F.relu(x) * gain
    for _ in range(3):
        y = y + x
    return y
"""


def edited(find: str, replace: str, text: str = SMALL) -> str:
    assert text.count(find) == 1
    return text.replace(find, replace)


def change(find: str, replace: str) -> Change:
    found = describe(SMALL, edited(find, replace))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    [
        ast.unparse(ast.parse(SMALL)),
        edited("RATE = 0.04", "RATE = (4e-2)"),
        edited("    y = F.relu(x) * gain\n", "    # so\n\n    y = (\n        gain * F.relu(x)\n    )\n"),
        edited("def forward(x, gain):", 'def forward(x: float, gain: "int") -> None:\n    """It goes."""'),
        SMALL.replace("y", "state").replace("import torch.nn.functional", "from torch.nn import functional"),
        SMALL.replace("import torch.nn.functional as F", "import torch").replace("F.", "torch.nn.functional."),
        edited("y = y + x", "y += x"),
    ],
)
def test_how_it_is_written_is_no_change(text: str) -> None:
    found = describe(SMALL, text)
    assert found is not None
    assert [part for part in found if "import" not in part.place] == []


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(TEXTS)), st.sampled_from(["layout", "formatter"]), st.integers(0, 2**16))
def test_layout_changes_no_distance(label: str, how: str, seed: int) -> None:
    other = planting.DISGUISES[how](BASE, TEXTS[label], random.Random(seed))
    assert other is not None
    told = describe(BASE, other, "small")
    assert told is not None
    assert distance(told, CHANGES[label]) == 0.0 and near(told, CHANGES[label])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(CHANGES)), st.sampled_from(sorted(CHANGES)))
def test_distance_is_one_of_a_pair_and_none_to_itself(one: str, other: str) -> None:
    a, b = CHANGES[one], CHANGES[other]
    assert distance(a, b) == distance(b, a)
    assert near(a, b) == near(b, a) == (one == other)
    assert 0.0 <= distance(a, b) <= 1.0
    assert (distance(a, b) == 0.0) == (one == other)


numbers = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=True, allow_infinity=True), st.booleans())
values = st.one_of(numbers, st.none(), st.text(max_size=5))


@given(values, values, values, values)
def test_gaps_are_the_same_both_ways(old_one: object, old_other: object, one: object, other: object) -> None:
    there = similar.gap(old_one, old_other, one, other)  # type: ignore[arg-type]
    back = similar.gap(old_other, old_one, other, one)  # type: ignore[arg-type]
    assert there == back
    assert 0.0 <= there <= similar.change.FAR


@pytest.mark.parametrize(
    ("old", "one", "other", "alike"),
    [
        (0.02, 0.04, 0.0425, True),
        (0.02, 0.08, 0.085, True),
        (0.02, 0.03, 0.04, False),
        (0.02, 0.021, 0.019, False),  # up and down
        (0.95, 0.99, 0.98, False),  # memories of 100 and 50 steps
        (0.6, 0.75, 0.8, False),
        (9, 10, 11, False),  # layers
        (2**18, 2**17, 2**17, True),
        (2**18, 2**17, 2**16, False),
        (2**18, 2**12, 2**11, False),  # however long the step
        (200_000, 10_000, 12_000, True),
        (200_000, 10_000, 50_000, False),
        (0.05, 0.0, 0.001, True),
        ("SSL", "L", "L", True),
        ("SSL", "L", "SL", False),
        (True, False, 0, False),
    ],
)
def test_values_near_and_far(old: similar.Value, one: similar.Value, other: similar.Value, alike: bool) -> None:
    assert (similar.gap(old, old, one, other) <= 1.0) is alike
    if not isinstance(old, bool):
        name = "SMALL_FINAL_LR"
        base = setting(name, repr(old))
        pair = [describe(base, setting(name, repr(value)), "small") for value in (one, other)]
        assert pair[0] is not None and pair[1] is not None
        assert near(pair[0], pair[1]) is alike


def test_new_names_do_not_count_and_library_names_do() -> None:
    one = change("    y = F.relu(x) * gain\n", "    half = x / 2\n    y = F.relu(half) * gain\n")
    other = change("    y = F.relu(x) * gain\n", "    h = x / 2\n    y = F.relu(h) * gain\n")
    assert near(one, other)
    assert not near(change("F.relu(x)", "F.gelu(x)"), change("F.relu(x)", "F.silu(x)"))


def test_a_number_given_a_name_is_the_number() -> None:
    plain = change("F.relu(x) * gain", "1.5 * F.relu(x) * gain")
    text = edited("F.relu(x) * gain", "GAIN * F.relu(x) * gain").replace("RATE", "GAIN = 1.5\nRATE")
    named = describe(SMALL, text)
    assert named is not None and near(plain, named)


def test_all_of_an_edit_must_be_alike() -> None:
    code = change("F.relu(x)", "F.gelu(x)")
    tuned = describe(SMALL, edited("RATE = 0.04", "RATE = 0.08", edited("F.relu(x)", "F.gelu(x)")))
    assert tuned is not None
    assert not near(code, tuned)
    assert 0 < distance(code, tuned) < 1


def test_what_moves_is_a_change() -> None:
    base = "def f(x):\n    x = g(x)\n    y = h(x)\n    return x + y\n"
    told = describe(base, "def f(x):\n    y = h(x)\n    x = g(x)\n    return x + y\n")
    assert told is not None and [part.now for part in told] == ["moved: y = h(x)"]
    assert describe(SMALL, SMALL.replace("RATE = 0.04", "").replace("BETAS", "RATE = 0.04\nBETAS")) == ()


def test_constants_of_the_other_profile_do_not_count() -> None:
    text = setting("FULL_MATRIX_LR", 0.08)
    assert describe(BASE, text, "small") == ()
    assert describe(BASE, text, "full") != ()


@pytest.mark.parametrize("text", ["def f(:", "x = " + "(" * 1000, "\0", "x = 1" + "\n" + "if"])
def test_what_is_no_python_has_no_description(text: str) -> None:
    assert describe(BASE, text) is None


@pytest.mark.parametrize(
    "text",
    [
        edited("BETAS = (0.8, 0.95)\n", "BETAS = (0.8, 0.95)\n@cached\n"),  # a decorator of what follows
        edited("    return y\n", "    return y\n    pass\n    y()\n"),
        edited("RATE = 0.04", "RATE = 0.04; SPARE = 1"),
        edited("RATE = 0.04", '"""\nRATE = 0.04'),  # a string that nothing ends
        edited("RATE = 0.04", '"""\nRATE = 0.04\n"""'),
        edited("BETAS = (0.8, 0.95)", "BETAS = (\n    0.8,\n    0.95,\n    0.99\n)"),
        edited("import torch.nn.functional as F\n", ""),
        SMALL + "\nLAST = 1",
        "",
        edited("RATE = 0.04  # of it all\n", "if 1:\n    RATE = 0.04\n"),
    ],
)
def test_a_part_read_alone_is_read_as_in_the_whole(text: str) -> None:
    found = describe(SMALL, text)
    with mock.patch.object(similar, "read_beside", lambda before, parent, text: similar.program.read(text)):
        assert describe(SMALL, text) == found


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab=+*()[]{}:.,#'\"\\\n 01;@~-", max_size=60))
def test_any_text_is_described_or_not(text: str) -> None:
    found = describe(SMALL, text)
    assert found is None or distance(found, found) == 0.0


def test_a_summary_names_constants() -> None:
    assert similar.one_line(CHANGES["matrix-lr=0.06"]) == "SMALL_MATRIX_LR 0.03 -> 0.06"
    assert similar.one_line(CHANGES["gelu"]) == "MLP.forward: 1 in, 1 out"
    assert similar.one_line(()) == "nothing but layout and comments"


# Of which theme the catalogue's ideas are, by the name of the idea.
@pytest.mark.parametrize(
    ("idea", "theme"),
    [
        ("matrix-lr", "learning rate"),
        ("warmdown", "schedule"),
        ("final-lr", "schedule"),
        ("half-batch", "batch"),
        ("depth", "width and depth"),
        ("wider", "width and depth"),
        ("head-dim", "attention"),
        ("qk-gain", "attention"),
        ("gate-channels", "attention"),
        ("gelu", "block"),
        ("backout", "block"),
        ("embedding-lr", "learning rate"),
        ("trigram", "embedding"),
        ("x0-init", "embedding"),
        ("momentum", "optimizer"),
        ("no-normuon", "optimizer"),
        ("matrix-decay", "regularization"),
        ("init-scale", "initialization"),
        ("slow-up", "initialization"),
        ("softcap", "loss"),
        ("loss-rows", "loop"),
    ],
)
def test_themes(idea: str, theme: str) -> None:
    own = [told for label, told in CHANGES.items() if label.partition("=")[0] == idea]
    assert own
    assert {themes.of(told)[0] for told in own} == {theme}


@pytest.mark.parametrize(("name", "theme"), [("PAIR_ROWS", "embedding"), ("CPU_THREADS", "loop")])
def test_a_constant_whose_parts_mislead(name: str, theme: str) -> None:
    told = describe(f"{name} = 32\n", f"{name} = 64\n")
    assert told and themes.of(told) == (theme,)


def test_what_no_table_knows_is_other() -> None:
    assert themes.of(()) == (themes.OTHER,)
    assert themes.of(change("RATE = 0.04", "RATE = 0.08")) == (themes.OTHER,)
