"""Pretrain a small GPT for a fixed budget. This is the one file that an experiment edits.

It reads top to bottom, as a lesson does:

    1. hyperparameters    what to turn first             5. counting FLOPs    what the model costs, honestly
    2. attention          which kernel, what it sees     6. schedules         functions of progress
    3. the model          tokens in, logits out          7. the optimizer     Muon for matrices, AdamW for the rest
    4. the loss           without holding all logits     8. training          the loop

Everything below may be changed: sizes, architecture, optimizer, schedules, the loop itself. Four things tie
it to the bench. `import prepare` stays the first import. Importing this file does nothing. The batches come
from `run.batches(...)` until they end, which is when the budget is spent. And `build_model(config)` returns a
module from token ids [B, T] to logits [B, T, vocab] that never looks ahead: the scorer builds it anew in
another process, loads the weights that `run.finish` saved, and computes bits per byte itself.

In the line of nanochat and autoresearch (Andrej Karpathy) and of modded-nanogpt (Keller Jordan and others).
"""

import prepare  # before torch: it settles what torch reads from the environment

# isort: split
import functools
import gc
import math
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

# ---------------------------------------------------------------------------------------------------------
# 1. Hyperparameters
#
# A name without a prefix holds everywhere. FULL_… holds where prepare.py chose the profile `full` (a GPU, five
# minutes, context 2048), SMALL_… where it chose `small` (a laptop, 100 seconds, context 256); the first
# lines of a run's log say which. "mar8" is the best public log of such a search on an H100: branch
# exp/H100/mar8 of karpathy/autoresearch, 125 experiments, from 0.9979 to 0.9697 bits per byte.

ROPE_BASE = 200_000  # the slowest rotation takes about this many tokens a radian; mar8: 10k and 400k are worse
INIT_SCALE = 0.68  # of the usual 1/sqrt(width), for all that reads the residual stream; mar8
GATE_CHANNELS = 32  # channels of the residual stream that a value gate reads; mar8: 16 and 48 no better
X0_INIT = 0.05  # share of the first embedding mixed into every layer at the start; mar8: 0.0 costs 0.004
ADAM_BETAS = (0.8, 0.95)  # short memories, for a run of few steps; nanochat
X0_BETAS = (0.96, 0.95)  # for the x0 lambdas, whose gradients are noisier; nanochat
SCALAR_LR = 0.5  # AdamW, x0 lambdas; residual ones, which multiply up, a hundredth; mar8: 0.3 and 0.7 no better
PAIR_BETAS = (0.3, 0.95)  # of the table of pairs: hardly a momentum, since a row is seen but now and then
HEAD_DECAY = 0.01  # AdamW's weight decay of the unembedding; mar8
EMBEDDING_DECAY = 0.001  # of the embedding and the pairs; mar8: makes room for its high learning rate
VALUE_DECAY = 0.003  # of the value embeddings; mar8: worth 0.0016
MUON_BETA2 = 0.95  # memory of NorMuon's mean square per neuron; mar8: 0.90 and 0.98 are worse
MOMENTUM_START = 0.85  # Muon's momentum: short while gradients still turn fast; modded-nanogpt
MOMENTUM_END = 0.95  # and longer from MOMENTUM_RAMP on; mar8: 0.96 is worse
COMPILE_ON = ("cuda",)  # device types where torch.compile pays; a short run on a CPU does not win it back
CPU_THREADS = 1  # so small a model gains nothing from a second one, which costs its CPU-seconds: worse by 0.044

# Profile `full`: a GPU, five minutes. None: by the machine, see `fit`; write a number to pin it. The rates are for
# FIT_TOTAL_BATCH tokens a step, AdamW's for width 768, see build_optimizer.
FULL_DEPTH = None  # layers; an H100 gets FIT_DEPTH
FULL_WIDTH = None  # channels; an H100 gets FIT_WIDTH
FULL_HEAD_DIM = 128  # channels a head; what FlashAttention is quickest with
FULL_WINDOW_PATTERN = "SSSSL"  # S: short window, L: whole context; repeated, the last layer is always L; mar8
FULL_SHORT_WINDOW = 256  # tokens; mar8: a sixth of the context is slower, a tenth worse
FULL_PAIR_ROWS = 5  # rows of the table of pairs for each token of the vocabulary; modded-nanogpt #62
FULL_PAIR_LR = 0.5  # AdamW, table of pairs, in embedding learning rates; unmeasured here
FULL_SOFTCAP = 15.0  # logits are bent into ±15 (Gemma 2); mar8: 13 and 20 are worse
FULL_TOTAL_BATCH = None  # tokens a step; an H100 gets FIT_TOTAL_BATCH; a number leaves the rates below as they are
FULL_DEVICE_BATCH_SIZE = None  # rows at once, their gradients added up to TOTAL_BATCH; an H100 gets 128
FULL_LOSS_ROWS = 2**15  # tokens whose logits exist at once: a GiB of float32
FULL_EMBEDDING_LR = 0.9  # AdamW, token and value embeddings: a norm follows; mar8: 0.8 and 1.0 are worse
FULL_HEAD_LR = 0.005  # AdamW, unembedding; mar8: 0.004 and 0.006 are worse
FULL_MATRIX_LR = 0.04  # Muon; mar8: 0.035 and 0.045 are worse
FULL_MATRIX_DECAY = 0.2  # Muon's weight decay at the start; mar8: 0.15 and 0.25 are worse
FULL_POLAR_STEPS = 5  # rounds of Muon's orthogonalization, 5 at most; mar8: 4 is worse
FULL_WARMUP = 0.0  # share of the budget; mar8's "any warm-up hurts" met a bug of its own (12 steps of rate 0)
FULL_WARMDOWN = 0.75  # share of the budget over which the rate falls; mar8: 0.7 and 0.8 are worse
FULL_FINAL_LR = 0.05  # where it ends, as a share of its height; mar8: 0.03 and 0.1 are no better
FULL_MOMENTUM_RAMP = 0.1  # share of the budget; about mar8's 200 steps

