"""The replay benchmark on trainings that take no time: what it trains, in which order, and what it charges."""

from __future__ import annotations

import json
import math
import random
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest
from harness import prospects, racing
from harness.belief import Mixture
from harness.curve import Point
from harness.experiment import Experiment
from harness.knowledge import Knowledge
from harness.prospects import Prospect
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import replay
from benchmarks.bench import campaign, edits, final, foretelling, policies, trainings, truth
from benchmarks.bench.campaign import Costs, Curve, Decision, Step, Trial
from benchmarks.bench.edits import Idea
from benchmarks.bench.policies import POLICIES, KeepIfLower, Ours
from benchmarks.bench.trainings import Interrupted, Job, Result, Store, Trainings, seed_of
from benchmarks.figures import jsonable

ROOT = Path(__file__).resolve().parents[2]
BUDGET = "1000tok"
PAIRING = 0.8  # share of the noise's variance that a seed makes, whatever runs on it
BASELINE = "".join(f"C{n} = 0.0\n" for n in range(12))
GAIN = re.compile(r"= (-?[\d.]+)$", re.M)


@dataclass
class Fake:
    """Scores 2.0 less the sum of all constants, and noise, most of it the seed's; `crash` in it: no score."""

    sigma: float = 0.0
    seen: list[Job] = field(default_factory=list)
    fails_after: float = math.inf
    closed: bool = False

    def __call__(self, job: Job) -> Result:
        if len(self.seen) >= self.fails_after:
            raise Interrupted("killed")
        self.seen.append(job)
        if "crash" in job.text:
            return Result("crashed", math.nan, (Point(0, 0.0, 0.0, 50, 8.0),), 100, 1.0, 1.0, 0.1, 1.5, "boom")
        true = 2.0 - sum(float(gain) for gain in GAIN.findall(job.text))
        shared, own = (random.Random(one).gauss(0, 1) for one in (f"{job.seed}", f"{job.seed} {job.text}"))
        score = true + self.sigma * (math.sqrt(PAIRING) * shared + math.sqrt(1 - PAIRING) * own)
        curve = tuple(Point(n, n / 20, 0.5 * n, 50 * n, score + 3 - n / 10) for n in range(20))
        return Result("finished", score, curve, 1000, 10.0, 9.0, 1.0, 12.0)

    def close(self) -> None:
        self.closed = True


class FakeIdeas(edits.Ideas):
    """An idea `C3=0.01` sets a constant, `crash` breaks the file, `never` applies to nothing."""

    def __init__(self) -> None:
        pass

    def apply(self, idea: Idea, text: str) -> str | None:
        if idea.label == "crash":
            return text + "crash\n"
        if idea.label == "never":
            return None
        name, _, value = idea.label.partition("=")
        changed = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        return changed if changed != text else None


def listed(*labels: str) -> list[Idea]:
    return [Idea(label, False) for label in labels]


def quiet(_: str) -> None:
    pass


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def made(tmp_path: Path, fake: Fake) -> Iterator[Trainings]:
    with Trainings(Store(tmp_path / "t"), fake, 2, quiet) as trainings:
        yield trainings


def walk(
    made: Trainings, policy: campaign.Policy, ideas: list[Idea], runs: float = 100.0, order: int = 0
) -> campaign.Campaign:
    costs = Costs(BUDGET)
    return campaign.run(policy, ideas, order, FakeIdeas(), BASELINE, runs * costs.most, costs, made)


# -- trainings


def test_a_training_is_made_once_and_comes_back_the_same(tmp_path: Path, fake: Fake, made: Trainings) -> None:
    job = Job(BASELINE, 1, BUDGET)
    first = made.one(job)
    assert made.one(job) == first and made.all([job, job]) == [first, first]
    assert len(fake.seen) == 1
    with Trainings(Store(tmp_path / "t"), Fake(fails_after=0), 1, quiet) as again:
        assert again.one(job) == first


@pytest.mark.parametrize(
    "other", [Job(BASELINE + "\n", 1, BUDGET), Job(BASELINE, 2, BUDGET), Job(BASELINE, 1, "9s")]
)
def test_text_seed_and_budget_are_the_key(other: Job) -> None:
    assert other.key != Job(BASELINE, 1, BUDGET).key


