"""Records that do not agree with what they come from decide nothing; an audit does a run again and compares."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import campaign as campaigns
from harness.campaign import Campaign
from harness.integrity import Facts, mismatch
from harness.record import Record, Request
from harness.submit import seed_of

from tests.harness.lab import PROJECT, Lab

# ---------------------------------------------------------------------------------------------------
# What has to agree

GIT = {"train.py": "a1", "prepare.py": "b2"}
DATA = {"val.tokens": "c3"}
PIN = Campaign(
    tag="t1", created=0.0, bench="b", base="b", preparation="/data", preparation_key="one", budget="5s",
    profile="small", device="cpu", noise_prior=0.002, baseline_runs=1, sandbox="bubblewrap", sandbox_program="",
    python="python", environment={}, data_sha256=DATA, lock_sha256="d4",
)  # fmt: skip
REQUEST = Request(
    12,
    12,
    1,
    "candidate",
    "c",
    "p",
    seed_of("t1", 12),
    "exp: x",
    0.0,
    sha256=GIT,
    pin_sha256=campaigns.digest(PIN),
)
RECORD = Record(
    outcome="finished", reason="", val_bpb=1.5, causal=True, seconds=1.0, total_seconds=1.0, share=1.0,
    budget_overrun=0.0, tokens=1, steps=1, peak_memory_mb=1.0, mfu_percent=0.0, num_params=1, depth=1,
    seed=REQUEST.seed, restarts=0, sandbox="bubblewrap", sha256=GIT, data_sha256=DATA, lock_sha256="d4",
    model_sha256={"weights.pt": "e5", "model.json": "f6"},
)  # fmt: skip
AGREE = Facts(REQUEST, RECORD, PIN, GIT, {"val_bpb": 1.5}, {"weights.pt": "e5", "model.json": "f6"})
OTHER = {"train.py": "a1", "prepare.py": "x"}


def test_what_agrees() -> None:
    assert mismatch(AGREE) == ""
    assert mismatch(replace(AGREE, model={"model.json": "f6"})) == "", "weights may be gone"


@pytest.mark.parametrize(
    "facts, told",
    [
        (replace(AGREE, request=replace(REQUEST, sha256=OTHER)), "run.json has another sha256 of prepare.py"),
        (replace(AGREE, record=replace(RECORD, sha256=OTHER)), "record.json has another sha256 of prepare.py"),
        (replace(AGREE, record=replace(RECORD, sha256={})), "record.json has another sha256 of train.py"),
        (replace(AGREE, committed=OTHER), "run.json has another sha256 of prepare.py"),
        (replace(AGREE, record=replace(RECORD, sha256=GIT | {"sitecustomize.py": "x"})), "sitecustomize.py"),
        (replace(AGREE, request=replace(REQUEST, seed=7)), "run.json has the seed 7"),
        (replace(AGREE, campaign=replace(PIN, noise_prior=1e-9)), "campaign.json is not what it was"),
        (replace(AGREE, record=replace(RECORD, seed=7)), "record.json has the seed 7"),
        (replace(AGREE, record=replace(RECORD, sandbox="none: x")), "another sandbox than campaign.json"),
        (replace(AGREE, record=replace(RECORD, data_sha256={})), "another data_sha256 than campaign.json"),
        (replace(AGREE, record=replace(RECORD, lock_sha256="")), "another lock_sha256 than campaign.json"),
        (replace(AGREE, record=replace(RECORD, val_bpb=1.2)), "has the val_bpb 1.2, and score.json 1.5"),
        (replace(AGREE, score={}), "has the val_bpb 1.5, and score.json None"),
        (replace(AGREE, score={"refused": "it cheats"}), "has the val_bpb 1.5, and score.json None"),
        (replace(AGREE, record=replace(RECORD, outcome="crashed")), "has the val_bpb 1.5, and score.json None"),
        (replace(AGREE, model={"weights.pt": "x"}), "work/weights.pt has another sha256"),
    ],
)
def test_what_does_not_agree(facts: Facts, told: str) -> None:
    assert told in mismatch(facts)


def test_a_crash_may_leave_any_weights() -> None:
    crashed = replace(RECORD, outcome="refused", val_bpb=None)
    assert mismatch(replace(AGREE, record=crashed, score={"refused": "x"}, model={"weights.pt": "x"})) == ""


# ---------------------------------------------------------------------------------------------------
# A bench that hashes its weights, and whose score tells whether it found a compile cache


def build(bare: Lab, folder: Path, **env: str) -> Lab:
    lab = bare.copy(folder)
    rewrite(
        lab.root / "prepare.py",
        (
            "        self.channel.write('{\"finish\": true}\\n')\n"
            "        self.channel.flush()\n"
            "        self.channel.readline()\n",
            '        cache = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parent\n'
            '        config["score"] += 0.1 * len(list(cache.iterdir()))\n',
        ),
        (
            "        raise SystemExit(0)\n",
            "        self.channel.write('{\"finish\": true}\\n')\n"
            "        self.channel.flush()\n"
            "        self.channel.readline()\n"
            "        raise SystemExit(0)\n",
        ),
        (
            '                channel.write("done\\n")\n',
            "                import hashlib\n"
            "                model = {p.name: hashlib.sha256(p.read_bytes()).hexdigest()\n"
            '                         for p in sorted((folder / "work").glob("*.*"))}\n'
            '                channel.write("done\\n")\n',
        ),
        ("    started, share", "    model = {}\n    started, share"),
        ('"finished": finished}', '"finished": finished, "model_sha256": model}'),
    )
    rewrite(
        lab.root / "evaluate.py",
        (
            '"seconds": 0.01}\n',
            '"seconds": 0.01}\nresult["audit"] = {"probes": 72 if "--beat" in sys.argv else 688}\n',
        ),
    )
    lab.git("add", ".")
    lab.commit("a bench that hashes")
    assert lab.run("--baseline", **env).code == 0
    assert lab.log("baseline").code == 0
    return lab


def rewrite(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture(scope="session")
def hashing_lab(bare_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return build(bare_lab, tmp_path_factory.mktemp("hashing") / "lab")


@pytest.fixture
def lab(hashing_lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    lab = hashing_lab.copy(tmp_path / "lab")
    yield lab
    lab.kill_all()


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def everything(lab: Lab) -> dict[str, str]:
    """All files below runs/ but for the lock, by what is in them."""
    return {
        str(path.relative_to(lab.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((lab.root / "runs").rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


# ---------------------------------------------------------------------------------------------------
# The ledger refuses


@pytest.mark.parametrize(
    "file, values",
    [
        ("record.json", {"val_bpb": 0.9}),
        ("score.json", {"val_bpb": 0.9}),
        ("record.json", {"seed": 7}),
        ("run.json", {"seed": 7}),
        ("record.json", {"sha256": {}}),
        ("record.json", {"sandbox": "none: nobody knows"}),
        ("record.json", {"lock_sha256": "0"}),
        ("work/model.json", {"depth": 9}),
    ],
)
@pytest.mark.parametrize("whose", [0, 1])
def test_what_was_changed_decides_nothing(lab: Lab, file: str, values: dict[str, Any], whose: int) -> None:
    """Neither the candidate's nor the incumbent's."""
    lab.try_idea(SCORE=1.4)
    path = lab.path(whose) / file
    before = path.read_text()
    change(path, **values)
    answer = lab.log("too good")
    assert answer.code == 2
    assert answer.err.startswith(f"log_result: run 000{whose} cannot be decided on: ")
    assert file in answer.err and f"tools/audit.py --record 000{whose}" in answer.err
    assert answer.next.startswith("end your turn: ")
    assert len(lab.rows()) == 1 and not (lab.path(1) / "decision.json").exists()
    path.write_text(before)
    assert lab.log("as it was").out.startswith("verdict: keep\n")


def test_a_crash_is_held_against_its_hashes_too(lab: Lab) -> None:
    lab.try_idea(CRASH="no")
    change(lab.path(1) / "record.json", outcome="finished", val_bpb=0.9, reason="")
    assert "has the val_bpb 0.9, and score.json None" in lab.log().err
    change(lab.path(1) / "record.json", outcome="crashed", val_bpb=None)
    assert lab.log().out.startswith("verdict: crash\n")


def test_an_edited_verdict_does_not_decide(lab: Lab) -> None:
    lab.try_idea(SCORE=1.6)
    path = lab.root / "tools/harness/verdict.py"
    before = path.read_text()
    path.write_text(before + "CLEAR = -9.0\n")
    answer = lab.log("worse, but who says so")
    assert answer.code == 2
    assert "tools/harness/verdict.py is not as campaign t1 pinned it" in answer.err
    lab.commit("softer", "tools/harness/verdict.py")
    assert lab.log().code == 2, "nor when it is committed"
    path.write_text(before)
    lab.commit("as it was", "tools/harness/verdict.py")
    assert lab.log("worse").out.startswith("verdict: discard\n")


# ---------------------------------------------------------------------------------------------------
# tools/audit.py


def test_the_hashes_of_all_records(lab: Lab) -> None:
    lab.try_idea(SCORE=1.6)
    lab.log()
    lab.revert()
    lab.try_idea(CRASH="no")
    before = everything(lab)
    answer = lab.call("audit.py")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "it holds")
    assert "3 of 3 records agree" in answer.out
    assert everything(lab) == before
    change(lab.path(1) / "record.json", val_bpb=1.3)
    answer = lab.call("audit.py")
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "it does not hold")
    assert "run 0001: record.json has the val_bpb 1.3, and score.json 1.6\n2 of 3 records" in answer.out
    found = json.loads(lab.call("audit.py", "--json").out)
    assert (found["campaign"], found["holds"], found["records"]) == ("t1", False, 3)
    assert list(found["wrong"]) == ["0001"]


def test_a_baseline_of_an_earlier_pin_is_passed_by(new: Lab) -> None:
    new.edit(CRASH="always")
    new.commit("a broken start", "train.py")
    new.run("--baseline")
    new.log("baseline")
    with (new.root / "prepare.py").open("a") as file:
        file.write("# another bench\n")
    new.edit(CRASH="")
    new.commit("mended", "train.py", "prepare.py")
    assert new.run("--baseline").code == 0
    answer = new.call("audit.py")
    assert answer.code == 0 and "1 of 1 records agree" in answer.out


def test_a_record_scored_again(lab: Lab) -> None:
    before = everything(lab)
    answer = lab.call("audit.py", "--record", "0000")
    assert (answer.code, answer.err) == (0, "")
    assert "val_bpb: 1.5 recorded, 1.5 now\nnats: 1.0 recorded, 1.0 now\n" in answer.out
    assert "audited with 688 probes\nit holds\n" in answer.out
    assert everything(lab) == before, "the campaign's files are as they were, and nothing is left"
    found = json.loads(lab.call("audit.py", "--record", "0", "--json").out)
    assert (found["run"], found["holds"], found["wrong"]) == ("0000", True, {})
    assert found["digits"]["nats"] == [1.0, 1.0]


@pytest.mark.parametrize("both", [False, True])
def test_a_score_that_the_weights_do_not_have(lab: Lab, both: bool) -> None:
    """Changed in the record alone, or in all places where it is written: hashes then see nothing."""
    change(lab.path(0) / "record.json", val_bpb=1.2)
    if both:
        change(lab.path(0) / "score.json", val_bpb=1.2)
        assert lab.call("audit.py").code == 0
    for form in ("--record", "--rerun"):
        answer = lab.call("audit.py", form, "0")
        assert answer.code == 1, answer
        assert "val_bpb: 1.2 recorded, 1.5 now" in answer.out
        assert ("and score.json 1.5" in answer.out) != both
        assert answer.out.endswith("it does not hold\n")


def test_nats_have_to_be_the_same_too(lab: Lab) -> None:
    change(lab.path(0) / "score.json", nats=1.0000001)
    answer = lab.call("audit.py", "--record", "0")
    assert answer.code == 1 and "nats: 1.0000001 recorded, 1.0 now" in answer.out


def test_a_rerun_comes_within_the_noise(lab: Lab) -> None:
    """3 x sqrt(2) x 0.002 = 0.0085 bpb."""
    before = everything(lab)
    answer = lab.call("audit.py", "--rerun", "0")
    assert (answer.code, answer.err) == (0, "")
    for line in (
        "val_bpb: 1.5 recorded, 1.5 now",
        "difference: +0.000000, 0.008485 is allowed (3 x sqrt(2) x sigma 0.0020)",
        "steps: 100 recorded, 100 now",
        "tokens: 1000 recorded, 1000 now",
        "weights: the same",
    ):
        assert line in answer.out.splitlines()
    assert everything(lab) == before
    for off, code in ((0.005, 0), (0.01, 1)):
        for name in ("record.json", "score.json"):
            change(lab.path(0) / name, val_bpb=1.5 - off)
        answer = lab.call("audit.py", "--rerun", "0")
        assert answer.code == code and f"difference: +{off:.6f}" in answer.out


def test_a_budget_in_tokens_repeats_to_the_digit(bare_lab: Lab, tmp_path: Path) -> None:
    lab = build(bare_lab, tmp_path / "lab", AUTORESEARCH_BUDGET="1000tok")
    answer = lab.call("audit.py", "--rerun", "0")
    assert answer.code == 0
    assert "difference: +0.000000, 0.000000 is allowed (the budget is in tokens)" in answer.out
    for name in ("record.json", "score.json"):
        change(lab.path(0) / name, val_bpb=1.499999)
    answer = lab.call("audit.py", "--rerun", "0")
    assert answer.code == 1 and "difference: +0.000001" in answer.out


def test_a_rerun_takes_and_leaves_no_compile_cache(lab: Lab) -> None:
    (pin,) = (lab.root / "runs/t1").glob("campaign.json")
    campaign = campaigns.load(lab.root, "t1")
    assert campaign is not None and pin.exists()
    from harness import compiled

    cache = compiled.folder(lab.root, campaign, lab.tip)
    cache.mkdir(parents=True)
    (cache / "kernel").write_text("compiled")
    before = everything(lab)
    assert lab.call("audit.py", "--rerun", "0").code == 0
    assert everything(lab) == before
    assert lab.try_idea("exp: finds it", SCORE=1.4).code == 0
    assert lab.record(1)["val_bpb"] == 1.5, "as a run does"


def test_weights_that_are_gone(lab: Lab) -> None:
    (lab.path(0) / "work/weights.pt").unlink()
    answer = lab.call("audit.py", "--record", "0")
    assert answer.code == 2
    assert "no work/weights.pt any more" in answer.err and "tools/audit.py --rerun 0000" in answer.err
    assert lab.call("audit.py", "--rerun", "0").code == 0
    assert not (lab.path(0) / "work/weights.pt").exists()


def test_a_forged_snapshot_is_not_what_is_run(lab: Lab) -> None:
    """Neither the files of the run's folder nor the hashes in its request are believed."""
    (lab.path(0) / "evaluate.py").write_text("raise SystemExit(3)\n")
    change(lab.path(0) / "run.json", sha256={"train.py": "0", "nothing.py": "0"})
    answer = lab.call("audit.py", "--record", "0")
    assert answer.code == 1
    assert "run.json has another sha256 of train.py" in answer.out and "1.5 recorded, 1.5 now" in answer.out


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--record", "9"], "campaign t1 has no run 0009"),
        (["--record", "1"], "run 0001 has no score to compare with (crashed)"),
        (["--rerun", "1"], "run 0001 has no score to compare with (crashed)"),
        (["--record", "first"], "invalid int value"),
        (["--record", "0", "--rerun", "0"], "not allowed with"),
        (["--tag", "nowhere"], "there is no campaign nowhere"),
    ],
)
def test_what_cannot_be_audited(lab: Lab, arguments: list[str], told: str) -> None:
    lab.try_idea(CRASH="no")
    answer = lab.call("audit.py", *arguments)
    assert answer.code == 2 and told in answer.err and len(answer.err.splitlines()) == 1