# Profile `small`: one CPU core for 100 seconds (MPS: 60). Measured on the embedded corpus, vocabulary 4,096; what
# was tried is in references/recipe.md.
SMALL_DEPTH = 2  # layers; in so short a run more tokens are worth more: three are worse, one about as good
SMALL_WIDTH = 64  # channels; most FLOPs are the unembedding's, which grows with this; 128 is worse by 0.04
SMALL_HEAD_DIM = 64  # channels a head
SMALL_WINDOW_PATTERN = "SL"  # S: short window, L: whole context; repeated, the last layer is always L
SMALL_SHORT_WINDOW = 64  # tokens; a quarter of the context, as nanochat has it
SMALL_PAIR_ROWS = 32  # rows of the table of pairs for each token of the vocabulary; 8 are worse by 0.014
SMALL_PAIR_LR = 1.5  # AdamW, table of pairs, in embedding learning rates; 2.5 is worse
SMALL_SOFTCAP = 0.0  # none: its tanh costs a CPU 6 % of a step (width 128), and gains nothing
SMALL_TOTAL_BATCH = 2**12  # tokens a step; with less, the optimizer takes a larger share of the time
SMALL_DEVICE_BATCH_SIZE = 8  # rows at once, their gradients added up to TOTAL_BATCH
SMALL_LOSS_ROWS = 2**8  # tokens whose logits exist at once: 4 MiB, near the cores; 64 are slower
SMALL_EMBEDDING_LR = 0.5  # AdamW, token and value embeddings; 0.35 and 0.7 are no better
SMALL_HEAD_LR = 0.005  # AdamW, unembedding; 0.0035 is worse, 0.008 no better
SMALL_MATRIX_LR = 0.03  # Muon; for a batch of 2**12; 0.02 and 0.045 are a little worse
SMALL_MATRIX_DECAY = 0.1  # Muon's weight decay at the start; half of `full`'s, not yet varied
SMALL_POLAR_STEPS = 3  # rounds of Muon's orthogonalization; five cost more than they bring
SMALL_WARMUP = 0.02  # share of the budget; the lambdas' first gradients are rounding noise, and AdamW scales it up
SMALL_WARMDOWN = 0.8  # share of the budget over which the rate falls; 0.6 is no better
SMALL_FINAL_LR = 0.05  # where it ends, as a share of its height
SMALL_MOMENTUM_RAMP = 0.3  # share of the budget


def hyperparameters(profile: str) -> SimpleNamespace:
    """The constants of one profile under their bare names: in `full`, `.DEPTH` is FULL_DEPTH."""
    prefix = profile.upper() + "_"
    chosen = {name: value for name, value in globals().items() if name.startswith(prefix)}
    return SimpleNamespace(**{name.removeprefix(prefix): value for name, value in chosen.items()})


FIT_COMPUTE = 989.4e12 * 300  # FLOPs: an H100's peak for five minutes, where mar8 found FULL_'s rates, and these:
FIT_DEPTH = 9  # layers; 8 is too shallow, 10 leaves too few steps
FIT_WIDTH = 640  # channels, "aspect 57" rounded up; 512 scored 0.9771 (karpathy/autoresearch, issue 243)
FIT_TOTAL_BATCH = 2**18  # tokens a step; its largest gain: 2**19 leaves too few steps