def test_a_crash_is_kept_as_well(tmp_path: Path, fake: Fake, made: Trainings) -> None:
    job = Job("crash", 1, BUDGET)
    assert made.one(job).outcome == "crashed"
    found = Store(tmp_path / "t").get(job)
    assert found is not None and not found.scored and math.isnan(found.val_bpb) and found.word == "boom"


def test_a_collection_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    jobs = [Job(BASELINE, seed, BUDGET) for seed in range(6)]
    first = Fake(fails_after=4)
    with Trainings(Store(tmp_path), first, 1, quiet) as made, pytest.raises(Interrupted):
        made.all(jobs)
    assert first.closed and [job.seed for job in first.seen] == [0, 1, 2, 3]
    second = Fake()
    with Trainings(Store(tmp_path), second, 1, quiet) as made:
        assert len(made.all(jobs)) == 6
    assert [job.seed for job in second.seen] == [4, 5]


def test_a_torn_result_is_made_again(tmp_path: Path, fake: Fake, made: Trainings) -> None:
    job = Job(BASELINE, 1, BUDGET)
    (tmp_path / "t" / f"{job.key}.json").write_text('{"result": {"outcome"')
    assert made.one(job).scored and len(fake.seen) == 1


def test_two_who_want_the_same_training_wait_for_one(tmp_path: Path) -> None:
    begun = threading.Event()

    class Slow(Fake):
        def __call__(self, job: Job) -> Result:
            begun.wait(5)
            return super().__call__(job)

    slow, job, found = Slow(), Job(BASELINE, 1, BUDGET), list[Result]()
    with Trainings(Store(tmp_path), slow, 2, quiet) as made:
        threads = [threading.Thread(target=lambda: found.append(made.one(job))) for _ in range(2)]
        for thread in threads:
            thread.start()
        begun.set()
        for thread in threads:
            thread.join()
    assert len(slow.seen) == 1 and len(found) == 2


@given(st.text(max_size=20), st.integers(0, 10**6))
def test_seeds_are_whole_numbers_that_train_py_takes(name: str, number: int) -> None:
    assert 0 <= seed_of(name, number) < 2**31
    assert seed_of(name, number) != seed_of(name, number + 1)


def test_loss_at_sees_nothing_after_the_share(fake: Fake) -> None:
    result = fake(Job(BASELINE, 1, BUDGET))
    cut = replace(result, curve=tuple(point for point in result.curve if point.progress <= 0.4))
    assert result.loss_at(0.4, 0.1) == cut.loss_at(0.4, 0.1)


