"""The real client, the embedded researcher and real training through a whole campaign.

A baseline, an experiment that is kept, one that is discarded, a crash that nobody can fix, a crash that is fixed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness import demo

from .lab import TAG, Lab

IDEAS = Path(__file__).parent / "ideas.json"
START = {"SMALL_MATRIX_LR": "0.0008", "SMALL_EMBEDDING_LR": "0.006"}  # so low that setting them right must win
EXPERIMENTS = 4


@pytest.fixture(scope="module")
def campaign(programs: tuple[Path, Path], cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A finished campaign. What the client told about it is in `events.json`."""
    lab = Lab(tmp_path_factory.mktemp("campaign"), *programs, cache)
    lab.build(lambda train: demo.set_back(train, START)[0])
    with lab.researcher(IDEAS, EXPERIMENTS) as address:
        events = lab.turn("Start the research.", address)
    (lab.folder / "events.json").write_text(json.dumps(events))
    return lab


@pytest.fixture
def events(campaign: Lab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((campaign.folder / "events.json").read_text())
    return found


@pytest.fixture
def table(campaign: Lab) -> list[list[str]]:
    """results.tsv without its header."""
    lines = (campaign.repo / "results.tsv").read_text().splitlines()
    assert lines[0] == "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
    return [line.split("\t") for line in lines[1:]]


def runs(campaign: Lab) -> list[Path]:
    return sorted((campaign.repo / "runs" / TAG).glob("[0-9]*-*"))


def test_the_turn_ends_because_the_researcher_ends_it(events: list[dict[str, Any]]):
    assert not [event for event in events if event["type"] == "error"]
    texts = [event["part"]["text"] for event in events if event["type"] == "text"]
    assert texts[-1] == f"{EXPERIMENTS} experiments are logged in results.tsv, as many as I was told to make."


def test_the_ledger_has_one_row_for_each_experiment(table: list[list[str]]):
    statuses = {re.sub(r"^\[|[=\] ].*", "", row[4]): row[3] for row in table}
    wanted = {"baseline": "keep", "rates": "keep", "no-rates": "discard", "typo": "crash", "heads": "discard"}
    assert list(statuses.items()) == list(wanted.items()) and len(table) == len(wanted)
    assert table[3][1:3] == ["0.000000", "0.0"]
    baseline, kept, worse = (float(table[i][1]) for i in (0, 1, 2))
    assert kept < baseline and kept < worse


def test_the_branch_is_at_what_was_kept_and_the_rest_is_reachable(campaign: Lab, table: list[list[str]]):
    git = campaign.git
    assert git("rev-parse", "--abbrev-ref", "HEAD") == f"autoresearch/{TAG}"
    assert git("log", "--format=%s", f"main..autoresearch/{TAG}").splitlines() == [
        "exp: [rates=0.04] learning rates as they were "
        "(SMALL_MATRIX_LR 0.0008 -> 0.04, SMALL_EMBEDDING_LR 0.006 -> 0.3)"
    ]
    assert git("rev-parse", "HEAD").startswith(table[1][0])
    assert git("status", "--porcelain") == ""
    fields = "%(refname) %(objectname) %(parent)"
    listed = git("for-each-ref", f"--format={fields}", f"refs/autoresearch/{TAG}")
    refs = [line.split() for line in listed.splitlines()]
    assert len(refs) == 6  # the baseline, four ideas, one fix
    main, tip = git("rev-parse", "main"), git("rev-parse", "HEAD")
    assert refs[0][1] == main and [ref[2] for ref in refs[1:]] == [main, tip, tip, tip, tip]
    commits = [ref[1] for ref in refs]
    for commit in commits[1:]:
        assert git("diff", "--name-only", f"{commit}^", commit) == "train.py"
    assert {row[0] for row in table} <= {commit[:7] for commit in commits}


def test_the_records_and_the_ledger_agree(campaign: Lab, table: list[list[str]]):
    by_commit = {path.name.split("-")[1]: path for path in runs(campaign)}
    for commit, score, _, status, _ in table:
        path = by_commit[commit]
        record = json.loads((path / "record.json").read_text())
        if float(score) == 0:  # a discard without a score was stopped by its curve
            outcome = {"crash": "crashed", "discard": "stopped"}[status]
            assert record["outcome"] == outcome and record["val_bpb"] is None
        else:
            assert record["outcome"] == "finished" and f"{record['val_bpb']:.6f}" == score
            assert f"val_bpb: {record['val_bpb']:.6f}"[:16] in re.sub(" +", " ", (path / "run.log").read_text())
        assert json.loads((path / "decision.json").read_text())["status"] == status
        snapshot = campaign.git("show", f"{commit}:train.py")
        assert (path / "train.py").read_text().strip() == snapshot
        assert (path / "prepare.py").read_text() == (campaign.repo / "prepare.py").read_text()
    assert len(runs(campaign)) == 6


def conversation(campaign: Lab) -> list[dict[str, Any]]:
    """All that the model was told by the end: the messages of its last request that could use tools."""
    asked = [entry["request"] for entry in campaign.requests if entry["request"].get("tools")]
    messages: list[dict[str, Any]] = asked[-1]["messages"]
    return messages


def test_the_model_was_told_of_the_skill_and_loaded_it(campaign: Lab):
    messages = conversation(campaign)
    system, skill = messages[0]["content"], (campaign.repo / "SKILL.md").read_text()
    description = re.search(r"^description: (.+)$", skill, re.MULTILINE)
    assert description is not None and "<name>autoresearch</name>" in system and description[1] in system
    assert (campaign.repo / "AGENTS.md").read_text().strip() in system
    call, answer = messages[2]["tool_calls"][0]["function"], messages[3]["content"]
    assert (call["name"], json.loads(call["arguments"])) == ("skill", {"name": "autoresearch"})
    assert skill.partition("\n---\n")[2].strip() in answer


def test_the_model_saw_the_output_of_every_tool_call(campaign: Lab, events: list[dict[str, Any]]):
    told = {m["tool_call_id"]: m["content"] for m in conversation(campaign) if m["role"] == "tool"}
    done = {e["part"]["callID"]: e["part"]["state"] for e in events if e["type"] == "tool_use"}
    assert told.keys() == done.keys() and len(told) > 30
    for name, state in done.items():
        assert state["status"] == "completed" and told[name] == state["output"] != ""


def test_the_model_was_told_to_come_back_and_did(campaign: Lab):
    answers = [m["content"] for m in conversation(campaign) if m["role"] == "tool"]
    assert sum("next: scripts/run_experiment.sh --wait" in answer for answer in answers) >= 4
    assert any("F.reluu" in answer or "reluu" in answer for answer in answers), "the crash's cause was not shown"


def test_the_title_was_asked_for_and_given(campaign: Lab):
    prose = [r["answer"]["content"] for r in campaign.requests if not r["request"].get("tools")]
    assert prose == ["Autoresearch on train.py"]