def fit(hp: SimpleNamespace, limits: Any, vocab: int, context: int, dtype: torch.dtype) -> SimpleNamespace:
    """`hp` with each None filled in by what a run may count on (device.Limits), by arithmetic: nothing is timed.

    Parameters grow with the root of the compute (Chinchilla, arXiv 2203.15556), and with depth³ where width goes
    with depth: so depth grows with the sixth root. Tokens take the other root; the batch grows as they do, so that
    about as many steps are left, and the rates go with the root of the batch (arXiv 2405.14578).
    """
    hp, compute = SimpleNamespace(**vars(hp)), limits.flops * limits.seconds / FIT_COMPUTE
    if hp.DEPTH is None:
        hp.DEPTH = max(1, round(FIT_DEPTH * compute ** (1 / 6)))
    if hp.WIDTH is None:
        hp.WIDTH = hp.HEAD_DIM * max(1, round(hp.DEPTH * FIT_WIDTH / FIT_DEPTH / hp.HEAD_DIM))
    if hp.TOTAL_BATCH is None:
        hp.TOTAL_BATCH = 2 ** max(14, round(math.log2(FIT_TOTAL_BATCH * math.sqrt(compute))))
        for name in ("EMBEDDING_LR", "HEAD_LR", "MATRIX_LR"):
            setattr(hp, name, getattr(hp, name) * math.sqrt(hp.TOTAL_BATCH / FIT_TOTAL_BATCH))
    if hp.DEVICE_BATCH_SIZE is None:  # the most that divide the batch, and leave a fifth of the memory free
        powers = [2**i for i in range(12) if hp.TOTAL_BATCH % (2**i * context) == 0]
        fits = [rows for rows in powers if memory_needed(hp, rows, vocab, context, dtype) <= 0.8 * limits.memory]
        hp.DEVICE_BATCH_SIZE = max(fits, default=1)
    return hp


def memory_needed(hp: SimpleNamespace, rows: int, vocab: int, context: int, dtype: torch.dtype) -> int:
    """Bytes that training takes with this many rows at once, about.

    In float32 each weight, its gradient and two averages (Muon has one). Of each layer and token, 19 vectors in
    `dtype` wait for the backward pass: 5 at the two norms, q and k twice, v, what the heads sum up, twice the 4 of
    the MLP; 3 more at the ends. And of LOSS_ROWS tokens the logits, their softmax and their gradient, in float32.
    """
    tables = vocab * (2 + hp.PAIR_ROWS + (hp.DEPTH + 1) // 2)  # embedding, head, pairs, value embeddings
    weights = hp.WIDTH * tables + 12 * hp.DEPTH * hp.WIDTH**2
    vectors = rows * context * hp.WIDTH * (19 * hp.DEPTH + 3)
    return int(16 * weights + dtype.itemsize * vectors + 12 * min(hp.LOSS_ROWS, rows * context) * vocab)


# ---------------------------------------------------------------------------------------------------------
# 2. Attention
#
# A token may look at itself and at the window - 1 tokens before it. Most layers get a short window: nearby
# words carry most of what the next one depends on, and a short window is cheaper. A few layers see it all.


@functools.cache
def flash_attention() -> Any:
    """FlashAttention 3's interface, or None. Asked for once: the files' hash is checked before they are loaded."""
    return prepare.flash_attention()


def choose_attention(device: torch.device, dtype: torch.dtype) -> tuple[str, str]:
    """The kernel for this device, one of fa3, flex, sdpa, plain, and the reason in words."""
    if device.type == "cpu":
        return "plain", "three short lines are quicker on a CPU than PyTorch's kernel, at 256 tokens"
    if device.type != "cuda":
        return "sdpa", f"PyTorch's own kernel is the quickest on {device.type}"
    capability = torch.cuda.get_device_capability(device)
    if capability[0] == 9 and dtype == torch.bfloat16 and flash_attention() is not None:
        return "fa3", "a Hopper GPU, and FlashAttention 3 is at hand"
    why = "FlashAttention 3 was not fetched" if capability[0] == 9 else "FlashAttention 3 is for Hopper GPUs"
    if capability >= (8, 0) and "cuda" in COMPILE_ON:
        return "flex", f"{why}; compiled, flex_attention skips what lies outside a window"
    return "sdpa", f"{why}, and flex_attention needs torch.compile and an Ampere GPU or newer"


class WindowedAttention(nn.Module):
    """softmax(q·k) v over a causal window, by the kernel that config names."""

    def __init__(self, config: dict[str, Any], layer: int) -> None:
        super().__init__()
        window: int = config["windows"][layer]
        context: int = config["sequence_length"]
        self.window, self.context = window, context
        self.plain, dtype = config["attention"] == "plain", getattr(torch, config["dtype"])
        self.flash = flash_attention() if config["attention"] == "fa3" else None
        self.block_mask: Any = None
        ago = torch.arange(context)[:, None] - torch.arange(context)  # [query, key], in tokens
        hidden = (ago < 0) | (ago >= window)
        self.bias: Tensor  # what is added to the scores: 0, or -inf for what may not be seen
        self.register_buffer("bias", torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, -torch.inf), False)

    def use_flex(self, device: torch.device) -> None:
        """flex_attention (PyTorch) must know in advance which blocks of keys it can skip."""
        from torch.nn.attention.flex_attention import create_block_mask

        def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (query >= key) & (query - key < self.window)

        self.block_mask = create_block_mask(visible, None, None, self.context, self.context, device)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v and the result: [B, T, heads, head_dim]."""
        T = q.size(1)
        if self.flash is not None and q.is_cuda:
            before = -1 if self.window >= T else self.window - 1  # FA3 does not count the token itself
            y: Tensor = self.flash.flash_attn_func(q, k, v, causal=True, window_size=(before, 0))
            return y
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # [B, heads, T, head_dim]
        if self.plain:
            scores: Tensor = (q / math.sqrt(q.size(-1))) @ k.mT + self.bias[:T, :T]  # [B, heads, T, T]
            y = scores.softmax(-1) @ v
        elif self.window >= T:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.block_mask is not None and self.context == T and torch.compiler.is_compiling():
            from torch.nn.attention.flex_attention import flex_attention

            y = flex_attention(q, k, v, block_mask=self.block_mask)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:T, :T])
        return y.transpose(1, 2)


# ---------------------------------------------------------------------------------------------------------
# 3. The model
#
# A pre-norm Transformer decoder. Weights are kept in float32, where small updates are not rounded away; the
# embedding casts to the compute type once, and from there every Linear follows its input. No autocast.


def norm(x: Tensor) -> Tensor:
    """RMS norm over the last dimension, without a learned gain: the next matrix can scale as it likes."""
    return F.rms_norm(x, (x.size(-1),))


class Linear(nn.Linear):
    """A matrix without bias that multiplies in the type of its input, whatever type it is stored in."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__(fan_in, fan_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


