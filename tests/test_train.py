"""train.py: the model, the loss, the optimizer and the schedules, on tiny sizes."""

import copy
import gc
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import train

ROOT = Path(__file__).parent.parent
VOCAB, CONTEXT = 61, 16

HP = SimpleNamespace(
    DEPTH=3,
    WIDTH=64,
    HEAD_DIM=32,
    WINDOW_PATTERN="SL",
    SHORT_WINDOW=4,
    EMBEDDING_LR=0.3,
    HEAD_LR=0.01,
    MATRIX_LR=0.02,
    MATRIX_DECAY=0.1,
    POLAR_STEPS=5,
)


def make_config(**changes: Any) -> dict[str, Any]:
    return {**train.model_config(HP, VOCAB, CONTEXT, torch.float32, "sdpa"), **changes}


def make_model(**changes: Any) -> train.GPT:
    """A model whose zero-initialized outputs are filled, so that every path carries something."""
    torch.manual_seed(0)
    model = train.build_model(make_config(**changes))
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.2)
    return model


def some_tokens(rows: int = 2, length: int = CONTEXT) -> torch.Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(1))


def test_importing_has_no_effects(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import train"
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_both_profiles_name_the_same_constants():
    full, small = (vars(train.hyperparameters(profile)) for profile in ("full", "small"))
    assert full.keys() == small.keys()
    assert full["DEPTH"] == train.FULL_DEPTH and small["DEPTH"] == train.SMALL_DEPTH


@pytest.mark.parametrize(("profile", "context"), [("full", 2048), ("small", 256)])
def test_profiles_are_consistent(profile, context):
    hp = train.hyperparameters(profile)
    assert hp.TOTAL_BATCH % (hp.DEVICE_BATCH_SIZE * context) == 0
    assert hp.WIDTH % hp.HEAD_DIM == 0 and hp.WIDTH >= train.GATE_CHANNELS


def test_logits_have_the_contract_s_shape_and_are_finite_when_called_bare():
    model = train.build_model(json.loads(json.dumps(make_config())))
    with torch.inference_mode():
        logits = model(some_tokens(2, 9))
    assert logits.shape == (2, 9, VOCAB) and logits.dtype == torch.float32
    assert logits.isfinite().all() and logits.abs().max() <= train.SOFTCAP


def test_a_low_precision_model_keeps_its_weights_in_float32():
    model, exact = make_model(dtype="bfloat16"), make_model()
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.trunk(some_tokens()).dtype == torch.bfloat16
    torch.testing.assert_close(model(some_tokens()), exact(some_tokens()), atol=0.25, rtol=0.1)


def test_the_model_starts_at_even_odds():
    logits = train.build_model(make_config())(some_tokens())
    loss = F.cross_entropy(logits.flatten(0, 1), some_tokens().flatten())
    assert abs(loss.item() - math.log(VOCAB)) < 0.02


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 8, CONTEXT - 1])
def test_logits_never_look_ahead(cut):
    model, before = make_model(), some_tokens()
    after = before.clone()
    after[:, cut:] = (after[:, cut:] + 1) % VOCAB
    was, now = model(before), model(after)
    torch.testing.assert_close(was[:, :cut], now[:, :cut], atol=1e-5, rtol=0)
    assert (was[:, cut] - now[:, cut]).abs().max() > 1e-3


def test_a_short_window_ends_where_it_says():
    """One layer of window w: a token w - 1 back still counts, one w back does not."""
    window = 4
    attend = train.WindowedAttention(window, CONTEXT, "sdpa")
    q, k, v = torch.randn(3, 1, CONTEXT, 2, 8, generator=torch.Generator().manual_seed(0))
    was = attend(q, k, v)
    for back, matters in ((window - 1, True), (window, False)):
        changed = v.clone()
        changed[:, 10 - back] += 1
        assert ((attend(q, k, changed) - was)[:, 10].abs().max() > 1e-4) == matters


