"""The headline: fresh seeds, paired, on text that no experiment saw; and nothing of it reaches the researcher."""

from __future__ import annotations

import ast
import json
import math
import os
import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import campaign as campaigns
from harness import headline, submit
from harness.headline import Pair, Scores, Use
from harness.situation import Situation, look

from tests.harness.lab import PROJECT, Lab
from tests.harness.test_audit import change, everything

# ---------------------------------------------------------------------------------------------------
# Statistics


@pytest.mark.parametrize(
    "freedom, quantile",
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042), (98, 1.984)],
)
def test_t_as_in_the_tables(freedom: int, quantile: float) -> None:
    assert headline.t_quantile(freedom) == pytest.approx(quantile, abs=5e-4)


def test_a_gain_with_its_interval() -> None:
    """Mean 0.02, standard deviation 0.01, three pairs: 4.303 x 0.01 / sqrt(3) to either side."""
    found = headline.gain([0.01, 0.02, 0.03])
    assert found.low is not None and found.high is not None
    assert found.mean == pytest.approx(0.02)
    assert found.high - found.mean == pytest.approx(4.3027 * 0.01 / math.sqrt(3), rel=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert (found.better, found.worse, found.chance) == (3, 0, 0.25)


def test_one_pair_has_no_interval() -> None:
    assert (headline.gain([0.5]).low, headline.gain([0.5]).high) == (None, None)


@pytest.mark.parametrize(
    "better, worse, chance", [(5, 0, 0.0625), (0, 5, 0.0625), (4, 1, 0.375), (3, 3, 1.0), (0, 0, 1.0), (1, 0, 1.0)]
)
def test_a_coin_that_falls_so(better: int, worse: int, chance: float) -> None:
    assert headline.sign_chance(better, worse) == pytest.approx(chance)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    dice, held = random.Random(1), 0
    for _ in range(2000):
        found = headline.gain([dice.gauss(0.3, 1.0) for _ in range(5)])
        assert found.low is not None and found.high is not None
        held += found.low <= 0.3 <= found.high
    assert 0.935 < held / 2000 < 0.965


def test_seeds_are_nobodys_choice() -> None:
    drawn = headline.seeds("t1", 1, 5, [])
    assert drawn == headline.seeds("t1", 1, 5, []) == headline.seeds("t1", 1, 8, [])[:5]
    assert len({*drawn, *headline.seeds("t1", 2, 5, []), *headline.seeds("t2", 1, 5, [])}) == 15
    assert not {*drawn} & {submit.seed_of("t1", number) for number in range(1000)}
    again = headline.seeds("t1", 1, 5, [drawn[1]])
    assert again[1] != drawn[1] and [*again[:1], *again[2:]] == [*drawn[:1], *drawn[2:]]


@pytest.mark.parametrize("budget, twice", [("300s", "600s"), ("2.25cpu", "4.5cpu"), ("1000000tok", "2000000tok")])
def test_twice_the_budget(budget: str, twice: str) -> None:
    assert headline.times(budget, 2) == twice
    assert headline.times(budget, 1) == budget


USE = Use(3, 0.0, None, 3, 1, "5s", "b" * 40, "c" * 40, 0.3, 1.5)
WHOLE = (Pair(1, Scores(1.5, 1.6), Scores(1.2, 1.4)), Pair(2, Scores(1.52, 1.62), Scores(1.2, 1.4)))


def test_what_is_said_of_none_one_and_some_pairs() -> None:
    assert "no pair is finished, so nothing can be said" in headline.lines(USE)
    one = "\n".join(
        headline.lines(replace(USE, pairs=(WHOLE[0], Pair(2, None, Scores(1.2, 1.4), ("x crashed",)))))
    )
    assert "held-out text: 0.200000 bpb better (12.50 %), 1 of 1 pairs better" in one
    assert "one pair has no interval" in one and "pair 2: x crashed" in one and "2 of 3 pairs are missing" in one
    two = "\n".join(headline.lines(replace(USE, pairs=WHOLE)))
    assert "held-out text: 0.210000 bpb better (13.04 %), 95 % from +0.082938 to +0.337062" in two
    assert "claimed:       0.300000 bpb better (20.00 %) by the campaign's own runs" in two
    assert "1 of 3 pairs are missing" in two and "the 3rd look at the held-out text" in two
    worse = tuple(Pair(pair.seed, pair.incumbent, pair.baseline) for pair in WHOLE)
    assert "0.210000 bpb worse" in "\n".join(headline.lines(replace(USE, pairs=worse)))
    level = (*WHOLE, Pair(3, Scores(1.2, 1.2), Scores(1.5, 1.5)))
    assert "cannot be told apart" in "\n".join(headline.lines(replace(USE, pairs=level)))


def test_counting() -> None:
    counted = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 21: "21st", 113: "113th"}
    assert {number: headline.ordinal(number) for number in counted} == counted