def soften(logits: Tensor, cap: float) -> Tensor:
    """Logits bent into ±cap by a tanh (Gemma 2), so that none can run away; as they are for a cap of 0."""
    return cap * torch.tanh(logits / cap) if cap else logits


def rotary_angles(context: int, head_dim: int) -> Tensor:
    """Angles [context, head_dim/2] of RoPE (arXiv 2104.09864): position times frequencies, 1 to about 1/base."""
    frequency = ROPE_BASE ** -torch.linspace(0, 1, head_dim // 2 + 1)[:-1]
    return torch.outer(torch.arange(context, dtype=torch.float32), frequency)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of channels by its angle: q·k then knows positions by their distance. [B, T, heads, D]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Attention(nn.Module):
    """Multi-head attention with QK norm, and on alternating layers a value embedding.

    The value embedding is a second lookup by token id, added to v through a gate per head: what a token *is*
    reaches deep layers without passing through the residual stream (modded-nanogpt, after ResFormer, arXiv
    2410.17897). It costs memory but hardly any FLOPs.
    """

    def __init__(self, config: dict[str, Any], layer: int) -> None:
        super().__init__()
        width, self.head_dim = config["width"], config["head_dim"]
        self.q, self.k, self.v = Linear(width, width), Linear(width, width), Linear(width, width)
        self.out = Linear(width, width)
        self.attend = WindowedAttention(config, layer)
        has_values = (config["depth"] - 1 - layer) % 2 == 0  # every other layer, the last one among them
        self.values = nn.Embedding(config["vocab_size"], width) if has_values else None
        self.gate = Linear(GATE_CHANNELS, width // self.head_dim) if has_values else None

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        heads = (*x.shape[:2], -1, self.head_dim)  # [B, T, heads, head_dim]
        q, k, v = self.q(x).view(heads), self.k(x).view(heads), self.v(x).view(heads)
        if self.values is not None and self.gate is not None:
            gate = 2 * torch.sigmoid(self.gate(x[..., :GATE_CHANNELS]))  # [B, T, heads], 1 at the start
            v = v + gate.unsqueeze(-1) * self.values(tokens).to(x.dtype).view(heads)
        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))  # QK norm bounds the scores: no blow-ups
        y: Tensor = self.out(self.attend(q, k, v).reshape(x.shape))
        return y


