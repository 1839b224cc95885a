"""The state is a pure function: every combination of facts has one, and a command that is right in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness import state
from harness.state import Facts, derive
from hypothesis import given
from hypothesis import strategies as st

FACTS = st.builds(
    Facts,
    campaign=st.booleans(),
    incumbent=st.booleans(),
    edited=st.booleans(),
    run=st.sampled_from(["", "alive", "dead", "ended"]),
    verdict=st.sampled_from(["", "keep", "discard", "crash", "confirm"]),
    decided=st.sampled_from(["", "keep", "discard", "crash"]),
    provisional=st.booleans(),
    reverted=st.booleans(),
    sweep=st.booleans(),
)
LOGGED = Facts(campaign=True, incumbent=True, run="ended")


@pytest.mark.parametrize(
    "facts, name, next",
    [
        (Facts(), "new", state.BASELINE),
        (Facts(edited=True), "new", state.REVERT),
        (Facts(campaign=True), "clean", state.BASELINE),
        (Facts(campaign=True, edited=True), "edited", state.REVERT),
        (Facts(campaign=True, run="alive"), "running", state.WAIT),
        (Facts(campaign=True, run="dead", edited=True), "interrupted", state.WAIT),
        (Facts(campaign=True, run="ended", verdict="keep"), "finished", state.LOG),
        (Facts(campaign=True, run="ended", verdict="discard"), "finished", state.LOG),
        (Facts(campaign=True, run="ended", verdict="crash"), "finished", state.FIX),
        (Facts(campaign=True, run="ended", verdict="confirm"), "finished", state.CONFIRM),
        (replace(LOGGED, decided="discard", edited=True), "logged", state.REVERT),
        (replace(LOGGED, decided="crash", edited=True), "logged", state.REVERT),
        (replace(LOGGED, decided="discard", reverted=True, edited=True), "edited", state.EXPERIMENT),
        (replace(LOGGED, decided="discard", reverted=True), "clean", state.EDIT),
        (replace(LOGGED, decided="discard"), "clean", state.EDIT),
        (replace(LOGGED, decided="keep", edited=True), "edited", state.EXPERIMENT),
        (replace(LOGGED, decided="keep"), "clean", state.EDIT),
        (replace(LOGGED, decided="keep", provisional=True), "provisional", state.CONFIRM),
        (replace(LOGGED, decided="keep", provisional=True, edited=True), "provisional", state.CONFIRM),
        (replace(LOGGED, run="alive", provisional=True), "running", state.WAIT),
        (replace(LOGGED, verdict="discard", provisional=True), "finished", state.LOG),
        (replace(LOGGED, verdict="crash", retest=True), "finished", state.LOG),
        (replace(LOGGED, decided="keep", provisional=True, stop="why"), "provisional", f"{state.END}: why"),
        (replace(LOGGED, decided="keep", sweep=True), "clean", state.SWEEP),
        (replace(LOGGED, decided="keep", sweep=True, stop="why"), "clean", f"{state.END}: why"),
        (replace(LOGGED, verdict="confirm", sweep=True, stop="why"), "finished", state.SWEEP),
    ],
)
def test_table(facts: Facts, name: str, next: str) -> None:
    assert derive(facts) == state.State(name, next)


@given(FACTS)
def test_what_is_unfinished_comes_first(facts: Facts) -> None:
    name = derive(facts).name
    if facts.campaign and facts.run in ("alive", "dead"):
        assert name in ("running", "interrupted")
    if name in ("clean", "edited"):
        assert facts.run in ("", "ended")
        assert facts.decided or not facts.run, "nothing that ended is passed by without being logged"
    if name == "provisional":
        assert facts.provisional
    if name in ("clean", "edited") and facts.campaign:
        assert not facts.provisional, "nothing builds on what is not sure"
    if name == "logged":
        assert facts.edited


@given(FACTS)
def test_an_edit_is_never_offered_to_a_run_while_another_stands(facts: Facts) -> None:
    found = derive(facts)
    if found.next == state.EXPERIMENT:
        assert facts.edited
        assert facts.incumbent
        assert facts.decided not in ("discard", "crash") or facts.reverted
