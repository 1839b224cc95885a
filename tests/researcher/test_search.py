"""Which idea comes next."""

from __future__ import annotations

from researcher.catalogue import Catalogue, Change, Idea, Proposal
from researcher.search import Row, choose, rows
from researcher.trainfile import TrainFile

TRAIN = TrainFile("A = 1.0\nB = 8\nC = 0.5\n")


def idea(name: str, **settings: tuple[str, ...]) -> Idea:
    return Idea(name, "what", "why", Change(settings, ()), None)


A, B, C = idea("a", A=("2.0", "0.5")), idea("b", B=("16",)), idea("c", C=("0.6",))


def row(description: str, status: str = "discard", score: float = 2.0) -> Row:
    return Row("abc", score, status, description)


def label(*tried: Row, train: TrainFile = TRAIN, program: str = "", spoilt: tuple[str, ...] = ()) -> str:
    proposal = choose(Catalogue([A, B, C]), train, tried, program, spoilt)
    assert isinstance(proposal, Proposal)
    return proposal.label


def test_rows_are_read_from_whatever_surrounds_them():
    text = (
        "# Program\ncommit\tval_bpb\tmemory_gb\tstatus\tdescription\n1a2\t1.5\t0.1\tkeep\t[a=2.0] x\nbroken\trow\n"
    )
    assert rows(text) == [Row("1a2", 1.5, "keep", "[a=2.0] x")]
    assert rows(text)[0].label == "a=2.0"


def test_every_first_value_comes_before_any_second():
    tried: list[Row] = []
    for expected in ["a=2.0", "b=16", "c=0.6", "a=0.5"]:
        assert label(*tried) == expected
        tried.append(row(f"[{expected}] what"))


def test_a_win_is_followed_in_its_direction():
    won = TrainFile("A = 2.0\nB = 8\nC = 0.5\n")
    assert label(row("[a=2.0] what (A 1.0 -> 2.0)", "keep"), train=won) == "a=4.0"
    fallen = TrainFile("A = 1.0\nB = 8\nC = 0.5\n")  # somebody changed it since: nothing to follow
    assert label(row("[a=2.0] what (A 1.0 -> 2.0)", "keep"), train=fallen) == "b=16"


def test_it_does_not_go_back_to_a_value_that_was_left():
    doubled = Catalogue([idea("a", A=("*2", "*0.5")), C])
    tried = [row("[a=2.0] what (A 1.0 -> 2.0)", "keep"), row("[a=4.0] what (A 2.0 -> 4.0)")]
    proposal = choose(doubled, TrainFile("A = 2.0\nC = 0.5\n"), tried, "", ())
    assert proposal is not None and proposal.label == "c=0.6"


def test_the_next_listed_value_on_that_side_is_preferred():
    listed = Catalogue([idea("a", A=("2.0", "3.0", "9.0"))])
    proposal = choose(listed, TrainFile("A = 2.0\n"), [row("[a=2.0] what (A 1.0 -> 2.0)", "keep")], "", ())
    assert proposal is not None and proposal.label == "a=3.0"


def test_a_step_through_zero_is_arithmetic():
    listed = Catalogue([idea("a", A=("0.1",))])
    proposal = choose(listed, TrainFile("A = 0.1\n"), [row("[a=0.1] what (A 0.0 -> 0.1)", "keep")], "", ())
    assert proposal is not None and proposal.label == "a=0.2"


def test_near_misses_are_combined_the_nearest_first():
    tried = [
        row("[a=2.0] x", score=2.3),
        row("[a=0.5] x", score=2.2),
        row("[b=16] x", score=2.1),
        row("[c=0.6] x", score=2.4),
    ]
    assert label(*tried) == "a=0.5 + b=16"


def test_in_the_end_it_steps_at_random_but_always_the_same():
    tried = [row(f"[{name}] x", "crash") for name in ("a=2.0", "a=0.5", "b=16", "c=0.6")]
    assert label(*tried).startswith("perturb:")
    assert label(*tried) == label(*tried)
    assert label(*tried) != label(*tried, spoilt=(label(*tried),))


def test_program_md_asks_and_forbids():
    assert label(program="try [c] please") == "c=0.6"
    assert label(program="<!-- [c] --> and [nothing] of ours") == "a=2.0"
    assert label(program="## Leave alone\n[a]\n## Ideas\n") == "b=16"


def test_nothing_to_change_is_none():
    assert choose(Catalogue([A]), TrainFile("print()\n"), [], "", ()) is None
