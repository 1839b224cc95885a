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
from hypothesis import given
from hypothesis import strategies as st

import train
from device import Limits, estimated_peak, known_peak
from vitals import Vitals

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
    SOFTCAP=15.0,
    PAIR_ROWS=3,
    PAIR_LR=1.0,
)


def make_config(**changes: Any) -> dict[str, Any]:
    return {**train.model_config(HP, VOCAB, CONTEXT, torch.float32, "plain"), **changes}


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


H100 = Limits(989.4e12, 84 * 10**9, 300.0)


def fitted(limits: Limits, **pinned: int) -> SimpleNamespace:
    given = SimpleNamespace(**vars(train.hyperparameters("full")) | pinned)
    return train.fit(given, limits, 8192, 2048, torch.bfloat16)


def test_an_h100_gets_what_was_found_on_one():
    hp, given = fitted(H100), train.hyperparameters("full")
    assert (hp.DEPTH, hp.WIDTH, hp.TOTAL_BATCH, hp.DEVICE_BATCH_SIZE) == (9, 640, 2**18, 128)
    assert (hp.MATRIX_LR, hp.HEAD_LR) == (given.MATRIX_LR, given.HEAD_LR)
    assert given.DEPTH is None, "fit changes a copy"


@pytest.mark.parametrize(
    ("name", "gigabytes", "sizes"),
    [
        ("NVIDIA B200", 190, (10, 768, 2**19, 128)),
        ("NVIDIA A100-SXM4-80GB", 84, (7, 512, 2**17, 64)),
        ("NVIDIA GeForce RTX 4090", 25, (7, 512, 2**17, 32)),
        ("NVIDIA GeForce RTX 3090", 25, (6, 384, 2**16, 32)),
        ("NVIDIA GeForce RTX 3060", 12.6, (5, 384, 2**15, 16)),
        ("NVIDIA L4", 23.6, (6, 384, 2**16, 32)),
        ("Tesla T4", 15.6, (4, 256, 2**15, 16)),
    ],
)
def test_sizes_go_with_the_machine(name, gigabytes, sizes):
    peak = known_peak(name)
    assert peak is not None
    hp = fitted(Limits(peak, int(gigabytes * 1e9), 300.0))
    assert sizes == (hp.DEPTH, hp.WIDTH, hp.TOTAL_BATCH, hp.DEVICE_BATCH_SIZE)


def test_what_is_pinned_stays():
    hp = fitted(Limits(71e12, 25 * 10**9, 300.0), DEPTH=4, TOTAL_BATCH=2**15)
    assert (hp.DEPTH, hp.WIDTH, hp.TOTAL_BATCH) == (4, 256, 2**15)
    assert hp.MATRIX_LR == train.FULL_MATRIX_LR
    small = train.hyperparameters("small")
    assert train.fit(small, H100, 4096, 256, torch.float32) == small


@given(st.floats(1e11, 1e16), st.floats(1.0, 8.0), st.integers(2**32, 2**38), st.floats(10, 3600))
def test_more_compute_is_never_answered_with_less(flops, times, memory, seconds):
    less, more = (fitted(Limits(peak, memory, seconds)) for peak in (flops, flops * times))
    assert less.DEPTH <= more.DEPTH and less.WIDTH <= more.WIDTH and less.TOTAL_BATCH <= more.TOTAL_BATCH
    assert less.MATRIX_LR <= more.MATRIX_LR
    roomy = fitted(Limits(flops, 2 * memory, seconds))
    assert less.DEVICE_BATCH_SIZE <= roomy.DEVICE_BATCH_SIZE
    assert less.TOTAL_BATCH % (less.DEVICE_BATCH_SIZE * 2048) == 0


def test_an_unknown_gpu_is_estimated_near_its_like():
    for sms, capability, sheet in ((132, (9, 0), 989e12), (108, (8, 0), 312e12), (82, (8, 6), 71e12)):
        assert estimated_peak(sms, capability) == pytest.approx(sheet, rel=0.2)
    assert known_peak("NVIDIA L40S") == 362e12 and known_peak("NVIDIA Unknown 1") is None