# A script in place of train.py: what LocalTrainer starts, without torch.
SCRIPT = """
import json, os, pathlib, sys
assert os.environ["OMP_NUM_THREADS"] == "1" and not os.environ.get("AUTORESEARCH_RUN")
run = pathlib.Path("runs/standalone"); run.mkdir(parents=True)
{before}
fed = {{"tokens": 1024, "seconds": 2.0, "cpu_seconds": 1.0, "share": 1.0}}
(run / "feed.json").write_text(json.dumps(fed))
points = [{{"progress": 0.5, "loss": 4.0, "step": 0, "seconds": 1, "tokens": 512}}]
points.append({{"step": 1, "loss": None}})
(run / "curve.jsonl").write_text("".join(json.dumps(one) + "\\n" for one in points))
(run / "score.json").write_text(json.dumps({{"val_bpb": float(os.environ["AUTORESEARCH_SEED"])}}))
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trainings.LocalTrainer:
    monkeypatch.setenv("AUTORESEARCH_RUN", "elsewhere")
    files = tmp_path / "files"
    files.mkdir()
    for name in (*trainings.FIXED, trainings.SCORER, trainings.PLAIN_SCORER.name):
        (files / name).write_text("")
    return trainings.LocalTrainer(files)


def test_a_run_s_files_become_a_result(local: trainings.LocalTrainer) -> None:
    result = local(Job(SCRIPT.format(before=""), 3, BUDGET))
    assert (result.outcome, result.val_bpb, result.tokens, result.cpu_seconds) == ("finished", 3.0, 1024, 1.0)
    assert [(point.progress, point.loss) for point in result.curve] == [(0.5, 4.0)]


def test_what_dies_by_itself_has_crashed(local: trainings.LocalTrainer) -> None:
    result = local(Job(SCRIPT.format(before="raise ValueError('no')"), 3, BUDGET))
    assert result.outcome == "crashed" and result.word == "ValueError: no"


def test_what_is_killed_from_outside_is_no_result(local: trainings.LocalTrainer) -> None:
    with pytest.raises(Interrupted):
        local(Job(SCRIPT.format(before="os.kill(os.getpid(), 9)"), 3, BUDGET))


# -- the list of edits


@pytest.fixture(scope="module")
def real() -> tuple[edits.Ideas, str]:
    return edits.load(ROOT / "tools/researcher/ideas.json"), (ROOT / "train.py").read_text()


def test_the_list_has_thirty_real_edits_and_eight_that_do_nothing(real: tuple[edits.Ideas, str]) -> None:
    ideas, text = real
    whole = ideas.listed(text)
    assert sum(not idea.null for idea in whole) >= 30 and sum(idea.null for idea in whole) == 8
    assert len({idea.label for idea in whole}) == len(whole)
    for idea in whole:
        changed = ideas.apply(idea, text)
        assert changed is not None and changed != text
        compile(changed, idea.label, "exec")


def test_the_order_is_fixed_and_others_are_shuffles_of_it(real: tuple[edits.Ideas, str]) -> None:
    ideas, text = real
    first, second = ideas.listed(text), ideas.listed(text, order=1)
    assert first == ideas.listed(text) and first != second and set(first) == set(second)


def test_an_edit_that_is_in_place_applies_no_more(real: tuple[edits.Ideas, str]) -> None:
    ideas, text = real
    for label in ("gelu", "matrix-lr=0.04", "same-square"):
        once = ideas.apply(Idea(label, False), text)
        assert once is not None and ideas.apply(Idea(label, False), once) is None
    gelu = ideas.apply(Idea("gelu", False), text)
    assert gelu is not None and ideas.apply(Idea("same-square", True), gelu) is None


# -- truth


def test_truth_is_measured_on_seeds_of_its_own(made: Trainings, fake: Fake) -> None:
    plan = truth.plan(FakeIdeas(), listed("C0=0.1", "C1=-0.2", "crash", "never"), BASELINE, BUDGET, 3)
    found, noise = truth.judge(plan, made)
    assert [one.outcome for one in found] == ["finished", "finished", "crashed"]  # `never` is not on the baseline
    assert [round(one.gain, 6) for one in found[:2]] == [0.1, -0.2] and noise.score == pytest.approx(0.0)
    assert len(fake.seen) == 8 + 3 * 3
    assert [job.text for job in plan.jobs()][:8] == [BASELINE] * 8
    walk(made, KeepIfLower(), listed("C0=0.1"))
    assert {job.seed for job in fake.seen[:17]}.isdisjoint(job.seed for job in fake.seen[17:])


def test_pairing_takes_out_what_a_seed_does_to_both() -> None:
    def result(score: float) -> Result:
        return Result("finished", score, (), 0, 0.0, 0.0, 1.0, 0.0)

    luck = [0.01, -0.02, 0.03, 0.0]
    found, noise = truth.truths(
        [result(2 + one) for one in luck], {Idea("a", False): [result(1.99 + one) for one in luck[:3]]}
    )
    assert found[0].paired == pytest.approx(0.01) and found[0].paired_error < 1e-9 < found[0].error
    assert found[0].best[0] == found[0].paired and noise.difference < 1e-9 < noise.score


def test_what_repeats_the_baseline_s_digits_surely_gains_nothing(made: Trainings) -> None:
    plan = truth.plan(FakeIdeas(), listed("C0=0.1", "C1=0.00"), BASELINE, BUDGET, 3)
    found, _ = truth.judge(plan, made)
    assert found[1].best == (0.0, 0.0) and final.no_gain(*found[1].best) == 1.0


# -- campaigns


def test_keep_if_lower_keeps_what_scores_lower_and_builds_on_it(made: Trainings) -> None:
    done = walk(made, KeepIfLower(), listed("C0=0.1", "C1=-0.2", "C0=0.3", "C0=0.2"))
    assert [step.status for step in done.steps] == ["keep", "keep", "discard", "keep", "discard"]
    assert done.text == BASELINE.replace("C0 = 0.0", "C0 = 0.3") and done.tried == 4 and len(done.kept) == 2


@pytest.mark.parametrize("name", POLICIES)
def test_edits_that_do_not_apply_are_passed_over_for_nothing(made: Trainings, name: str) -> None:
    ideas = listed("C0=0.1", "never", "C0=0.1", "crash", "C1=-0.2")
    done = walk(made, POLICIES[name](), ideas)
    assert [step.label for step in done.steps] == ["baseline", *(idea.label for idea in ideas)]
    assert [step.status for step in done.steps[1:]] == ["keep", "skipped", "skipped", "crash", "discard"]
    assert all(step.before == step.after and step.runs == 0 for step in done.steps if step.status == "skipped")


def test_a_run_costs_its_training_and_the_overhead(made: Trainings) -> None:
    done = walk(made, KeepIfLower(), listed("C0=0.1", "crash"))
    whole, crash = 1000 * 1.2, 100 + 1000 * 0.05
    assert [step.after - step.before for step in done.steps] == pytest.approx([whole, whole, crash])
    assert done.spent == pytest.approx(2 * whole + crash)
    result = Fake()(Job(BASELINE, 1, BUDGET))
    assert Costs("10s", 0.1).of(result) == pytest.approx(11.0)
    assert Costs("9cpu", 0.0).of(result) == pytest.approx(9.0)


class Confirms(KeepIfLower):
    """Runs everything three times, the incumbent once among them."""

    name = "confirms"

    def decide(self, trial: Trial) -> Decision:
        if trial.is_baseline or trial.confirmations == 2:
            return super().decide(trial)
        return Decision("confirm", "incumbent" if trial.confirmations else "candidate")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["C0=0.1", "C1=-0.1", "C2=0.2", "C3=0.05", "crash", "never", "C0=0.3"]), max_size=12),
    st.floats(1.0, 15.0),
)
def test_no_policy_spends_more_than_its_time(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], runs: float
) -> None:
    ideas, limit = listed(*labels), runs * Costs(BUDGET).most
    with Trainings(Store(tmp_path_factory.mktemp("t")), Fake(0.01), 1, quiet) as made:
        for policy in (KeepIfLower(), Ours(baseline_runs=1), Confirms()):
            done = walk(made, policy, ideas, runs)
            assert done.spent <= limit * (1 + 1e-9)
            assert done.spent == pytest.approx(sum(step.after - step.before for step in done.steps))
            assert [step.label for step in done.steps[1:]] == labels[
                : len(done.steps) - 1
            ]  # the same order for all
            if done.steps[-1].status == "unfinished":
                assert done.spent + Costs(BUDGET).most > limit  # it had no time for another run
            else:
                assert len(done.steps) == len(labels) + 1


def test_a_trial_that_time_cuts_short_is_not_kept(made: Trainings) -> None:
    done = walk(made, Confirms(), listed("C0=0.1"), runs=2.5)
    assert done.steps[-1].status == "unfinished" and done.text == BASELINE


def test_confirmations_run_with_fresh_seeds_on_the_side_that_was_named(made: Trainings, fake: Fake) -> None:
    done = walk(made, Confirms(), listed("C0=0.1"))
    assert [len(done.steps[1].scores), len(done.steps[1].incumbent_scores), done.steps[1].runs] == [2, 2, 3]
    assert len({job.seed for job in fake.seen}) == 4


def test_two_policies_share_what_they_both_try(made: Trainings, fake: Fake) -> None:
    walk(made, KeepIfLower(), listed("C0=0.1", "C1=-0.2"))
    before = len(fake.seen)
    walk(made, Confirms(), listed("C0=0.1", "C1=-0.2"))
    assert before == 3 and len(fake.seen) == 3 + 4


class Pairs(Confirms):
    """Runs every candidate first on the seed of the incumbent's first run."""

    name = "pairs"

    def seed(self, trial: Trial) -> int | None:
        return None if trial.is_baseline else trial.incumbent.seeds[0]