class MLP(nn.Module):
    """Two matrices with ReLU² between (Primer, arXiv 2109.08668): as good as gated units, and cheaper."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = Linear(width, 4 * width), Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(F.relu(self.up(x)).square())
        return y


class Block(nn.Module):
    """One layer: mix between positions, then think at each."""

    def __init__(self, config: dict[str, Any], layer: int) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(norm(x), tokens, cos, sin)
        x = x + self.mlp(norm(x))
        return x


class GPT(nn.Module):
    """Token ids [B, T] to logits [B, T, vocab]."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config, self.dtype = config, getattr(torch, config["dtype"])
        vocab, width, depth = config["vocab_size"], config["width"], config["depth"]
        self.embedding = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(depth))
        self.pairs = nn.Embedding(config["pair_rows"], width) if config["pair_rows"] else None
        self.head = Linear(width, vocab)  # not the embedding again: it wants other learning rates
        # Per layer, how much of the stream to carry on, and how much of the first embedding to mix back in
        # (modded-nanogpt): a deep layer keeps sight of the words themselves.
        self.residual_lambdas = nn.Parameter(torch.ones(depth))
        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))
        angles = rotary_angles(config["sequence_length"], config["head_dim"])[:, None, :]  # [T, 1, head_dim/2]
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", angles.cos().to(self.dtype), persistent=False)
        self.register_buffer("sin", angles.sin().to(self.dtype), persistent=False)
        self.initialize()

    @torch.no_grad()
    def initialize(self) -> None:
        """What writes to the residual stream starts at zero: each layer begins as the identity, up to scale."""
        bound = INIT_SCALE * math.sqrt(3 / self.config["width"])  # uniform: no outliers; std scale/sqrt(width)
        for name, weight in self.named_parameters():
            if name == "embedding.weight":
                nn.init.normal_(weight)
            elif name == "head.weight":
                nn.init.normal_(weight, std=0.001)  # nearly even odds: the loss starts at ln(vocab)
            elif name.endswith(("out.weight", "down.weight", "gate.weight", "pairs.weight")):
                nn.init.zeros_(weight)
            elif weight.ndim == 2:
                nn.init.uniform_(weight, -bound, bound)

    def embed(self, tokens: Tensor) -> Tensor:
        """What a token is, and what it is behind the one before it: [B, T] to [B, T, width].

        A table of pairs spares the layers from learning the commonest continuations (modded-nanogpt #62). Pairs
        share its rows by a hash, of two odd numbers; the tokens' own embeddings tell them apart.
        """
        x: Tensor = self.embedding(tokens)
        if self.pairs is not None:
            before = F.pad(tokens, (1, -1))  # the first has none, and takes token 0 for it
            x = x + self.pairs(((36313 * tokens) ^ (27191 * before)) % self.pairs.num_embeddings)
        return x.to(self.dtype)

    def trunk(self, tokens: Tensor) -> Tensor:
        """All but the head: [B, T] to [B, T, width]."""
        cos, sin = self.cos[: tokens.size(1)], self.sin[: tokens.size(1)]
        x = x0 = norm(self.embed(tokens))
        for i, block in enumerate(self.blocks):
            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
        return norm(x)

    def forward(self, tokens: Tensor) -> Tensor:  # what is scored; training_loss does the same in parts
        return soften(self.head(self.trunk(tokens)).float(), self.config["softcap"])


def build_model(config: dict[str, Any]) -> GPT:
    """The model that `config` (plain JSON, see model_config) describes, newly initialized, on the CPU."""
    return GPT(config)


def layer_windows(pattern: str, depth: int, short: int, context: int) -> list[int]:
    """Tokens that each layer sees, the present one counted: the pattern repeated, the last layer full."""
    windows = [context if pattern[i % len(pattern)] == "L" else min(short, context) for i in range(depth)]
    return [*windows[:-1], context]


def model_config(hp: SimpleNamespace, vocab: int, context: int, dtype: torch.dtype, kind: str) -> dict[str, Any]:
    """All that build_model must be told to make this model again; `kind` names the attention kernel."""
    return {
        "vocab_size": vocab,
        "sequence_length": context,
        "depth": hp.DEPTH,
        "width": hp.WIDTH,
        "head_dim": hp.HEAD_DIM,
        "softcap": hp.SOFTCAP,
        "pair_rows": hp.PAIR_ROWS * vocab,
        "windows": layer_windows(hp.WINDOW_PATTERN, hp.DEPTH, hp.SHORT_WINDOW, context),
        "dtype": str(dtype).removeprefix("torch."),
        "attention": kind,
    }


# ---------------------------------------------------------------------------------------------------------
# 4. The loss
#
# Logits are the largest thing in a small model: 262,144 tokens times a vocabulary of 8,192 in float32 are
# 8.6 GB. So they are made for some tokens at a time and turned into gradients while they are still there; only
# those survive, and the backward pass has nothing left to do but scale (as Liger Kernel does, arXiv 2410.10989).