def test_memory_by_arithmetic_is_what_autograd_keeps():
    """What waits for the backward pass, without the weights and what the device shares between layers."""
    hp = SimpleNamespace(**vars(HP) | {"LOSS_ROWS": 16})
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    config = make_config(attention="sdpa", windows=[CONTEXT] * 3)
    model, x = train.build_model(config), some_tokens(64)
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = train.training_loss(model, x, x, 16)
    kept = {pointer: size for pointer, size in kept.items() if pointer not in own}
    assert loss.isfinite()
    vectors = 4 * x.numel() * HP.WIDTH * (19 * HP.DEPTH + 3)
    assert sum(kept.values()) == pytest.approx(vectors, rel=0.25)
    whole = train.memory_needed(hp, 64, VOCAB, CONTEXT, torch.float32)
    assert vectors < whole < vectors + 16 * sum(p.numel() for p in model.parameters()) * 1.1 + 12 * 16 * VOCAB


@pytest.mark.parametrize(("profile", "context"), [("full", 2048), ("small", 256)])
def test_profiles_are_consistent(profile, context):
    hp = fitted(H100) if profile == "full" else train.hyperparameters("small")
    assert hp.TOTAL_BATCH % (hp.DEVICE_BATCH_SIZE * context) == 0
    assert hp.WIDTH % hp.HEAD_DIM == 0 and hp.WIDTH >= train.GATE_CHANNELS


def test_logits_have_the_contract_s_shape_and_are_finite_when_called_bare():
    model = train.build_model(json.loads(json.dumps(make_config())))
    with torch.inference_mode():
        logits = model(some_tokens(2, 9))
    assert logits.shape == (2, 9, VOCAB) and logits.dtype == torch.float32
    assert logits.isfinite().all() and logits.abs().max() <= HP.SOFTCAP


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


@pytest.mark.parametrize("kind", ["plain", "sdpa"])
def test_a_short_window_ends_where_it_says(kind):
    """One layer of window w: a token w - 1 back still counts, one w back does not."""
    window = 4
    attend = train.WindowedAttention(make_config(attention=kind, windows=[window]), 0)
    q, k, v = torch.randn(3, 1, CONTEXT, 2, 8, generator=torch.Generator().manual_seed(0))
    was = attend(q, k, v)
    for back, matters in ((window - 1, True), (window, False)):
        changed = v.clone()
        changed[:, 10 - back] += 1
        assert ((attend(q, k, changed) - was)[:, 10].abs().max() > 1e-4) == matters


def test_windows_repeat_the_pattern_and_end_full():
    assert train.layer_windows("SSL", 5, 4, 16) == [4, 4, 16, 4, 16]
    assert train.layer_windows("S", 2, 64, 16) == [16, 16]


@pytest.mark.parametrize("kind", ["plain", "sdpa"])
def test_attention_agrees_with_the_formula(kind):
    attend = train.WindowedAttention(make_config(attention=kind, windows=[5]), 0)
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