def test_a_policy_may_name_a_seed(made: Trainings, fake: Fake) -> None:
    walk(made, Pairs(), listed("C0=0.1"))
    baseline, first, *others = (job.seed for job in fake.seen)
    assert first == baseline and baseline not in others and len(set(others)) == 2


class Returns(KeepIfLower):
    """Tries the first edit again whenever it is asked."""

    name = "returns"

    def again(self, past: Sequence[Step]) -> str | None:
        return past[1].label if len(past) > 1 else None


def test_a_policy_may_come_back_to_an_edit_until_its_time_is_spent(made: Trainings) -> None:
    done = walk(made, Returns(), listed("C0=-0.1", "C1=-0.2"), runs=4.5)
    assert [(step.label, step.status) for step in done.steps[1:]] == [
        ("C0=-0.1", "discard"), ("C0=-0.1", "discard"), ("C0=-0.1", "discard"), ("C0=-0.1", "unfinished"),
    ]  # fmt: skip
    assert len(done.steps[-1].scores) == 3  # its runs add up


def test_one_that_insists_on_what_does_not_apply_goes_on_with_the_list(made: Trainings) -> None:
    done = walk(made, Returns(), listed("never", "C1=0.2"))
    assert [step.status for step in done.steps] == ["keep", "skipped", "skipped", "keep", "skipped"]