def test_windows_repeat_the_pattern_and_end_full():
    assert train.layer_windows("SSL", 5, 4, 16) == [4, 4, 16, 4, 16]
    assert train.layer_windows("S", 2, 64, 16) == [16, 16]


def test_attention_kinds_agree_with_plain_attention():
    attend = train.WindowedAttention(5, CONTEXT, "sdpa")
    q, k, v = torch.randn(3, 2, CONTEXT, 2, 8, generator=torch.Generator().manual_seed(0))
    ago = torch.arange(CONTEXT)[:, None] - torch.arange(CONTEXT)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(8)
    weights = scores.masked_fill((ago < 0) | (ago >= 5), -torch.inf).softmax(-1)
    torch.testing.assert_close(attend(q, k, v), torch.einsum("bhqk,bkhd->bqhd", weights, v))


def test_rotation_depends_on_distance_alone():
    angles = train.rotary_angles(CONTEXT, 8)[:, None, :]
    cos, sin = angles.cos(), angles.sin()
    q, k = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    spread = [train.rotate(x.expand(1, CONTEXT, 1, 8), cos, sin)[0, :, 0] for x in (q, k)]
    scores = spread[0] @ spread[1].T
    for distance in (0, 1, 3):
        torch.testing.assert_close(scores.diagonal(distance), scores[0, distance].expand(CONTEXT - distance))
    torch.testing.assert_close(scores[0, 0], q @ k)


@pytest.mark.parametrize("rows", [1, 7, 32, 1000])
def test_the_chunked_loss_is_cross_entropy(rows):
    torch.manual_seed(0)
    hidden, weight = torch.randn(32, 24, requires_grad=True), torch.randn(VOCAB, 24, requires_grad=True)
    targets = torch.randint(VOCAB, (32,))
    plain = F.cross_entropy(train.SOFTCAP * torch.tanh(hidden @ weight.T / train.SOFTCAP), targets)
    expected = torch.autograd.grad(3 * plain, (hidden, weight))
    chunked = train.HeadLoss.apply(hidden, weight, targets, rows)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(chunked, plain)
    torch.testing.assert_close(torch.autograd.grad(3 * chunked, (hidden, weight)), expected)


def test_the_training_loss_is_that_of_the_logits():
    model, x, y = make_model(), some_tokens(), some_tokens().roll(-1, 1)
    expected = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
    torch.testing.assert_close(train.training_loss(model, x, y, rows=5), expected)


def test_flops_against_a_count_by_hand():
    width, heads = HP.WIDTH, HP.WIDTH // HP.HEAD_DIM
    matrices = 3 * (4 * width**2 + 8 * width**2) + 2 * heads * train.GATE_CHANNELS + VOCAB * width
    short = (1 + 2 + 3 + 4 * 13) / CONTEXT  # keys seen by tokens 1, 2, 3, then 4 by each of the other 13
    full = sum(range(1, CONTEXT + 1)) / CONTEXT
    expected = 6 * matrices + 12 * width * (short + full + full)
    assert make_config()["windows"] == [4, 16, 16]
    assert train.flops_per_token(make_model()) == pytest.approx(expected)


def test_the_learning_rate_rises_stays_and_falls():
    def scale(progress: float, warmup: float = 0.1) -> float:
        return train.learning_rate_scale(progress, warmup, 0.5, 0.05)

    assert 0 < scale(0.0) < scale(0.05) < scale(0.1) == 1 == scale(0.5)
    assert scale(0.75) == pytest.approx(0.525) and scale(1.0) == pytest.approx(0.05)
    assert scale(0.0, warmup=0.0) == 1
    assert train.learning_rate_scale(1.0, 0.0, 0.0, 0.05) == 1
    assert 0 < train.learning_rate_scale(0.5, 0.6, 0.9, 0.05) < 1


