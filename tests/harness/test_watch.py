"""status --watch: it follows the checkout, whatever is done in it, and touches nothing."""

from __future__ import annotations

import time

from harness.watch import Watcher, every_second

from tests.harness.lab import Lab


def test_it_looks_again_only_when_something_has_happened(lab: Lab) -> None:
    watcher = Watcher(lab.root)
    before = watcher.look()
    assert before is not None and watcher.is_new and len(before.experiments) == 1
    assert watcher.look() is before and not watcher.is_new
    lab.try_idea(SCORE=1.6)
    tried = watcher.look()
    assert tried is not None and watcher.is_new and len(tried.experiments) == 2
    assert watcher.look() is tried
    lab.log()
    decided = watcher.look()
    assert decided is not None and decided.experiments[1].decision is not None


def test_it_follows_a_switch_of_the_branch(lab: Lab) -> None:
    watcher = Watcher(lab.root)
    first = watcher.look()
    assert first is not None and first.branch.tag == "t1"

    lab.git("switch", "-q", "--detach")
    assert watcher.look() is None
    assert "git switch" in watcher.trouble and "\n" not in watcher.trouble

    lab.git("switch", "-qc", "autoresearch/t2")
    other = watcher.look()
    assert other is not None and other.branch.tag == "t2" and other.campaign is None

    lab.git("switch", "-q", "autoresearch/t1")
    again = watcher.look()
    assert again is not None and len(again.experiments) == 1


def test_the_run_in_progress_moves(lab: Lab) -> None:
    watcher = Watcher(lab.root)
    lab.edit(SCORE=1.4, STEP=0.6)
    command = lab.start("run_experiment.py", "-m", "exp: slow", "--wait", "120")
    shown: set[float] = set()
    while command.poll() is None:
        now = watcher.look()
        if now is not None and (running := watcher.running(now)) is not None:
            shown.add(running.share)
        time.sleep(0.1)
    command.communicate()
    assert len(shown) > 2, "it was seen to get on"
    ended = watcher.look()
    assert ended is not None and watcher.running(ended) is None


def test_it_changes_nothing(lab: Lab) -> None:
    (lab.root / "results.tsv").unlink()
    before = sorted(path for path in lab.root.rglob("*") if ".git" not in path.parts)
    assert Watcher(lab.root).look() is not None
    assert sorted(path for path in lab.root.rglob("*") if ".git" not in path.parts) == before


def test_it_draws_until_it_is_to_end() -> None:
    drawn: list[int] = []
    every_second(lambda: drawn.append(1), until=lambda: len(drawn) == 2)
    assert len(drawn) == 2