class Stops(KeepIfLower):
    """Stops what is worse at a quarter, and notes what it was shown."""

    name = "stops"

    def __init__(self) -> None:
        super().__init__(looks=(0.5, 0.25))
        self.shown: list[tuple[float, Curve]] = []

    def stop(self, share: float, curve: Curve, trial: Trial) -> bool:
        self.shown.append((share, curve))
        theirs = [point.loss for point in trial.incumbent.results[0].curve if point.progress <= share][-1]
        return curve[-1].loss > theirs + 0.05


def test_a_stopped_run_costs_its_share_and_shows_no_more(made: Trainings) -> None:
    policy = Stops()
    done = walk(made, policy, listed("C0=-0.1", "C1=0.1"))
    assert [step.status for step in done.steps] == ["keep", "stopped", "keep"]
    stopped = done.steps[1]
    assert stopped.stopped_at == 0.25 and stopped.scores == ()
    assert stopped.after - stopped.before == pytest.approx(1000 * (0.25 + 0.05))
    assert [share for share, _ in policy.shown] == [0.25, 0.25, 0.5]  # the baseline is not asked about
    assert all(curve[-1].progress <= share for share, curve in policy.shown)


class Provisional(KeepIfLower):
    """Keeps everything provisionally, and bears out what is truly lower."""

    name = "provisional"

    def decide(self, trial: Trial) -> Decision:
        if trial.retest or trial.is_baseline:
            return super().decide(trial)
        return Decision("keep", provisional=True)


def test_a_provisional_keep_is_run_again_and_may_be_undone(made: Trainings) -> None:
    done = walk(made, Provisional(), listed("C0=-0.1", "C1=0.1"))
    assert [(step.status, step.runs) for step in done.steps] == [("keep", 1), ("discard", 2), ("keep", 2)]


def test_our_policy_is_not_taken_in_by_noise_where_the_plain_one_is(tmp_path: Path) -> None:
    """Lists of nothing but edits that do nothing. The plain loop keeps every new record of luck."""
    ideas = listed(*(f"C{n % 12}=0.0{'0' * (n // 12)}" for n in range(12, 32)))
    kept = dict.fromkeys(POLICIES, 0)
    with Trainings(Store(tmp_path), Fake(0.003), 2, quiet) as made:
        for order in range(6):
            for name in POLICIES:
                kept[name] += len(walk(made, POLICIES[name](), ideas, 40, order).kept)
    assert kept["keep-if-lower"] >= 8 and kept["ours"] <= kept["keep-if-lower"] / 2


class Curved(Fake):
    """With curves of many steps that foretell the end, and say at which learning rate."""

    def __call__(self, job: Job) -> Result:
        result = super().__call__(job)
        if not result.scored:
            return result
        nats = result.val_bpb * policies.BYTES_PER_TOKEN * math.log(2)
        steps = [n / 97 for n in range(97)]
        curve = tuple(
            Point(n, at, 0.1 * n, 10 * (n + 1), nats + 3 * (1 - at), 1 - at) for n, at in enumerate(steps)
        )
        return replace(result, curve=curve)


def test_ours_stops_what_is_hopeless_by_its_curve_but_for_controls(tmp_path: Path) -> None:
    labels = [f"C{n}=-0.5" for n in range(12)]
    policy = Ours(baseline_runs=1, retries=False)
    with Trainings(Store(tmp_path), Curved(0.001), 1, quiet) as made:
        done = walk(made, policy, listed(*labels))
    controls = {n for n in range(1, 13) if racing.is_control("replay", n)}
    assert controls  # or this test tests less
    assert {n for n, step in enumerate(done.steps) if step.status == "discard"} == controls
    stopped = [step for step in done.steps if step.status == "stopped"]
    assert len(stopped) == 12 - len(controls)
    late = racing.SHARES[0] + policies.LATE
    assert all(step.stopped_at == late and step.runs == 1 for step in stopped)
    records = [run.record for run in policy.runs if run.record and run.record.hopeless is not None]
    assert len(records) == 12 and all(run.decision for run in policy.runs)
    assert final.raced([done], [], 1200.0).runs == len(stopped)
    assert final.raced([done], [], 1200.0).saved == pytest.approx(
        len(stopped) * (1200 - 1000 * (late + 0.05)) / 1200
    )