def test_another_campaign_from_any_branch(lab: Lab) -> None:
    lab.git("switch", "-q", "main")
    assert lab.call("audit.py").code == 2
    assert lab.call("audit.py", "--tag", "t1").code == 0
    assert lab.call("audit.py", "--record", "0", "--tag", "t1").code == 0


def test_one_at_a_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.edit(SCORE=1.4, STEP=9.0)
    lab.run("-m", "exp: slow", "--wait", "0")
    lab.wait_for("trainer")
    answer = lab.call("audit.py", "--record", "0")
    assert answer.code == 2 and "campaign t1 has run 0001 in progress" in answer.err
    lab.run("--stop")
    lab.settle()
    lab.log()
    lab.revert()
    slow_baseline(lab)
    audit = lab.start("audit.py", "--rerun", "2")
    lab.wait_for("trainer")
    monkeypatch.setattr(campaigns, "_PATIENCE", 0.1)
    lab.edit(SCORE=1.3)
    answer = lab.run("-m", "exp: beside it")
    assert answer.code == 2 and "runs/.lock" in answer.err
    audit.send_signal(signal.SIGINT)
    audit.communicate(timeout=30)
    assert audit.returncode == 130
    lab.settle()
    assert not list((lab.root / "runs/t1").glob(".audit-*"))