# ---------------------------------------------------------------------------------------------------
# tools/verify.py


def kept(lab: Lab, **constants: Any) -> None:
    assert lab.try_idea("exp: better", **constants).code == 0
    assert lab.log("better").out.startswith("verdict: keep\n")


def uses(lab: Lab) -> list[dict[str, Any]]:
    return list(json.loads((lab.root / "runs/t1/verify.json").read_text())["uses"])


def without(lab: Lab) -> dict[str, str]:
    return {name: sha for name, sha in everything(lab).items() if not name.startswith("runs/t1/verify")}


def test_the_honest_gain(lab: Lab) -> None:
    """By the campaign 0.3; 0.1 of that is lost on other text."""
    kept(lab, SCORE=1.2, TUNED=0.1)
    before, refs, tip = without(lab), lab.refs(), lab.tip
    answer = lab.call("verify.py", "--seeds", "3")
    assert (answer.code, answer.err) == (0, "")
    assert "1st look at the held-out text of campaign t1: 3 pairs" in answer.out
    assert "pair 1 of 3, seed" in answer.out and "val_bpb 1.200000, held-out 1.400000" in answer.out
    assert "held-out text: 0.200000 bpb better (12.50 %), 95 % from +0.200000 to +0.200000, 3 of 3" in answer.out
    assert "validation:    0.300000 bpb better" in answer.out and "claimed:       0.300000" in answer.out
    assert "validation shows +0.100000, 95 % from +0.100000 to +0.100000 more than held-out text" in answer.out
    assert (without(lab), lab.refs(), lab.tip) == (before, refs, tip), "nothing of the campaign is changed"
    assert len(lab.rows()) == 2 and len(lab.runs()) == 2
    (use,) = uses(lab)
    assert [pair["seed"] for pair in use["pairs"]] == headline.seeds("t1", 1, 3, [])
    assert (use["number"], use["multiple"], use["budget"], use["incumbent"]) == (1, 1, "5s", lab.tip)
    assert use["ended"] and use["results"]["heldout"]["mean"] == pytest.approx(0.2)
    for run in (lab.root / "runs/t1/verify/01").glob("*-*"):
        assert json.loads((run / "record.json").read_text())["seed"] in headline.seeds("t1", 1, 3, [])
        assert not (run / "work").exists(), "weights are large"
    found = json.loads(lab.call("verify.py", "--seeds", "2", "--at", "2x", "--json").out)
    assert (found["look"], found["budget"], found["multiple"]) == (2, "10s", 2)
    feed = json.loads((lab.root / "runs/t1/verify/02/01-baseline/feed.json").read_text())
    assert feed["budget"] == "10s", "for both"
    assert {pair["seed"] for pair in found["pairs"]}.isdisjoint(headline.seeds("t1", 1, 3, []))
    assert len(uses(lab)) == 2


def test_the_pairs_share_their_seed(lab: Lab) -> None:
    """A seed moves both alike, so the interval is narrow where the scores are not."""
    lab.edit(NOISE=0.05)
    kept(lab, SCORE=1.2)
    found = json.loads(lab.call("verify.py", "--seeds", "3", "--json").out)
    for pair in found["pairs"]:
        noise = pair["seed"] % 1000 / 500 - 1
        assert pair["incumbent"]["val_bpb"] == pytest.approx(1.2 + 0.05 * noise)
        assert pair["baseline"]["val_bpb"] == pytest.approx(1.5)


def test_nothing_of_it_reaches_the_researcher(lab: Lab) -> None:
    kept(lab, SCORE=1.2)
    now, status = look(lab.root), lab.call("status.py")
    assert lab.call("verify.py", "--seeds", "2").code == 0
    assert seen(lab, now) == now
    assert lab.call("status.py").out == status.out
    change(lab.root / "runs/t1/verify.json", uses="what is in it does not matter")
    assert seen(lab, now) == now and lab.call("status.py").out == status.out
    told = f"{lab.call('status.py').out}{lab.call('status.py', '--json').out}".lower()
    assert not [word for word in ("held-out", "heldout", "verif", "headline") if word in told]


def seen(lab: Lab, before: Situation) -> Situation:
    """The situation; git's handle on it is another one each time."""
    now = look(lab.root)
    return replace(now, branch=replace(now.branch, git=before.branch.git))


def imports(path: Path) -> set[str]:
    """Modules of the harness that a file imports."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {name.name for node in nodes for name in node.names}
    return names | {(node.module or "").removeprefix("harness.") for node in nodes}


def modules(path: Path) -> set[str]:
    """Packages that a file imports from, and what it imports from harness itself, by their whole names."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    inner = {f"{node.module}.{name.name}" for node in nodes for name in node.names if node.module == "harness"}
    return inner | {".".join((node.module or "").split(".")[:2]) for node in nodes}