@pytest.mark.parametrize(("text", "outcome"), [("", "stopped"), ("# of the loss\n", "discard")])
def test_ours_does_not_race_a_change_of_the_loss(tmp_path: Path, text: str, outcome: str) -> None:
    class Loss(FakeIdeas):
        def apply(self, idea: Idea, given: str) -> str | None:
            return (super().apply(idea, given) or "") + text

    costs = Costs(BUDGET)
    with Trainings(Store(tmp_path), Curved(), 1, quiet) as made:
        device = 9 * costs.most
        done = campaign.run(
            Ours(baseline_runs=1), listed("C0=-0.5"), 0, Loss(), BASELINE, device, costs, made
        )  # fmt: skip
    assert done.steps[-1].status == outcome


def test_ours_looks_at_a_curve_at_equal_learning_rates_only(made: Trainings) -> None:
    done = walk(made, Ours(baseline_runs=1), listed("C0=-0.5"))  # its curves say none
    assert done.steps[-1].status == "discard"


def test_ours_tries_a_near_miss_again_on_another_seed(
    made: Trainings, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(tried: Sequence[Experiment], known: Knowledge, beliefs: dict[int, Mixture]) -> list[Prospect]:
        once = len(tried) == 3 and 2 in beliefs
        return [Prospect("combine", (1, 2), 0.5, 0.1), *([Prospect("retry", (2,), 0.5, 0.1)] if once else [])]

    monkeypatch.setattr(prospects, "find", find)
    policy = Ours(baseline_runs=1)
    done = walk(made, policy, listed("C0=-0.1", "C1=-0.2", "C2=-0.3"))
    assert [step.label for step in done.steps] == ["baseline", "C0=-0.1", "C1=-0.2", "C1=-0.2", "C2=-0.3"]
    assert [run.request.retries for run in policy.runs] == [None, None, None, 2, None]
    again = [job.seed for job in fake.seen if "C1 = -0.2" in job.text]
    assert len(again) == 2 and len(set(again)) == 2


def test_ours_gives_up_a_near_miss_that_does_not_apply(made: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(tried: Sequence[Experiment], known: Knowledge, beliefs: dict[int, Mixture]) -> list[Prospect]:
        return [Prospect("retry", (1,), 0.5, 0.1)] if 1 in beliefs and len(tried) > 2 else []

    monkeypatch.setattr(prospects, "find", find)
    policy = Ours(baseline_runs=1)
    done = walk(made, policy, listed("C0=0.5", "C1=-0.2", "C2=-0.3"))  # the first is in place already
    assert [(step.label, step.status) for step in done.steps[1:]] == [
        ("C0=0.5", "keep"), ("C1=-0.2", "discard"), ("C0=0.5", "skipped"), ("C2=-0.3", "discard"),
    ]  # fmt: skip
    assert policy.unfit == {1} and policy.runs[-1].request.retries is None


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_changed_lines_add_up(old: list[str], new: list[str]) -> None:
    added, removed = campaign.changed_lines("\n".join(old), "\n".join(new))
    assert added - removed == len("\n".join(new).splitlines()) - len("\n".join(old).splitlines())
    assert (added, removed) == (0, 0) or old != new


# -- final


def test_false_keeps_are_counted_with_what_is_not_known(made: Trainings) -> None:
    done = walk(made, KeepIfLower(), listed("C0=0.1", "C1=0.2", "C2=0.3"))
    truths = [
        truth.Truth(Idea("C0=0.1", False), "finished", -0.1, 0.01, math.nan, math.nan, 3),
        truth.Truth(Idea("C1=0.2", False), "finished", 0.0, 0.01, math.nan, math.nan, 3),
    ]
    found = final.false_keeps([done], truths)
    assert (found.known, found.measured, found.unknown) == (2, 2, 1)
    assert found.expected == pytest.approx(1.5)


def test_worth_is_a_difference_on_the_same_seeds(tmp_path: Path) -> None:
    with Trainings(Store(tmp_path), Fake(), 1, quiet) as made:
        better = final.worth(BASELINE.replace("C0 = 0.0", "C0 = 0.1"), BASELINE, BUDGET, made)
        same = final.worth(BASELINE, BASELINE, BUDGET, made)
    assert better.gain == pytest.approx(0.1) and same.gain == 0 and len(better.scores) == 8
    assert final.compare(better, same)[0] == pytest.approx(0.1)


# -- curves


def test_a_line_leaves_what_does_not_follow_from_x() -> None:
    dice = random.Random(1)
    points = [(x, 2 * x + 1 + dice.gauss(0, 0.1)) for x in (dice.random() for _ in range(2000))]
    line = foretelling.fit(points)
    assert line.slope == pytest.approx(2, abs=0.05) and line.residual == pytest.approx(0.1, abs=0.01)
    assert foretelling.robust(points, line) == pytest.approx(0.1, abs=0.01)


def test_curves_that_say_all_leave_nothing() -> None:
    fake = Fake(0.01)
    texts = [BASELINE, *(BASELINE.replace("C0 = 0.0", f"C0 = 0.0{n}") for n in range(1, 6))]
    baseline, *own = [[fake(Job(text, seed, BUDGET)) for seed in range(4)] for text in texts]
    found = {(one.target, one.against): one for one in foretelling.figures(baseline, own) if one.share == 0.5}
    assert found["paired", "same"].line.residual < 1e-9 < found["paired", "other"].line.residual
    assert any("same seed" in line for line in foretelling.table(baseline, [*own, [None] * 4]))


# -- all of it


@pytest.fixture
def place(tmp_path: Path) -> replay.Place:
    return replay.Place(PlacedIdeas(), BASELINE, Store(tmp_path / "t"), Fake(0.002))


class PlacedIdeas(FakeIdeas):
    def listed(self, text: str, real: int = 30, order: int = 0, nulls: int = 8) -> list[Idea]:
        ideas = [*listed(*(f"C{n}={0.02 - n / 200}" for n in range(real)), "crash"), Idea("C11=0.00", True)]
        random.Random(order).shuffle(ideas)
        return ideas


def test_the_whole_benchmark(place: replay.Place, capsys: pytest.CaptureFixture[str]) -> None:
    setting = replay.Setting(BUDGET, 2, 8, 8, 1, 2, 11.0, 0.2, 3, tuple(POLICIES))
    report = replay.replay(place, setting, 2, quiet)
    assert [(one.campaign.order, one.campaign.policy) for one in report.outcomes] == [
        (order, name) for order in range(2) for name in POLICIES
    ]
    assert all(one.campaign.spent <= one.campaign.device for one in report.outcomes)
    assert len({one.campaign.device for one in report.outcomes}) == 1
    text = "\n".join(replay.show(report))
    for word in (
        "keep-if-lower",
        "ours",
        "C0=0.02",
        "(null)",
        "crashed",
        "does not reward throughput",
        "2 CPUs"[1:],
    ):
        assert word in text
    json.dumps(jsonable(asdict(report)), allow_nan=False)
    again = replay.replay(place, setting, 2, quiet)
    assert again.trainings_made == 0 and again.outcomes == report.outcomes
    assert "8 seeds" in "\n".join(replay.analyse(place, setting))


def test_a_campaign_that_fails_ends_the_others(place: replay.Place) -> None:
    setting = replay.Setting(BUDGET, 2, 8, 8, 1, 2, 11.0, 0.2, 3, tuple(POLICIES))
    killed = Fake(0.002, fails_after=len(list(place.plan(setting).jobs())))
    with pytest.raises(Interrupted):
        replay.replay(replace(place, trainer=killed), setting, 1, quiet)
    assert killed.closed and len(killed.seen) <= killed.fails_after


def test_analysis_of_half_a_collection(place: replay.Place) -> None:
    setting = replay.Setting(BUDGET, 3, 8, 8, 1, 1, 11.0, 0.2, 3, tuple(POLICIES))
    assert "not complete" in replay.analyse(place, setting)[-1]
    plan = place.plan(setting)
    with Trainings(place.store, place.trainer, 1, quiet) as made:
        made.all(list(plan.jobs())[:20])
    assert "20 of 35" in replay.analyse(place, setting)[0]