class HeadLoss(torch.autograd.Function):
    """Mean cross-entropy (nats) of softcapped logits: hidden [N, width], weight [vocab, width], targets [N]."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, rows: int, cap: float) -> Tensor:
        matrix = weight.to(hidden.dtype)
        d_hidden, d_weight = [], torch.zeros_like(weight)
        total = torch.zeros((), device=hidden.device)
        for start in range(0, hidden.size(0), rows):
            h, target = hidden[start : start + rows], targets[start : start + rows, None]
            logits = soften((h @ matrix.T).float(), cap)  # [rows, vocab]
            # d loss / d logit is p, less 1 at the target; through the tanh comes 1 - tanh² of it.
            d_logits = torch.softmax(logits, dim=1)
            p_target = d_logits.gather(1, target)
            total -= p_target.clamp_min(1e-30).log().sum()
            d_logits.scatter_(1, target, p_target - 1)
            if cap:
                d_logits = d_logits * (1 - (logits / cap).square())
            d_logits = d_logits.to(h.dtype)
            d_hidden.append(d_logits @ matrix)
            d_weight += d_logits.T @ h
        ctx.save_for_backward(torch.cat(d_hidden), d_weight)
        return total / hidden.size(0)

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        d_hidden, d_weight = ctx.saved_tensors
        scale = d_loss / d_hidden.size(0)
        return d_hidden * scale.to(d_hidden.dtype), d_weight * scale, None, None, None


def training_loss(model: GPT, tokens: Tensor, targets: Tensor, rows: int) -> Tensor:
    """Mean nats a token on tokens [B, T], with the logits of `rows` tokens at a time."""
    hidden = model.trunk(tokens).flatten(0, 1)
    return HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config["softcap"])  # type: ignore[no-any-return, no-untyped-call]


# ---------------------------------------------------------------------------------------------------------
# 5. Counting FLOPs


def flops_per_token(model: GPT) -> float:
    """Floating-point operations that training spends on one token, forward and backward.

    A weight of a matrix is multiplied and added once forward (2) and twice backward (4): 6 for each.
    Embeddings are lookups and count nothing. Attention forms q·k and sums over v: 2 + 2 operations per key
    and channel forward, twice that backward: 12 · width · (mean number of keys that a token sees). With
    window w in context T, token t sees min(t, w) keys, so that mean is (w (w + 1) / 2 + (T - w) w) / T: what
    the mask hides is not counted. Norms, softmax and activations are left out, as is usual.
    MFU is this, times tokens a second, over the device's peak.
    """
    T = model.config["sequence_length"]
    matrices = sum(module.weight.numel() for module in model.modules() if isinstance(module, Linear))
    keys = sum((w * (w + 1) / 2 + (T - w) * w) / T for w in model.config["windows"])
    return float(6 * matrices + 12 * model.config["width"] * keys)


# ---------------------------------------------------------------------------------------------------------
# 6. Schedules
#
# Functions of progress, the share of the budget that is spent, 0 to 1: so they fit a slower machine as well.


def learning_rate_scale(progress: float, warmup: float, warmdown: float, final: float) -> float:
    """A trapezoid: from a tenth up to 1 over `warmup`, flat, down to `final` over `warmdown`. Never 0: wasted."""
    rising = 0.1 + 0.9 * progress / warmup if progress < warmup else 1.0
    falling = final + (1 - final) * (1 - progress) / warmdown if progress > 1 - warmdown else 1.0
    return min(rising, falling)


def momentum_at(progress: float, ramp: float) -> float:
    """Muon's momentum, from MOMENTUM_START to MOMENTUM_END over the first `ramp` of the budget."""
    share = min(progress / ramp, 1.0) if ramp > 0 else 1.0
    return MOMENTUM_START + share * (MOMENTUM_END - MOMENTUM_START)


def decay_scale(progress: float) -> float:
    """Muon's weight decay fades, so that the last steps settle instead of pulling back; mar8."""
    return 1 - progress


# ---------------------------------------------------------------------------------------------------------
# 7. The optimizer
#
# AdamW divides each number's step by its own recent size: right for embeddings and scalars, where each number
# stands for itself. A matrix is more than its numbers: Muon (kellerjordan.github.io/posts/muon) replaces the
# momentum by the nearest orthogonal matrix, so that every direction moves by the same amount, rare ones too.

# Polar Express (arXiv 2505.16932): each round applies a·x + b·x³ + c·x⁵ to all singular values at once, with
# the coefficients that bring what may lie anywhere in (0, 1] near to 1 in the fewest rounds: to 0.86
# to 1.14 in five, to 0.15 to 1.87 in three (less, where it began very small).
POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


def orthogonalize(g: Tensor, rounds: int, dtype: torch.dtype) -> Tensor:
    """Matrices [n, rows, columns] with their singular values brought near 1, by matrix products alone."""
    tall = g.size(-2) > g.size(-1)
    x: Tensor = (g.mT if tall else g).to(dtype)  # wide, so that x xᵀ is the smaller product
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-6)  # none exceeds this norm; 1.02 for rounding
    for a, b, c in POLAR_EXPRESS[:rounds]:
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.mT if tall else x).float()


Scalar = float | Tensor  # a 0-d tensor where compiled code must not be built anew for each value


class Stack(NamedTuple):
    """Matrices of one shape as one tensor [n, rows, columns], with their gradients and state. All float32."""

    value: Tensor
    grad: Tensor
    mean: Tensor  # of the gradients, running
    power: Tensor  # of their squares, running, one number a neuron


def muon_update(s: Stack, lr: Scalar, decay: Scalar, momentum: Scalar, rounds: int, dtype: torch.dtype) -> None:
    """One step of Muon for a stack of matrices [n, rows, columns], in place."""
    s.mean.lerp_(s.grad, 1 - momentum)
    update = orthogonalize(s.grad.lerp(s.mean, momentum), rounds, dtype)  # Nesterov: look one step ahead
    # NorMuon (arXiv 2510.05491): even out the neurons, keep the size of the whole.
    square = update.square().mean(dim=neuron_axis(s.value), keepdim=True)
    s.power.lerp_(square, 1 - MUON_BETA2)
    even = s.power.clamp_min(1e-10).rsqrt()
    before, after = (x.sum(dim=(-2, -1), keepdim=True) for x in (square, square * even.square()))
    update = update * (even * (before / after.clamp_min(1e-10)).sqrt())
    # Cautious weight decay (arXiv 2510.12402): only where it pulls the same way as the update.
    lr = lr * max(1.0, s.value.size(-2) / s.value.size(-1)) ** 0.5  # a tall matrix may move further
    s.value.sub_(lr * (update + decay * s.value * (update * s.value >= 0)))


