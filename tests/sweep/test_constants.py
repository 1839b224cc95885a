"""Constants by the syntax tree: the value changes, and not a byte beside it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from harness import Refused, constants, sweep
from harness.constants import Constant
from hypothesis import given
from hypothesis import strategies as st

TRAIN = (Path(__file__).parents[2] / "train.py").read_bytes()
# Those of section 1, each on a line of its own, and all of them literals.
NAMES = re.findall(r"^([A-Z][A-Z0-9_]+) = ", TRAIN.decode().partition("\ndef ")[0], re.MULTILINE)

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.one_of(
    st.integers(-(10**12), 10**12).map(repr),
    finite.map(repr),
    st.booleans().map(repr),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20).map(repr),
    st.tuples(finite, finite).map(repr),
    st.tuples(st.integers(2, 10), st.integers(0, 30)).map(lambda pair: f"{pair[0]}**{pair[1]}"),
    st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda pair: f"{pair[0]} * 2 + {pair[1]}"),
)
comments = st.sampled_from(["", "  # µ is not α", "  # = 3; X = 4", ' # "', "\t"])
forms = st.sampled_from(["{name} = {value}", "{name}: object = {value}", "{name} = ({value})", "{name}={value}"])
lines = st.tuples(forms, texts, comments)


@given(
    st.lists(lines, min_size=1, max_size=6),
    texts,
    st.data(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["", "'''Docs: é, C_0 = 1.'''\n"]),
)
def test_all_else_is_the_same(
    written: list[tuple[str, str, str]], new: str, data: st.DataObject, end: str, bom: str, head: str
) -> None:
    at = data.draw(st.integers(0, len(written) - 1))

    def source(values: list[str]) -> bytes:
        body = [
            form.format(name=f"C_{i}", value=value) + comment
            for i, ((form, _, comment), value) in enumerate(zip(written, values, strict=True))
        ]
        text = "\n".join([*body, "def f(): C_0 = 'local'; return C_0", ""])
        return (bom + head + text).replace("\n", end).encode()

    values = [value for _, value, _ in written]
    changed = [new if i == at else value for i, value in enumerate(values)]
    result = constants.replace(source(values), {f"C_{at}": new})
    assert result == source(changed)
    assert constants.read(result, f"C_{at}") == new
    assert constants.evaluate(new) == ast.literal_eval(repr(eval(new)))


@pytest.mark.parametrize("name", NAMES)
def test_every_constant_of_the_real_file(name: str) -> None:
    profile = "full" if name.startswith("FULL_") else "small"
    found = constants.resolve(TRAIN, name, profile)
    assert TRAIN[found.start : found.end].decode() == found.text
    text = constants.replace(TRAIN, {name: "12345"})
    old, new = TRAIN.splitlines(), text.splitlines()
    assert [i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b] == [found.line - 1]
    assert new[found.line - 1].startswith(name.encode()) and b" = 12345" in new[found.line - 1]


def test_several_at_once_whatever_their_order() -> None:
    source = b"A = 1\nB = 22222\nC = 3\n"
    assert constants.replace(source, {"C": "30000", "A": "'x'", "B": "2"}) == b"A = 'x'\nB = 2\nC = 30000\n"


def constant(text: str) -> Constant:
    return constants.resolve(f"X = {text}\n".encode(), "X", "small")


def test_the_profiles_prefix() -> None:
    source = b"SMALL_LR = 1.0\nFULL_LR = 2.0\nBOTH = 3\nFULL_ONLY = 1\n"
    assert constants.resolve(source, "LR", "small").name == "SMALL_LR"
    assert constants.resolve(source, "LR", "full").name == "FULL_LR"
    assert constants.resolve(source, "SMALL_LR", "small").name == "SMALL_LR"
    assert constants.resolve(source, "BOTH", "full").name == "BOTH"
    with pytest.raises(Refused, match=r"FULL_LR does nothing here.*profile is small: sweep SMALL_LR"):
        constants.resolve(source, "FULL_LR", "small")
    with pytest.raises(Refused, match=r"profile is small$"):
        constants.resolve(source, "FULL_ONLY", "small")


@pytest.mark.parametrize(
    ("source", "name", "why"),
    [
        ("LEARNING_RATE = 1", "LERNING_RATE", "no constant LERNING_RATE; the nearest: LEARNING_RATE"),
        ("SMALL_MATRIX_LR = 1", "matrx_lr", "the nearest: SMALL_MATRIX_LR"),
        ("A = 1", "QQQQ", "no constant QQQQ: see its section 1"),
        ("def f():\n    A = 1", "A", "no constant A"),
        ("B = 2\nA = B * 2", "A", r"A is computed \(train.py line 2\): it hangs on B; edit by hand"),
        ("A = max(1, 2)", "A", "hangs on max"),
        ("A = [1]", "A", r"\[1\] is no literal"),
        ("A = b'x'", "A", "is no number, text, True or False"),
        ("A = 1\nif True:\n    A = 2", "A", r"bound more than once \(train.py lines 1, 3\)"),
        ("A = 1\nA += 1", "A", "bound more than once"),
        ("try:\n    A = 1\nexcept E:\n    A = 2", "A", "bound more than once"),
        ("A = B = 1", "A", "line 1 binds A with others"),
        ("A, B = 1, 2", "A", "line 1 binds A with others"),
        ("A = 2**10**10", "A", "too large"),
        ("A = 1/0", "A", "has no value"),
        ("A = (", "A", "cannot be parsed"),
        ("A = 1\0", "A", "cannot be parsed"),
    ],
)
def test_refused_with_the_reason(source: str, name: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        constants.resolve(source.encode(), name, "small")


def test_a_file_that_is_no_utf8() -> None:
    with pytest.raises(Refused, match="not UTF-8"):
        constants.resolve(b"# coding: latin-1\nA = '\xe9'\n", "A", "small")


@pytest.mark.parametrize(
    ("present", "given", "written"),
    [
        ("0.5", "1", "1.0"),
        ("0.5", "1e-3", "1e-3"),
        ("0.5", " 2**-3 ", "2**-3"),
        ("0.5", "-0.25", "-0.25"),
        ("2**18", "2**17", "2**17"),
        ("True", "False", "False"),
        ('"SSSL"', "SL", '"SL"'),
        ('"SSSL"', "'SL'", "'SL'"),
        ('"SSSL"', "12", '"12"'),
        ('"SSSL"', 'a"b', "'a\"b'"),
        ("(0.8, 0.95)", "(0.9, 0.99)", "(0.9, 0.99)"),
        ("(0.8, 0.95)", "0.9, 0.99", "0.9, 0.99"),
        ("3", "4  # four", "4"),
        ("(1, 2)", "(3,\n4)", "(3, 4)"),
    ],
)
def test_a_value_as_it_is_typed(present: str, given: str, written: str) -> None:
    like = constant(present)
    found = constants.parse(given, like)
    assert found.text == written
    source = constants.replace(f"X = {present}  # why\n".encode(), {"X": found.text})
    assert source == f"X = {written}  # why\n".encode()
    again = constants.resolve(source, "X", "small")
    assert (again.value, constants.kind(again.value)) == (found.value, constants.kind(like.value))


@pytest.mark.parametrize(
    ("present", "given", "why"),
    [
        ("0.5", "fast", "'fast' is no value for X .0.5.: it hangs on fast"),
        ("0.5", "0.1 +", "no Python literal"),
        ("0.5", "True", "'True' is True or False, and X .0.5. is a float"),
        ("0.5", "'a'", "is a text, and X"),
        ("4", "2.5", "is a float, and X .4. is a whole number"),
        ("4", "1e3", "is a float"),
        ("4", "True", "is True or False"),
        ("True", "1", "is a whole number, and X .True. is True or False"),
        ("(1, 2)", "(1, 2, 3)", "a tuple of 3"),
        ("(1, 2)", "(1, 2.0)", "a float"),
        ("0.5", "1e999", "no number"),
        ("0.5", "__import__('os')", "hangs on __import__"),
        ("4", "9**9**9", "too large"),
        ("0.5", "", "has 0 characters"),
        ("4", "1" * 300, "has 300 characters"),
    ],
)
def test_a_value_of_another_kind_is_refused(present: str, given: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        constants.parse(given, constant(present))


def test_the_axis_of_a_sweep() -> None:
    rate = constant("2e-2")
    assert sweep.axis(rate, ["0.02", "0.04"], False) == sweep.Axis("X", "2e-2", ("2e-2", "0.04"))
    with pytest.raises(Refused, match=r"1e-3 is given twice for X"):
        sweep.axis(rate, ["0.001", "1e-3"], False)
    with pytest.raises(Refused, match="no values for X"):
        sweep.axis(rate, [], False)
    with pytest.raises(Refused, match="is a range, which is for --search"):
        sweep.axis(rate, ["0.01..0.1"], False)
    assert sweep.axis(rate, ["0.01..0.1"], True).ends == ("0.01", "0.1")
    assert sweep.axis(constant("2**10"), ["2**9..2**12"], True).values == ("2**9", "2**10", "2**11", "2**12")
    assert sweep.axis(constant("5"), ["1..8"], True).ends == ("1", "8")
    assert sweep.axis(constant("'a'"), ["b..c"], True).values == ('"b..c"',)
    for wrong in ("0.1..0.01", "0.1..0.1", "True..3"):
        with pytest.raises(Refused):
            sweep.axis(rate, [wrong], True)
