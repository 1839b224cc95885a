"""The simulator of campaigns: it calls the tools' own functions, is fair between policies, and its sums are
right."""

from __future__ import annotations

import json
import math
import random
import statistics
from dataclasses import replace

import pytest
from harness import choice, history, knowledge, levels, noise, racing, verdict

from benchmarks import policy
from benchmarks.policies import rivals
from benchmarks.policies.figures import Estimate, Figures, figures, pooled, ratio
from benchmarks.policies.rivals import POLICIES, RUN, Outcome
from benchmarks.policies.world import ALL, CURVES, MAR8, REPORTED_ON, TUNED_ON, World
from benchmarks.policy import Cell, Job, Size

GOOD = CURVES[0]
TINY = Size(3, 3, 6, 3)


def world(seed: int = 1, noise: float = 0.0004, shared: float = 0.0) -> World:
    return World(MAR8, GOOD, noise, seed, shared)


@pytest.mark.parametrize("module", [choice, history, knowledge, noise, racing, verdict])
def test_decisions_are_made_by_the_tools_own_modules(module) -> None:
    assert getattr(rivals, module.__name__.rpartition(".")[2]) is module


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (verdict, "decide"),
        (knowledge, "begin"),
        (knowledge, "next_run"),
        (history, "after"),
        (history, "repeats"),
        (noise, "estimate"),
        (noise, "pairing"),
        (racing, "spreads"),
        (racing, "second_look"),
        (racing, "limits"),
        (racing, "is_control"),
        (choice, "value_of_runs"),
    ],
)
def test_ours_calls(module, name, monkeypatch) -> None:
    calls, real = [], getattr(module, name)

    def counted(*args, **named):
        calls.append(args)
        return real(*args, **named)

    monkeypatch.setattr(module, name, counted)
    for seed in range(3):
        rivals.ours(world(seed), 60)
    assert calls


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("shared", [0.0, 0.6])
def test_a_seed_always_comes_to_the_same(name, shared) -> None:
    assert POLICIES[name](world(7, shared=shared), 40) == POLICIES[name](world(7, shared=shared), 40)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("seed", range(5))
def test_every_policy_uses_the_same_time(name, seed) -> None:
    used = POLICIES[name](world(seed), 60).used
    longest = {"three seeds": 3, "paired median": 2}.get(name, 1)
    assert 60 - longest * RUN < used <= 60


def test_policies_meet_the_same_ideas_with_the_same_luck() -> None:
    one, two = world(3), world(3)
    ideas = [one.idea(number) for number in range(30)]
    two.score(1.0, 0)  # whatever else is drawn
    assert [two.idea(number) for number in range(30)] == ideas
    assert one.score(1.0, 5, 4) == two.score(1.0, 5, 4)


def test_the_worth_of_ideas_is_their_mean() -> None:
    for ideas in ALL:
        drawn = [World(ideas, GOOD, 0.0004, seed).worth(60) for seed in range(2000)]
        assert abs(statistics.fmean(drawn) - ideas.worth(60)) < 4 * statistics.stdev(drawn) / math.sqrt(len(drawn))


def test_a_shared_seed_shares_luck() -> None:
    apart, same = [], []
    for seed in range(400):
        drawn = world(seed, shared=0.8)
        same.append(drawn.score(1, 3) - drawn.score(1, 3))
        apart.append(drawn.score(1, 4) - drawn.score(1, 5))
    assert statistics.stdev(same) == pytest.approx(math.sqrt(0.4) * 0.0004, rel=0.15)
    assert statistics.stdev(apart) == pytest.approx(math.sqrt(2) * 0.0004, rel=0.15)


def test_without_noise_nothing_that_loses_is_kept() -> None:
    for name in POLICIES:
        done = POLICIES[name](World(MAR8, GOOD, 1e-9, 2), 40)
        assert not done.false_keeps, name
        if name != "ours":  # which reports what it believes, with a noise of 0.0001 at least
            assert done.reported == pytest.approx(done.gain, abs=1e-7), name


def test_racing_only_saves_time(monkeypatch) -> None:
    done = [rivals.ours(world(seed), 60, race=False, retry=False) for seed in range(3)]
    assert not any(one.saved or one.lost_keeps for one in done)
    assert sum(rivals.ours(world(seed), 60).saved for seed in range(3)) > 0