def test_momentum_and_decay_at_their_ends():
    start, end = train.MOMENTUM_START, train.MOMENTUM_END
    assert train.momentum_at(0.0, 0.2) == start and train.momentum_at(0.0, 0.0) == end
    assert train.momentum_at(0.2, 0.2) == pytest.approx(end) == train.momentum_at(1.0, 0.2)
    assert (train.decay_scale(0.0), train.decay_scale(1.0)) == (1, 0)


@pytest.mark.parametrize("shape", [(32, 32), (96, 24), (24, 96)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape):
    g = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    values = torch.linalg.svdvals(train.orthogonalize(g, 5, torch.float32))
    assert values.min() > 0.7 and values.max() < 1.3


def test_parameters_and_gradients_live_in_their_group():
    model = make_model()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    optimizer = train.build_optimizer(model, HP, torch.float32)
    held = sum(group.stack.value.numel() for group in optimizer.groups)
    assert held == sum(weight.numel() for weight in model.parameters())
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name
    torch.autograd.backward(train.training_loss(model, some_tokens(), some_tokens(), 8))
    gradient = dict(model.named_parameters())["blocks.0.mlp.up.weight"].grad
    assert gradient is not None
    group = next(g for g in optimizer.groups if g.stack.value.shape == (3, 4 * HP.WIDTH, HP.WIDTH))
    torch.testing.assert_close(group.stack.grad[0], gradient)
    optimizer.zero_grad()
    assert not gradient.any()


def test_warming_up_changes_nothing():
    model = make_model()
    optimizer = train.build_optimizer(model, HP, torch.float32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train.warm_up(lambda x, y: train.training_loss(model, x, y, 8), optimizer, some_tokens(), some_tokens())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert optimizer.steps == 0
    assert not any(state.any() for g in optimizer.groups for state in g.stack[1:])


def test_adamw_matches_pytorch():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(5, 4)) for _ in range(2))
    optimizer = train.MuonAdamW([train.Group("adamw", [ours], 0.1, decay=0.02)], 5, torch.float32)
    reference = torch.optim.AdamW([theirs], 0.1, betas=train.ADAM_BETAS, eps=1e-10, weight_decay=0.02)
    for _ in range(5):
        gradient = torch.randn(5, 4)
        optimizer.groups[0].stack.grad[0], theirs.grad = gradient, gradient.clone()
        optimizer.step(1.0, 0.9, 1.0)
        reference.step()
    torch.testing.assert_close(ours, theirs)


def test_a_tiny_model_overfits_one_batch():
    torch.manual_seed(0)
    model = train.build_model(make_config())
    optimizer = train.build_optimizer(model, HP, torch.float32)
    x, y = some_tokens(4), some_tokens(4).roll(-1, 1)
    losses = []
    for _ in range(20):
        loss = train.training_loss(model, x, y, 16)
        torch.autograd.backward(loss)
        optimizer.step(1.0, 0.9, 1.0)
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]


def test_weights_survive_a_file_without_pickle():
    model = make_model()
    train.build_optimizer(model, HP, torch.float32)  # the saved tensors are then views of its buffers
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = train.build_model(make_config())
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again(some_tokens()), model(some_tokens()))


class FakeRun:
    """As much of prepare's run as `train.train` touches, with the same few rows at every step."""

    device, compute_dtype, profile, peak_flops = torch.device("cpu"), torch.float32, "small", None
    vocab_size, sequence_length, progress = VOCAB, CONTEXT, 0.5

    def __init__(self, steps: int) -> None:
        self.steps, self.losses = steps, list[float]()
        self.finished: Any = None

    def dummy_batch(self, rows):
        return some_tokens(rows), some_tokens(rows)

    def batches(self, rows, accum):
        x = some_tokens(rows * accum)
        for _ in range(self.steps):
            yield [(x[i : i + rows], x.roll(-1, 1)[i : i + rows]) for i in range(0, len(x), rows)]

    def log(self, step, loss, **numbers):
        self.losses.append(float(loss))

    def finish(self, model, config, **facts):
        self.finished = (model, config, facts)