@pytest.mark.parametrize(("rows", "cap"), [(1, 15.0), (7, 15.0), (32, 0.0), (1000, 2.0)])
def test_the_chunked_loss_is_cross_entropy(rows, cap):
    torch.manual_seed(0)
    hidden, weight = torch.randn(32, 24, requires_grad=True), torch.randn(VOCAB, 24, requires_grad=True)
    targets = torch.randint(VOCAB, (32,))
    plain = F.cross_entropy(train.soften(hidden @ weight.T, cap), targets)
    expected = torch.autograd.grad(3 * plain, (hidden, weight))
    chunked = train.HeadLoss.apply(hidden, weight, targets, rows, cap)  # type: ignore[no-untyped-call]
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
    held = [m.stack.value.numel() for m in optimizer.muon]
    held += [p.numel() for one in optimizer.adam for group in one.param_groups for p in group["params"]]
    assert sum(held) == sum(weight.numel() for weight in model.parameters())
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name
    torch.autograd.backward(train.training_loss(model, some_tokens(), some_tokens(), 8))
    gradient = dict(model.named_parameters())["blocks.0.mlp.up.weight"].grad
    assert gradient is not None
    group = next(m for m in optimizer.muon if m.stack.value.shape == (3, 4 * HP.WIDTH, HP.WIDTH))
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
    assert not any(one.state for one in optimizer.adam)
    assert not any(state.any() for m in optimizer.muon for state in m.stack[1:])


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 24)])
def test_muon_matches_a_matrix_at_a_time_from_the_papers(shape):
    """Muon (Jordan 2024) with Polar Express, NorMuon (2510.05491), cautious decay (2510.12402), in plain loops."""
    torch.manual_seed(0)
    rows, columns = shape
    ours = [torch.randn(shape) for _ in range(3)]
    plain = [p.clone() for p in ours]
    group = train.Muon(ours, lr=0.1, decay=0.2)
    means, powers = [torch.zeros(shape) for _ in ours], [torch.zeros(max(shape)) for _ in ours]
    for _ in range(3):
        for i, weight in enumerate(plain):
            g = torch.randn(shape)
            ours[i].grad.copy_(g)  # type: ignore[union-attr]
            means[i] = 0.9 * means[i] + 0.1 * g
            x = 0.1 * g + 0.9 * means[i]
            x = x / (1.02 * x.norm() + 1e-6)
            for a, b, c in train.POLAR_EXPRESS:
                x = a * x + b * x @ x.T @ x + c * x @ x.T @ x @ x.T @ x
            axis = 1 if rows >= columns else 0
            powers[i] = 0.95 * powers[i] + 0.05 * x.square().mean(axis)
            even = x / powers[i].clamp_min(1e-10).sqrt().unsqueeze(axis)
            update = even * x.norm() / even.norm()
            decayed = torch.where(update * weight >= 0, 0.2 * weight, torch.zeros(()))
            plain[i] = weight - 0.1 * max(1, rows / columns) ** 0.5 * (update + decayed)
        train.muon_update(group.stack, 0.1, 0.2, 0.9, 5, torch.float32)
    torch.testing.assert_close(torch.stack(ours), torch.stack(plain), atol=1e-4, rtol=1e-3)


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
    vocab_size, sequence_length, progress, limits = VOCAB, CONTEXT, 0.5, H100

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

    def vitals(self, model, attention):
        return Vitals(model, attention, VOCAB)

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
    assert "attention plain" in capsys.readouterr().out


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
    assert str(caught.value).startswith(f"train: out of memory at B={train.SMALL_DEVICE_BATCH_SIZE}: set SMALL_")


def test_vitals_measure_gradients_updates_and_scores():
    model = make_model()
    optimizer = train.build_optimizer(model, HP, torch.float32)
    vitals, x = Vitals(model, train.WindowedAttention, VOCAB), some_tokens(4)
    torch.autograd.backward(train.training_loss(model, x, x, 8))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    vitals.before_step(0)
    optimizer.step(1.0, 0.9, 1.0)
    signs = vitals.after_step(x)
    assert all(value.ndim == 0 and value.isfinite() for value in signs.values())
    head = model.head.weight
    assert signs["grad_head"] == pytest.approx(torch.as_tensor(head.grad).norm().item())
    moved = (head - before["head.weight"])[::8].norm() / before["head.weight"][::8].norm()
    assert signs["update_head"] == pytest.approx(moved.item())
    assert {name for name in signs if name.startswith("grad_")} == {"grad_embedding", "grad_head", "grad_matrix"}
    assert 0 < signs["score"] <= HP.HEAD_DIM**0.5 + 1e-4  # which is what QK norm promises
    assert not any(module._forward_pre_hooks for module in model.modules())
    grads: dict[str, Any] = dict(model.named_parameters())
    with torch.no_grad():
        grads["blocks.0.mlp.up.weight"].grad[: HP.WIDTH] = 0
    assert vitals.after_step(x)["dead"] == pytest.approx(0.25)


