"""The catalogue against train.py as it is: every idea applies and trains, or crashes as its fix expects."""

from __future__ import annotations

import ast
import gc
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from researcher.catalogue import Idea, load
from researcher.server import CATALOGUE
from researcher.trainfile import Edit, TrainFile

IDEAS = list(load(CATALOGUE).ideas.values())
TEXT = (Path(__file__).parents[2] / "train.py").read_text(encoding="utf-8")
PROFILES = ("small", "full")
SMALLER = 4  # so many times shorter are context and batch than in the profile small
VOCABULARY, CONTEXT, STEPS = 256, 256 // SMALLER, 2

by_id = pytest.mark.parametrize("idea", IDEAS, ids=lambda idea: idea.id)


def attempts(idea: Idea, profile: str) -> Iterator[tuple[str, TrainFile]]:
    """Each value of the idea that changes train.py, and the file then."""
    train, catalogue = TrainFile(TEXT, profile), load(CATALOGUE)
    for label in idea.labels(train):
        proposal = catalogue.propose(label, train)
        if proposal is not None:
            yield label, changed(train, proposal.edits)


def changed(train: TrainFile, edits: tuple[Edit, ...]) -> TrainFile:
    for edit in edits:
        after = train.edited(edit)
        assert after is not None
        train = after
    return train


def test_there_are_enough():
    assert len(IDEAS) >= 25
    assert sum(idea.fix is not None for idea in IDEAS) >= 2
    lines = {idea.id: len(train.text.splitlines()) for idea in IDEAS for _, train in attempts(idea, "small")}
    assert min(lines.values()) < len(TEXT.splitlines()), "no idea makes the code shorter"


@by_id
def test_every_idea_applies_and_compiles(idea: Idea):
    for profile in PROFILES:
        found = list(attempts(idea, profile))
        assert found, f"{idea.id} does not apply to train.py in the profile {profile}: its text has changed"
        for _, train in found:
            ast.parse(train.text)


class Run:
    """What prepare.start_run gives, without a feeder: a few batches of made-up tokens on the CPU."""

    profile, vocab_size, sequence_length, seed, peak_flops = "small", VOCABULARY, CONTEXT, 1, None
    tokens = steps = 0
    seconds = tokens_per_second = 1.0
    finished: tuple[Any, dict[str, Any]] | None = None

    def __init__(self) -> None:
        import torch

        from device import Limits

        self.device, self.compute_dtype = torch.device("cpu"), torch.float32
        self.limits = Limits(1e12, 2**34, 60.0)
        torch.manual_seed(1)

    @property
    def progress(self) -> float:
        return self.steps / STEPS

    def dummy_batch(self, rows: int, context: int | None = None) -> Any:
        import torch

        tokens = torch.randint(VOCABULARY, (rows, (context or CONTEXT) + 1))
        return tokens[:, :-1], tokens[:, 1:]

    def batches(self, rows: int, context: int | None = None, accum: int = 1) -> Iterator[list[Any]]:
        for self.steps in range(STEPS):
            yield [self.dummy_batch(rows, context) for _ in range(accum)]

    def log(self, step: int, loss: Any, **extra: Any) -> None:
        import torch

        assert torch.isfinite(torch.as_tensor(loss)).all()

    def vitals(self, model: Any, attention: Any) -> Any:
        from vitals import Vitals

        return Vitals(model, attention, VOCABULARY)

    def finish(self, model: Any, config: dict[str, Any], **extra: Any) -> None:
        self.finished = model, config


def trains(train: TrainFile, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a few steps end: an empty string, or the error."""
    import torch

    import prepare

    path = folder / "train.py"
    batch = train.setting("SMALL_TOTAL_BATCH", f"{train.value('SMALL_TOTAL_BATCH')} // {2 * SMALLER}")
    assert batch is not None
    path.write_text(changed(train, (batch,)).text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("train_tried", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    run = Run()
    monkeypatch.setattr(prepare, "start_run", lambda: run)
    # A second version of the file, as long and as young as the first, would be taken for it.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so little work a second one costs more than it brings
    try:
        spec.loader.exec_module(module)
        module.main()
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        torch.set_num_threads(threads)
        gc.unfreeze()  # the training loop does without it, the other tests do not
        gc.enable()
    assert run.finished is not None
    model, config = run.finished
    logits_agree(module, model, config)
    return "" if torch.isfinite(torch.cat([p.flatten() for p in model.parameters()])).all() else "not finite"


def logits_agree(module: types.ModuleType, model: Any, config: dict[str, Any]) -> None:
    """What the scorer relies on: the model can be made again, has the right shape, and does not look ahead."""
    import torch

    again = module.build_model(config)
    again.load_state_dict(model.state_dict())
    tokens = torch.randint(VOCABULARY, (2, CONTEXT))
    later = tokens.clone()
    later[:, CONTEXT // 2 :] = (later[:, CONTEXT // 2 :] + 1) % VOCABULARY
    with torch.inference_mode():
        one, other = again(tokens), again(later)
    assert one.shape == (2, CONTEXT, VOCABULARY)
    torch.testing.assert_close(one[:, : CONTEXT // 2], other[:, : CONTEXT // 2])


@by_id
def test_every_idea_trains_or_crashes_as_its_fix_expects(
    idea: Idea, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    label, train = next(attempts(idea, "small"))
    error = trains(train, tmp_path, monkeypatch)
    if not error:
        return
    mend = load(CATALOGUE).mend(label, train)
    assert mend is not None, f"{label} crashes and has no fix: {error}"
    assert trains(changed(train, mend.edits), tmp_path, monkeypatch) == ""


def test_some_ideas_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fixable = [next(attempts(idea, "small"))[1] for idea in IDEAS if idea.fix is not None]
    assert sum(trains(train, tmp_path, monkeypatch) != "" for train in fixable) >= 2