@pytest.fixture
def collector():
    """The loop turns Python's garbage collector off."""
    yield
    gc.unfreeze()
    gc.enable()


def loop_settings(rows: int, total: int) -> SimpleNamespace:
    loop = {"LOSS_ROWS": 8, "WARMUP": 0.0, "WARMDOWN": 0.5, "FINAL_LR": 0.0, "MOMENTUM_RAMP": 0.1}
    return SimpleNamespace(**vars(HP), **loop, DEVICE_BATCH_SIZE=rows, TOTAL_BATCH=total)


def test_the_loop_accumulates_over_microbatches(monkeypatch, capsys, collector):
    """Four microbatches of a row are one batch of the same four rows. (Where all outputs are still zero, some
    gradients are rounding noise that AdamW makes whole steps of: so from a filled model.)"""
    filled = make_model()
    monkeypatch.setattr(train, "build_model", lambda config: copy.deepcopy(filled))
    split, whole = FakeRun(4), FakeRun(4)
    train.train(split, loop_settings(1, 4 * CONTEXT))
    train.train(whole, loop_settings(4, 4 * CONTEXT))
    assert split.losses == pytest.approx(whole.losses, rel=1e-3)
    assert split.losses[-1] < split.losses[0]
    model, config, facts = split.finished
    assert facts == {"flops_per_token": train.flops_per_token(model), "depth": 3}
    assert json.loads(json.dumps(config)) == config
    assert "attention sdpa" in capsys.readouterr().out


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(SystemExit, match="train: TOTAL_BATCH 100 is no multiple"):
        train.train(FakeRun(1), loop_settings(2, 100))


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_ends_with_one_line(monkeypatch, kind):
    def exhaust(run, hp):
        raise kind("CUDA out of memory" if kind is torch.OutOfMemoryError else "you can't allocate memory")

    monkeypatch.setattr("prepare.start_run", lambda: FakeRun(1))
    monkeypatch.setattr(train, "train", exhaust)
    with pytest.raises(SystemExit) as caught:
        train.main()
    assert str(caught.value).startswith(f"train: out of memory at B={train.SMALL_DEVICE_BATCH_SIZE}: lower SMALL_")


def test_vitals_measure_gradients_updates_and_scores():
    model = make_model()
    optimizer = train.build_optimizer(model, HP, torch.float32)
    vitals, x = train.Vitals(model), some_tokens(4)
    train.training_loss(model, x, x, 8).backward()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    vitals.before_step()
    optimizer.step(1.0, 0.9, 1.0)
    signs = vitals.after_step(x)
    assert all(value.ndim == 0 and value.isfinite() for value in signs.values())
    head = model.head.weight
    assert signs["grad_head"] == pytest.approx(head.grad.norm().item())
    moved = (head - before["head.weight"])[::8].norm() / before["head.weight"][::8].norm()
    assert signs["update_head"] == pytest.approx(moved.item())
    assert {name for name in signs if name.startswith("grad_")} == {"grad_embedding", "grad_head", "grad_matrix"}
    assert 0 < signs["score"] <= HP.HEAD_DIM**0.5 + 1e-4  # which is what QK norm promises
    assert not any(module._forward_pre_hooks for module in model.modules())
    with torch.no_grad():
        model.blocks[0].mlp.up.weight.grad[: HP.WIDTH] = 0
    assert vitals.after_step(x)["dead"] == pytest.approx(0.25)


def test_vitals_change_nothing():
    def steps(look: bool) -> list[torch.Tensor]:
        model = make_model()
        optimizer = train.build_optimizer(model, HP, torch.float32)
        vitals, x = train.Vitals(model), some_tokens(4)
        for _ in range(3):
            train.training_loss(model, x, x, 8).backward()
            if look:
                vitals.before_step()
            optimizer.step(1.0, 0.9, 1.0)
            if look:
                vitals.after_step(x)
            optimizer.zero_grad()
        return [p.detach() for p in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(steps(True), steps(False), strict=True))