def test_repeats_and_differences_follow_the_incumbent() -> None:
    score = levels.Score
    baseline = [score(1, 1.0), score(2, 1.1)]
    entries = [
        history.Entry(scores=(score(1, 0.9),), again=(score(4, 1.2),)),
        history.Entry(scores=(score(4, 0.8), score(6, 0.9)), kept=True),
        history.Entry(scores=(score(1, 0.8),), again=(score(8, 0.85),)),
        history.Entry(scores=(score(8, 0.95),)),
    ]
    assert history.repeats(baseline, entries) == [[1.0, 1.1, 1.2], [0.9], [0.8, 0.9, 0.85], [0.8], [0.95]]
    shared = history.differences(baseline, entries)
    assert [[round(one, 9) for one in group] for group in shared] == [[-0.1], [-0.4], [0.1]]


def test_figures_take_the_luck_of_the_draw_off() -> None:
    drawn = random.Random(5)
    worth = [drawn.gauss(1, 1) for _ in range(500)]
    done = [Outcome(gain=0.5 * one + drawn.gauss(0, 0.1), reported=0.0, keeps=2, used=3) for one in worth]
    found = figures(done, worth, 1.0)
    assert found.gain.mean == pytest.approx(0.5, abs=0.02)
    assert found.gain.error < 0.15 * statistics.stdev(one.gain for one in done) / math.sqrt(500) * 2
    assert found.keeps == 2 and not found.false_keep_share


def test_figures_of_racing_and_pools() -> None:
    done = [Outcome(gain=1, keeps=3, false_keeps=1, used=60, saved=20, lost_keeps=1), Outcome(used=60, saved=60)]
    found = figures(done, [0.0, 1.0], 0.5)
    assert found.false_keep_share == pytest.approx(1 / 3)
    assert found.racing_lost_keeps == pytest.approx(1 / 4)
    assert found.device_time_saved == pytest.approx(80 / 200)
    none = replace(found, keeps=0.0, false_keep_share=0.0, racing_lost_keeps=0.0)
    both = pooled([found, none])
    assert isinstance(both, Figures)
    assert both.false_keep_share == pytest.approx(1 / 3) and both.keeps == pytest.approx(0.75)


def test_a_ratio_has_the_errors_of_both() -> None:
    found = ratio([Estimate(2.0, 0.3)], [Estimate(1.0, 0.2)])
    assert found.mean == 2.0 and found.error == pytest.approx(math.hypot(0.3, 0.4))


def test_priors_are_held_out() -> None:
    assert not set(TUNED_ON) & set(REPORTED_ON) and set(ALL) == {*TUNED_ON, *REPORTED_ON}
    assert all(ideas.source for ideas in ALL)


def test_a_job_is_a_part_of_the_whole() -> None:
    cell = Cell(MAR8, GOOD, 0.0004)
    whole = policy.play(Job("keep if lower", cell, 0, 4))
    assert policy.play(Job("keep if lower", cell, 2, 2)) == whole[2:]


def test_what_the_command_writes(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(policy, "SHORT", TINY)
    monkeypatch.setattr(policy, "TIME", 12.0)
    assert policy.main(["--short", "--workers", "1", "--json", str(tmp_path / "found.json")]) == 0
    told = capsys.readouterr().out
    assert "ours, headline" in told and "keep if lower" in told
    found = json.loads((tmp_path / "found.json").read_text())
    assert [one["noise"] for one in found["pack"]] == [0.0004, 0.001]
    numbers = {
        "true_gain", "gain_ratio", "gain_ratio_error", "false_keep_share", "bias", "racing_lost_keeps",
        "device_time_saved",
    }  # fmt: skip
    for one in found["pack"]:
        assert numbers <= set(one) and all(math.isfinite(one[name]) for name in numbers)
        assert one["priors"] == found["reported_on"] == [ideas.name for ideas in REPORTED_ON]
    assert {one["policy"] for one in found["policies"]} == set(POLICIES)
    assert found["machine"] and found["sources"].keys() == {ideas.name for ideas in ALL}


@pytest.mark.parametrize("shared", [0.0, 0.6])
def test_the_level_is_known_though_racing_chooses_who_ends(shared) -> None:
    """What a stopped run foretold must count, and on its seed: else the level seems too low or runs away."""

    def off(seed: int) -> float:
        mine = rivals._Ours(world(seed, 0.001, shared), 60, True, False)
        mine.go()
        return (mine.known.level.mean - (1.0 - mine.done.gain)) / 0.001

    errors = [off(seed) for seed in range(40)]
    assert abs(statistics.fmean(errors)) < 0.4
    assert sum(abs(one) > 2 for one in errors) <= 2