def slow_baseline(lab: Lab) -> None:
    """Run 0002, which takes seconds."""
    assert lab.try_idea("exp: slower", SCORE=1.4, STEP=0.3).code == 0
    assert lab.log().code == 0


def test_an_audit_that_is_killed_takes_all_of_it_along(lab: Lab) -> None:
    lab.try_idea("exp: slower", SCORE=1.4, STEP=0.3)
    lab.log()
    audit = lab.start("audit.py", "--rerun", "1")
    lab.wait_for("trainer")
    os.kill(audit.pid, signal.SIGKILL)
    audit.communicate(timeout=30)
    lab.settle()
    assert list((lab.root / "runs/t1").glob(".audit-*"))
    assert lab.state == "clean"
    assert lab.call("audit.py", "--record", "0").code == 0
    assert not list((lab.root / "runs/t1").glob(".audit-*")), "the next one clears up"


def test_it_is_for_the_person(lab: Lab) -> None:
    rules = json.loads((PROJECT / "opencode.json").read_text())["permission"]["bash"]
    assert {rules["*tools/audit*"], rules["*audit.py*"]} == {"deny"}
    assert "audit" not in lab.call("status.py").out
    assert "exit codes: 0 it holds, 1 it does not, 2 refused" in lab.call("audit.py", "--help").out