def neuron_axis(matrices: Tensor) -> int:
    """The axis to average over, so that one number is left for each row or column, whichever are more."""
    return -1 if matrices.size(-2) >= matrices.size(-1) else -2


class Muon:
    """Matrices of one shape and what steps them. Each becomes a view into a stack, and so does its gradient.

    The backward pass adds into the stack of gradients, and a step is one call on whole stacks: nothing is
    ever gathered or copied back. Never set a p.grad to None: the backward pass would then write elsewhere.
    """

    def __init__(self, matrices: list[Tensor], lr: float, decay: float) -> None:
        self.lr, self.decay = lr, decay
        value = torch.stack([p.detach() for p in matrices])
        power = torch.zeros_like(value.mean(neuron_axis(value), keepdim=True))
        self.stack = Stack(value, torch.zeros_like(value), torch.zeros_like(value), power)
        for i, p in enumerate(matrices):
            p.data, p.grad = value[i], self.stack.grad[i]


class MuonAdamW:
    """Muon for the stacks, PyTorch's AdamW for the rest. All is float32, but Muon orthogonalizes in `dtype`."""

    def __init__(
        self, muon: list[Muon], adam: list[torch.optim.Optimizer], rounds: int, dtype: torch.dtype
    ) -> None:
        self.muon, self.adam, self.rounds, self.dtype = muon, adam, rounds, dtype
        self.rates = [(group, group["lr"]) for one in adam for group in one.param_groups]
        self.update = muon_update
        self.scalar: Callable[[float], Scalar] = float

    def compile(self) -> None:
        """Fuse Muon's update into a few kernels; AdamW's is one already."""
        self.update, self.scalar = torch.compile(muon_update, dynamic=False), torch.tensor

    @torch.no_grad()
    def step(self, lr_scale: float, momentum: float, decay_scale: float) -> None:
        """One update of everything. `lr_scale`, `decay_scale`: see the schedules."""
        for m in self.muon:
            lr, decay = self.scalar(m.lr * lr_scale), self.scalar(m.decay * decay_scale)
            self.update(m.stack, lr, decay, self.scalar(momentum), self.rounds, self.dtype)
        for group, rate in self.rates:
            group["lr"] = rate * lr_scale
        for one in self.adam:
            one.step()

    def zero_grad(self) -> None:
        for m in self.muon:
            m.stack.grad.zero_()
        for one in self.adam:
            one.zero_grad()

    def forget(self) -> None:
        """As if no step had been taken."""
        for m in self.muon:
            m.stack.mean.zero_()
            m.stack.power.zero_()
        for one in self.adam:
            one.state.clear()


def build_optimizer(model: GPT, hp: SimpleNamespace, dtype: torch.dtype) -> MuonAdamW:
    """Each parameter into its group. Takes hold of the parameters: move the model to its device before."""
    adam_scale = (model.config["width"] / 768) ** -0.5  # nanochat: AdamW's rates, tuned at 768, fall with width
    embedding_lr, head_lr = hp.EMBEDDING_LR * adam_scale, hp.HEAD_LR * adam_scale
    inside = dict(model.blocks.named_parameters())
    matrices = [p for name, p in inside.items() if "values" not in name and p.ndim > 1]
    values = [p for name, p in inside.items() if "values" in name]
    groups = [
        {"params": [model.embedding.weight], "lr": embedding_lr, "weight_decay": EMBEDDING_DECAY},
        {"params": values, "lr": embedding_lr, "weight_decay": VALUE_DECAY},
        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},
        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},
        {"params": [model.x0_lambdas], "lr": SCALAR_LR, "betas": X0_BETAS},
    ]
    if model.pairs is not None:
        pairs = {"params": [model.pairs.weight], "lr": embedding_lr * hp.PAIR_LR, "betas": PAIR_BETAS}
        groups.append(pairs | {"weight_decay": EMBEDDING_DECAY})
    adam: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, betas=ADAM_BETAS, eps=1e-10, weight_decay=0.0, fused=True)
    ]
    placed = [*matrices, *(p for one in adam for group in one.param_groups for p in group["params"])]
    if lost := [name for name, p in model.named_parameters() if not any(p is one for one in placed)]:
        sys.exit(f"train: the optimizer has no group for {', '.join(lost)}")  # it would never be trained
    shapes = sorted({p.shape for p in matrices})
    muon = [Muon([p for p in matrices if p.shape == shape], hp.MATRIX_LR, hp.MATRIX_DECAY) for shape in shapes]
    return MuonAdamW(muon, adam, hp.POLAR_STEPS, dtype)