def test_vitals_change_nothing():
    def steps(look: bool) -> list[torch.Tensor]:
        model = make_model()
        optimizer = train.build_optimizer(model, HP, torch.float32)
        vitals, x = Vitals(model, train.WindowedAttention, VOCAB), some_tokens(4)
        for _ in range(3):
            torch.autograd.backward(train.training_loss(model, x, x, 8))
            if look:
                vitals.before_step(0)
            optimizer.step(1.0, 0.9, 1.0)
            if look:
                vitals.after_step(x)
            optimizer.zero_grad()
        return [p.detach() for p in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(steps(True), steps(False), strict=True))


# What a GPU does, without one


def test_the_full_size_has_the_right_shapes_and_fits_an_h100():
    """On meta tensors, which have shapes and types but no numbers."""
    hp, vocab, context, dtype = fitted(H100), 8192, 2048, torch.bfloat16
    with torch.device("meta"):
        model = train.build_model(train.model_config(hp, vocab, context, dtype, "sdpa"))
        tokens = torch.zeros(2, context, dtype=torch.int64)
        logits = model(tokens)
        assert (logits.shape, logits.dtype) == ((2, context, vocab), torch.float32)
        assert model.trunk(tokens).dtype == dtype
        torch.autograd.backward(train.training_loss(model, tokens, tokens, hp.LOSS_ROWS))
    grads = {name: p.grad for name, p in model.named_parameters()}
    assert all(grad is not None and grad.dtype == torch.float32 for grad in grads.values())
    weights = sum(p.numel() for p in model.parameters())
    needed = train.memory_needed(hp, 128, vocab, context, dtype)
    assert 16 * weights < needed < 0.8 * H100.memory < train.memory_needed(hp, 256, vocab, context, dtype)


def fake_flash(q: Any, k: Any, v: Any, causal: bool, window_size: tuple[int, int]) -> torch.Tensor:
    """flash_attn_func by its documentation: window_size counts the tokens before and after, -1 is all of them."""
    assert causal and window_size[1] == 0
    ago = torch.arange(q.size(1))[:, None] - torch.arange(k.size(1))
    hidden = (ago < 0) | ((ago > window_size[0]) & (window_size[0] >= 0))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.size(-1))
    y: torch.Tensor = torch.einsum("bhqk,bkhd->bqhd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)
    return y


class OnCuda(torch.Tensor):
    is_cuda = True


@pytest.mark.parametrize("kind", ["sdpa", "fa3", "flex"])
def test_every_kernel_gives_the_logits_of_the_plain_one(monkeypatch, kind):
    plain, x = make_model(attention="plain"), some_tokens()
    monkeypatch.setattr(train, "flash_attention", lambda: SimpleNamespace(flash_attn_func=fake_flash))
    model = make_model(attention=kind)
    forward = train.WindowedAttention.forward
    if kind == "fa3":

        def on_cuda(self: train.WindowedAttention, q: torch.Tensor, *kv: torch.Tensor) -> torch.Tensor:
            return forward(self, q.as_subclass(OnCuda), *kv).as_subclass(torch.Tensor)

        monkeypatch.setattr(train.WindowedAttention, "forward", on_cuda)
    if kind == "flex":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        for module in model.modules():
            if isinstance(module, train.WindowedAttention):
                module.use_flex(torch.device("cpu"))
    with torch.no_grad():  # flex_attention has no backward pass on a CPU
        torch.testing.assert_close(model(x), plain(x), atol=1e-4, rtol=1e-4)


def test_flops_are_what_pytorch_counts():
    """But for attention, where PyTorch counts what the mask hides as well."""
    from torch.utils.flop_counter import FlopCounterMode

    model, x = make_model(), some_tokens()
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(train.training_loss(model, x, x, 8))
    windows = model.config["windows"]
    keys = sum((w * (w + 1) / 2 + (CONTEXT - w) * w) / CONTEXT for w in windows)
    hidden = 12 * HP.WIDTH * (CONTEXT * len(windows) - keys)
    assert counter.get_total_flops() / x.numel() == pytest.approx(train.flops_per_token(model) + hidden)
