"""What a campaign's records teach, folded from records that are made up here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from harness import campaign, experiment, noise, racing, record, verdict
from harness.experiment import Experiment
from harness.learned import Learned, Learner
from harness.record import Decision, Record, Request, Run

SHARES = len(racing.SHARES)
PRIOR = 0.002


def pinned(**more: Any) -> campaign.Campaign:
    """A campaign of which only what is looked at here is said."""
    made = object.__new__(campaign.Campaign)
    for name, value in ({"budget": "5s", "noise_prior": PRIOR, "baseline_runs": 1, "tag": "t"} | more).items():
        object.__setattr__(made, name, value)
    return made


class Story:
    """Runs, one after the other."""

    def __init__(self) -> None:
        self.made: list[Run] = []

    def run(
        self,
        commit: str,
        bpb: float | None = 1.5,
        seed: int = 0,
        experiment: int | None = None,
        decided: str = "",
        kind: str = "",
        request: dict[str, Any] | None = None,
        decision: dict[str, Any] | None = None,
        **record: Any,
    ) -> Story:
        number = len(self.made)
        kind = kind or ("candidate" if number else "baseline") if experiment is None else kind or "confirm"
        asked = Request(
            number, number if experiment is None else experiment, 1, kind, commit, "p", seed, "m", 0.0,
            **(request or {}),
        )  # fmt: skip
        measured = {
            "outcome": "finished" if bpb else "crashed", "reason": "", "val_bpb": bpb, "causal": True,
            "seconds": 1.0, "total_seconds": 1.0, "share": 1.0, "budget_overrun": 0.0, "tokens": 1000, "steps": 10,
            "peak_memory_mb": 512.0, "mfu_percent": 1.0, "num_params": 1, "depth": 1, "seed": seed, "restarts": 0,
        }  # fmt: skip
        settled = None
        if decided:
            common: Any = (bpb, 0.5, "d", "", [], [], 90, "proceed", [number], 0.0)
            settled = Decision(decided, *common, **({"landed": "x"} | (decision or {})))
        path = Path(f"/nowhere/{number:04d}")
        self.made.append(Run(path, asked, Record(**(measured | record)), settled, False))
        return self

    @property
    def experiments(self) -> list[Experiment]:
        return experiment.group(self.made)

    def learner(self, **pin: Any) -> Learner:
        return Learner(self.experiments, pinned(**pin))

    def learn(self, **pin: Any) -> Learned:
        return self.learner(**pin).learn()

    def facts(self, **pin: Any) -> verdict.Facts:
        """Of the newest experiment."""
        learner = self.learner(**pin)
        held = experiment.incumbent(self.experiments[:-1], self.made)
        return learner.facts(self.experiments[-1], learner.learn(), held)


def begun() -> Story:
    return Story().run("base", 1.5, seed=0, decided="keep")


def seeds(learned: Learned) -> set[int]:
    assert learned.known is not None
    return set(learned.known.ran)


def test_nothing_is_known_before_the_baseline_is() -> None:
    assert Story().learn().known is None
    assert Story().run("base", None, decided="crash").learn().known is None
    undecided = Story().run("base")
    assert undecided.learn().known is None
    assert undecided.facts().is_baseline


def test_the_baseline_is_the_first_keep() -> None:
    story = Story().run("a", None, decided="crash").run("b", 1.4, seed=1, decided="keep", kind="baseline")
    known = story.learn().known
    assert known is not None
    assert known.level.mean == pytest.approx(1.4)
    assert seeds(story.learn()) == {1}


def test_a_keep_is_the_incumbent_and_a_discard_is_not() -> None:
    story = begun().run("worse", 1.6, decided="discard").run("better", 1.4, seed=0, decided="keep")
    found = story.learn()
    assert found.known is not None
    assert found.known.level.mean == pytest.approx(1.4, abs=0.01)
    assert found.known.gain.mean == pytest.approx(0.1, abs=0.01)
    assert len(found.known.errors) == 1
    assert sorted(found.beliefs) == [1, 2]
    assert found.beliefs[1].mean < 0 < found.beliefs[2].mean


def test_one_seed_counts_once() -> None:
    story = (
        begun().run("c", 1.49, seed=0).run("c", 1.49, seed=0, experiment=1).run("c", 1.48, seed=3, experiment=1)
    )
    assert [(s.seed, s.val_bpb) for s in story.facts().scores] == [(0, 1.49), (3, 1.48)]
    assert story.facts().runs == 3, "all of them took their time"


def test_the_noise_is_that_of_repeats() -> None:
    assert begun().learn().noise == noise.estimate([], PRIOR)
    story = begun()
    for number in range(8):
        story.run(f"c{number}", 1.5, seed=1).run(
            f"c{number}", 1.52, seed=2, experiment=1 + 2 * number, decided="discard"
        )
    assert story.learn().noise.sigma > 3 * PRIOR


def test_pairing_is_what_the_seed_does_to_both() -> None:
    """Candidates that move with their incumbent from seed to seed, and ones that do not."""

    def paired(together: bool) -> float:
        story = Story().run("base", 1.50, seed=0).run("base", 1.51, seed=1, experiment=0, decided="keep")
        for number in range(6):
            luck = 0.01 if together else -0.01
            first = len(story.made)
            story.run(f"c{number}", 1.6, seed=0)
            story.run(f"c{number}", 1.6 + luck, seed=1, experiment=first, decided="discard")
        return story.learn().pairing

    assert paired(True) > 0.65 > 0.2 > paired(False)
    assert begun().learn().pairing == noise.pairing([], begun().learn().noise.cautious)


def test_runs_on_a_disturbed_machine_are_left_out() -> None:
    story = begun().run("c", 1.6, seed=0, tokens=800).run("c", 1.4, seed=1, experiment=1, tokens=1000)
    facts = story.facts()
    assert [score.seed for score in facts.scores] == [1]
    assert len(facts.disturbed) == 1 and "fewer tokens" in facts.disturbed[0]
    assert story.facts(budget="1000tok").disturbed == (), "where every run gets the same tokens"


def test_a_dip_counts_while_there_is_nothing_else_to_go_by() -> None:
    dipped = begun().run("c", 1.4, seed=0, dip="tokens a second fell")
    assert (dipped.facts().scores, dipped.facts().disturbed) == ((), ("tokens a second fell",))
    again = dipped.run("c", 1.4, seed=1, experiment=1, dip="tokens a second fell")
    assert len(again.facts().scores) == 2, "twice the same pace: it is the code"


def test_a_baseline_that_later_runs_show_to_be_disturbed_is_all_there_is() -> None:
    """Also of a kept candidate: no campaign without an incumbent."""
    story = begun().run("c", 1.499, seed=0).run("base", 1.5, seed=5, experiment=1, decided="discard", tokens=1500)
    found = story.learn()
    assert found.known is not None and found.known.level.mean == pytest.approx(1.5, abs=0.01)
    kept = begun().run("c", 1.4, seed=0, decided="keep").run("d", 1.39, seed=0)
    kept.run("c", 1.4, seed=5, experiment=2, decided="discard", tokens=1500)
    assert kept.learn().known.level.mean == pytest.approx(1.4, abs=0.01)  # type: ignore[union-attr]


def test_the_incumbents_runs_that_an_experiment_asked_for_count_for_the_incumbent() -> None:
    story = begun().run("c", 1.495, seed=0).run("base", 1.51, seed=7, experiment=1)
    facts = story.facts()
    assert [score.seed for score in facts.scores] == [0]
    assert facts.knowledge.ran == {0, 7}
    assert (facts.runs, facts.incumbent_runs) == (2, 2)
    story.run("c", 1.495, seed=7, experiment=1, decided="discard")
    assert seeds(story.learn()) == {0, 7}


def test_an_attempt_before_a_fix_is_no_run_of_the_incumbent() -> None:
    """One that saw later tokens has a score, and is a crash."""
    story = begun().run("cheat", 0.1, seed=0, causal=False)
    story.run("fixed", 1.49, seed=0, experiment=1, kind="fix")
    facts = story.facts()
    assert facts.knowledge.level.mean == pytest.approx(1.5)
    assert ([score.val_bpb for score in facts.scores], facts.runs, facts.causal) == ([1.49], 1, True)


def test_a_run_of_the_incumbent_that_crashes_has_its_share_of_the_runs() -> None:
    """Or it would be asked for again for ever."""
    story = begun().run("c", 1.4935, seed=0)
    for seed in range(10, 16):
        story.run("base", None, seed=seed, experiment=1)
    assert story.facts().runs == 7
    assert verdict.decide(story.facts()).status != "confirm"


def test_a_provisional_keep_counts_once_it_is_decided() -> None:
    story = begun().run("c", 1.4, seed=0, decided="keep", decision={"provisional": True})
    assert story.learn().known.level.mean == pytest.approx(1.4, abs=0.01)  # type: ignore[union-attr]
    retest = story.run("c", 1.6, seed=4, experiment=1)
    assert retest.facts().retest
    assert retest.facts().knowledge.level.mean == pytest.approx(1.5), "against the incumbent before it"
    assert len(retest.facts().scores) == 2


def test_an_undone_keep_leaves_the_incumbent_as_it_was() -> None:
    story = begun().run("c", 1.49, seed=0, decided="keep", decision={"provisional": True})
    assert story.learn().known.level.mean < 1.497  # type: ignore[union-attr]
    story.run("c", 1.503, seed=4, experiment=1, decided="discard", decision={"undone": True})
    found = story.learn()
    assert found.known is not None
    assert found.known.level.mean == pytest.approx(1.5, abs=0.0025)
    assert found.known.errors == ()
    assert seeds(found) == {0}
    assert found.known.gain.mean == pytest.approx(0, abs=1e-9)


def test_a_retest_that_was_disturbed_is_repeated() -> None:
    story = begun().run("c", 1.4, seed=0, decided="keep", decision={"provisional": True})
    story.run("c", 1.4, seed=4, experiment=1, tokens=700)
    decided = verdict.decide(story.facts())
    assert decided.status == "confirm" and "disturbed" in decided.reasons[0]
    story.run("c", 1.4, seed=5, experiment=1)
    assert verdict.decide(story.facts()).status == "keep"


def raced(story: Story, foretold: float, number: int = 1, **more: Any) -> Story:
    told = [foretold] * 2 + [None] * (SHARES - 2)
    return story.run(
        f"r{number}", None, outcome="stopped", share=0.35, foretold=told, hopeless=racing.SHARES[0],
        decided="discard", reason="by its curve", **more,
    )  # fmt: skip


def test_what_was_stopped_by_its_curve_teaches_of_ideas_and_little_of_levels() -> None:
    story = raced(begun(), -0.05)
    found = story.learn()
    assert found.known is not None
    assert (found.raced, found.controls, found.false_kills, found.forecasts) == (1, 0, 0, ())
    assert found.known.level.mean == pytest.approx(1.5, abs=0.001)
    assert found.known.ran == {0}
    assert found.known.prior.above(0) < begun().learn().known.prior.above(0)  # type: ignore[union-attr]
    assert found.beliefs[1].mean < 0
    by_hand = begun().run("c", None, outcome="stopped", share=0.35, decided="discard").learn()
    assert (by_hand.raced, by_hand.beliefs) == (0, {})
    control = begun().run(
        "c", None, outcome="stopped", share=0.8, hopeless=0.4, reason=record.BY_HAND, decided="discard"
    )
    assert control.learn().raced == 0


def test_the_facts_of_a_raced_run_say_why() -> None:
    story = begun().run("c", None, outcome="stopped", share=0.4, hopeless=0.4, reason="by its curve it would lose")
    assert story.facts().raced == "by its curve it would lose"
    assert verdict.decide(story.facts()).reasons == ("Stopped at 40% of the budget: by its curve it would lose.",)


def test_forecasts_controls_and_false_kills() -> None:
    told = [-0.01] * SHARES
    story = begun().run("a", 1.51, foretold=told, gain=-0.01, decided="discard")
    story.run("b", 1.51, foretold=told, gain=-0.01, hopeless=0.3, decided="discard")
    story.run("c", 1.4, foretold=told, gain=0.1, hopeless=0.3, decided="keep")
    story.run("d", 1.39, foretold=told[:2], gain=0.1, decided="discard")
    found = story.learn()
    assert [one.gain for one in found.forecasts] == [-0.01, -0.01, 0.1], "of whole ones"
    assert (found.controls, found.false_kills, found.raced) == (2, 1, 0)


def test_an_idea_that_is_tried_again_begins_where_it_was_left() -> None:
    story = begun().run("c", 1.49, seed=0, decided="discard").run("c2", 1.49, seed=0, request={"retries": 1})
    found = story.learner().learn()
    facts = story.facts()
    assert facts.prior == found.beliefs[1]
    assert facts.belief.mean > dataclasses.replace(facts, prior=None).belief.mean
    once = begun().run("c", 1.49, seed=0, decided="discard").learn()
    again = story.run("c2", 1.49, seed=3, experiment=2, decided="discard").learn()
    assert again.known is not None and once.known is not None
    assert again.known.effects == once.known.effects, "one idea, counted once"
    unknown = begun().run("c", 1.49, seed=0, request={"retries": 77})
    assert unknown.facts().prior is None


def test_a_simplification_spends_no_error() -> None:
    story = begun().run("c", 1.5, seed=0, decided="keep", request={"lines_added": 1, "lines_removed": 5})
    assert story.learn().known.errors == ()  # type: ignore[union-attr]