# ---------------------------------------------------------------------------------------------------------
# 8. Training


def warm_up(loss_of: Callable[[Tensor, Tensor], Tensor], optimizer: MuonAdamW, x: Tensor, y: Tensor) -> None:
    """A whole step on made-up data that changes nothing: what is slow the first time is over before the clock."""
    loss_of(x, y).backward()  # type: ignore[no-untyped-call]
    optimizer.step(lr_scale=0.0, momentum=0.0, decay_scale=0.0)
    optimizer.zero_grad()
    optimizer.forget()
    if x.is_cuda:
        torch.cuda.synchronize()


def train(run: Any, hp: SimpleNamespace) -> None:
    """Build, warm up, and step through the batches until the budget is spent."""
    rows, T = hp.DEVICE_BATCH_SIZE, run.sequence_length
    if hp.WIDTH % hp.HEAD_DIM:
        sys.exit(f"train: WIDTH {hp.WIDTH} is no multiple of HEAD_DIM {hp.HEAD_DIM}")
    accum = hp.TOTAL_BATCH // (rows * T)
    if accum * rows * T != hp.TOTAL_BATCH:
        sys.exit(f"train: TOTAL_BATCH {hp.TOTAL_BATCH} is no multiple of {rows} rows of {T} tokens")
    if run.device.type == "cpu":
        torch.set_num_threads(CPU_THREADS)
    kind, why = choose_attention(run.device, run.compute_dtype)
    print(f"train: attention {kind}: {why}")
    config = model_config(hp, run.vocab_size, T, run.compute_dtype, kind)
    model = build_model(config).to(run.device)
    optimizer = build_optimizer(model, hp, run.compute_dtype)
    flops, size = flops_per_token(model), sum(p.numel() for p in model.parameters())
    print(f"train: {size / 1e6:.1f}M parameters, {flops / 1e6:.1f}M FLOPs a token, {accum} × {rows} rows a step")

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return training_loss(model, x, y, hp.LOSS_ROWS)

    step_loss, dummy = loss_of, run.dummy_batch(rows)
    if run.device.type in COMPILE_ON:
        try:
            for module in model.modules():
                if kind == "flex" and isinstance(module, WindowedAttention):
                    module.use_flex(run.device)
            step_loss = torch.compile(loss_of, dynamic=False)
            optimizer.compile()
            warm_up(step_loss, optimizer, *dummy)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            first = (str(error).strip() or repr(error)).splitlines()[0]
            print(f"train: torch.compile gave up, going on without it: {first}")
            step_loss, optimizer = loss_of, build_optimizer(model, hp, run.compute_dtype)
    if step_loss is loss_of:
        warm_up(step_loss, optimizer, *dummy)
    gc.collect()  # once, and no more: Python would walk through all that exists again and again, 0.5 s a time
    gc.disable()

    vitals = run.vitals(model, WindowedAttention)  # what tools/diagnose.py reads beside the loss
    for step, microbatches in enumerate(run.batches(rows, accum=accum)):
        lr_scale = learning_rate_scale(run.progress, hp.WARMUP, hp.WARMDOWN, hp.FINAL_LR)
        mean_loss = torch.zeros((), device=run.device)
        for x, y in microbatches:
            loss = step_loss(x, y) / accum
            loss.backward()
            mean_loss += loss.detach()
        vitals.before_step(step)
        optimizer.step(lr_scale, momentum_at(run.progress, hp.MOMENTUM_RAMP), decay_scale(run.progress))
        signs = vitals.after_step(x)  # of the last microbatch
        optimizer.zero_grad()
        mfu = {"mfu": 100 * flops * run.tokens_per_second / run.peak_flops} if run.peak_flops else {}
        run.log(step, mean_loss, lr=lr_scale, **mfu, **signs)  # tensors: a value would wait for the device
    run.finish(model, config, flops_per_token=flops, depth=hp.DEPTH)


def main() -> None:
    run = prepare.start_run()
    given = hyperparameters(run.profile)
    hp = fit(given, run.limits, run.vocab_size, run.sequence_length, run.compute_dtype)
    if chosen := [f"{name} {now:.7g}" for name, now in vars(hp).items() if now != vars(given)[name]]:
        print(f"train: {', '.join(chosen)}: by {run.limits}")
    try:
        train(run, hp)
    except KeyboardInterrupt:
        sys.exit("train: stopped by hand: nothing is scored")
    except RuntimeError as error:  # torch.OutOfMemoryError is one; a CPU's allocator raises a plain one
        if not any(words in str(error) for words in ("out of memory", "can't allocate memory")):
            raise
        name, rows = f"{run.profile.upper()}_DEVICE_BATCH_SIZE", hp.DEVICE_BATCH_SIZE
        sys.exit(f"train: out of memory at B={rows}: set {name} = {max(1, rows // 2)}")


if __name__ == "__main__":
    main()