def test_only_the_persons_page_reads_it() -> None:
    files = [*(PROJECT / "tools").glob("*.py"), *(PROJECT / "tools/harness").rglob("*.py")]
    readers = {path.name for path in files if "headline" in imports(path)}
    assert readers == {"verify.py", "summary.py", "facts.py", "layers.py"}
    report = PROJECT / "tools/harness/report"
    readers = {path.name for path in files if "harness.report" in modules(path) and path.parent != report}
    assert readers == {"report.py", "start.py", "status.py", "export.py"}, "what a person reads, layers and runs"
    assert "from harness.report import layers\n" in (PROJECT / "tools/status.py").read_text()
    assert "from harness.report import book\n" in (PROJECT / "tools/export.py").read_text()
    readers = {path.name for path in files if "summary" in imports(path)}
    assert readers <= {"report.py", "start.py"}, "what a person reads"
    others = {path.name for path in files if "verify.json" in path.read_text()}
    assert others == {"headline.py"}


def test_the_page_leads_with_it(lab: Lab) -> None:
    kept(lab, SCORE=1.2)
    assert "held-out" not in lab.call("report.py").out
    lab.call("verify.py", "--seeds", "2")
    lines = lab.call("report.py").out.splitlines()
    assert lines[0].startswith("verified (5s a run): ") and "2 of 2 pairs on fresh seeds" in lines[0]
    assert lines[1].startswith("held-out text: 0.300000 bpb better")
    assert max(map(len, lines)) <= 160
    assert any(line.startswith("campaign t1: ") for line in lines)
    use = headline.read(lab.root, "t1")
    assert use is not None and use.number == 1 and headline.read(lab.root, "t2") is None
    kept(lab, SCORE=1.0)
    assert "note: the incumbent is another one by now" in lab.call("report.py").out


# -- what is refused


def test_nothing_to_compare(new: Lab) -> None:
    answer = new.call("verify.py")
    assert answer.code == 2 and "has no baseline yet" in answer.err
    assert new.run("--baseline").code == 0 and new.log("baseline").code == 0
    answer = new.call("verify.py")
    assert answer.code == 2 and "kept nothing but its baseline" in answer.err and len(answer.err.splitlines()) == 1
    assert not (new.root / "runs/t1/verify.json").exists(), "which was no look"


def test_not_beside_a_run(lab: Lab) -> None:
    kept(lab, SCORE=1.2)
    lab.edit(SCORE=1.1, STEP=9.0)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    answer = lab.call("verify.py")
    assert answer.code == 2 and "campaign t1 has run 0002 in progress" in answer.err
    lab.run("--stop")
    lab.settle()
    assert not (lab.root / "runs/t1/verify.json").exists()


def test_no_run_begins_beside_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(lab, SCORE=1.2, STEP=0.3)
    verify = lab.start("verify.py", "--seeds", "1")
    lab.wait_for("trainer")
    monkeypatch.setattr(campaigns, "_PATIENCE", 0.1)
    lab.edit(SCORE=1.1)
    answer = lab.run("-m", "exp: beside it")
    assert answer.code == 2 and "runs/.lock" in answer.err
    assert verify.wait(60) == 0


@pytest.mark.parametrize("seeds", ["0", "100", "many"])
def test_bad_use(lab: Lab, seeds: str) -> None:
    answer = lab.call("verify.py", "--seeds", seeds)
    assert answer.code == 2 and "--seeds" in answer.err and len(answer.err.splitlines()) == 1


def test_a_bench_that_is_not_the_campaigns(lab: Lab) -> None:
    kept(lab, SCORE=1.2)
    with (lab.root / "tools/harness/runner.py").open("a") as file:
        file.write("# kinder\n")
    answer = lab.call("verify.py")
    assert answer.code == 2 and "runner.py is not as campaign t1 pinned it" in answer.err


def test_a_count_that_cannot_be_read(lab: Lab) -> None:
    kept(lab, SCORE=1.2)
    (lab.root / "runs/t1/verify.json").write_text("{}")
    answer = lab.call("verify.py")
    assert answer.code == 2 and "it counts the looks" in answer.err
    assert lab.call("report.py").code == 0


def test_a_budget_in_tokens_is_said(new: Lab) -> None:
    assert new.run("--baseline", AUTORESEARCH_BUDGET="1000tok").code == 0 and new.log("baseline").code == 0
    kept(new, SCORE=1.2)
    answer = new.call("verify.py", "--seeds", "1")
    assert answer.code == 0 and "note: the budget is in tokens" in answer.out


# -- what goes wrong


def test_a_run_that_crashes_costs_its_pair(lab: Lab) -> None:
    """It is not drawn again: who crashes on bad seeds would look better than it is."""
    lucky = submit.seed_of("t1", 0) % 2  # the campaign's run is on the baseline's seed
    loop = "    for step in range"
    text = lab.train.replace(loop, f"    unlucky = run.seed % 2 != {lucky}\n{loop}")
    (lab.root / "train.py").write_text(text.replace("if CRASH and step == 50", "if unlucky and step == 50"))
    drawn = headline.seeds("t1", 1, 6, [])
    kept(lab, SCORE=1.2)
    answer = lab.call("verify.py", "--seeds", "6")
    lost = sum(seed % 2 != lucky for seed in drawn)
    assert 0 < lost < 6 and answer.code == 1
    assert answer.out.count(": incumbent crashed: ") == lost
    assert f"{6 - lost} of 6 pairs on fresh seeds" in answer.out and f"{lost} of 6 pairs are missing" in answer.out


def test_interrupted_and_gone_on_with(lab: Lab) -> None:
    kept(lab, SCORE=1.2, STEP=0.15)
    verify = lab.start("verify.py", "--seeds", "2")
    while ", incumbent (" not in (line := str(verify.stdout.readline() if verify.stdout else "")):
        assert line, "the baseline's run of the first pair is through"
    lab.wait_for("trainer")
    verify.send_signal(signal.SIGINT)
    out, _ = verify.communicate(timeout=60)
    assert verify.returncode == 130
    assert "interrupted: the same command goes on with it" in out and "no pair is finished" in out
    lab.settle()
    done = lab.root / "runs/t1/verify/01/01-baseline/record.json"
    before, when = done.read_bytes(), done.stat().st_mtime_ns
    answer = lab.call("verify.py", "--seeds", "2")
    assert answer.code == 0 and "it goes on where it was interrupted, in pair 1" in answer.out
    assert (done.read_bytes(), done.stat().st_mtime_ns) == (before, when), "what is done is not done again"
    (use,) = uses(lab)
    assert use["number"] == 1 and len(use["pairs"]) == 2, "one look"
    assert lab.call("verify.py", "--seeds", "1").out.startswith("2nd look")


def test_killed_and_gone_on_with(lab: Lab) -> None:
    kept(lab, SCORE=1.2, STEP=0.3)
    verify = lab.start("verify.py", "--seeds", "1")
    lab.wait_for("trainer")
    os.kill(verify.pid, signal.SIGKILL)
    verify.communicate(timeout=30)
    lab.settle()
    assert lab.state == "clean"
    assert lab.call("verify.py", "--seeds", "1").code == 0
    assert len(uses(lab)) == 1


def test_another_incumbent_is_another_use(lab: Lab) -> None:
    kept(lab, SCORE=1.2)
    lab.call("verify.py", "--seeds", "1")
    value = json.loads((lab.root / "runs/t1/verify.json").read_text())
    value["uses"][0]["ended"] = None
    (lab.root / "runs/t1/verify.json").write_text(json.dumps(value))
    kept(lab, SCORE=1.0)
    lab.call("verify.py", "--seeds", "1")
    first, second = uses(lab)
    assert (first["number"], second["number"]) == (1, 2) and second["incumbent"] == lab.tip


def test_a_record_of_another_commit_is_not_taken(lab: Lab) -> None:
    kept(lab, SCORE=1.2)
    lab.call("verify.py", "--seeds", "1")
    change(lab.root / "runs/t1/verify.json", uses=[uses(lab)[0] | {"ended": None}])
    change(lab.root / "runs/t1/verify/01/01-incumbent/run.json", seed=7)
    answer = lab.call("verify.py", "--seeds", "1")
    assert answer.code == 2 and "01-incumbent does not agree with git or the campaign" in answer.err


def test_no_other_run_is_scored_on_it(lab: Lab) -> None:
    kept(lab, SCORE=1.2)
    lab.call("audit.py", "--rerun", "1")
    lab.call("audit.py", "--record", "1")
    assert not [*lab.root.glob("runs/**/heldout.json")]
    lab.call("verify.py", "--seeds", "1")
    assert len([*lab.root.glob("runs/**/heldout.json")]) == 2


def test_it_is_for_the_person(lab: Lab) -> None:
    rules = json.loads((PROJECT / "opencode.json").read_text())["permission"]["bash"]
    assert {
        rules["*tools/verify*"],
        rules["*verify.py*"],
        rules["*evaluate.py*--split*"],
        rules["*runs/*/verify*"],
    } == {"deny"}
    assert "exit codes: 0 done, 1 pairs are missing, 2 refused" in lab.call("verify.py", "--help").out
