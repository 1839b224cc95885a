"""What an experiment is about: a theme or two, read from what its edit touches. One table; the catalogue of ideas
(references/ideas.md) has a section for each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from .similar import Change, Part

# In this order, first what decides: a theme's pattern is looked for in the names that a changed statement is made
# of, in capitals or not; where none is found, in the class and function that it stands in.
TABLE: dict[str, str] = {
    "batch": r"total_batch|batch_size|device_batch|accum|batch",
    "regularization": r"decay|dropout|label_smooth|clip|cautious",
    "schedule": r"warm_?up|warm_?down|cool_?down|final_lr|schedule|lr_scale|cosine|ramp|progress",
    "learning rate": r"\w*_lr\b|\blr\b|learning_rate|lr_mult",
    "optimizer": r"muon|adam|betas?\d?\b|momentum|polar|orthogonal|newton|optimi[sz]er|nesterov|sgd|lion|soap",
    "initialization": r"init\w*|zeros_|uniform_|normal_|bound\b",
    "attention": r"rope|rotary|rotate|window|head_dim|n_?heads?|heads|q, ?k\b|att|softmax|gate|kv\b|values?\b",
    "embedding": r"embedding\w*|wte|bigram|vocab|x0\w*|tokens?\b|smear",
    "width and depth": r"depth|width|n_layers?|n_embd|layers|aspect|expansion|hidden",
    "loss": r"loss\w*|softcap|cross_entropy|logits?|head\b|unembedding|z_loss",
    "block": r"mlp|relu|gelu|silu|swiglu|norm\b|rms_norm|residual|lambdas?|block|trunk|skip|backout|linear",
    "loop": r"compile|dtype|bfloat16|cuda|synchroni[sz]e|gc\b|warm_up|loop|train\b|rows|batches",
}
OTHER = "other"
NAMES = (*TABLE, OTHER)

# Names of constants that say more than their parts: HEAD_DECAY is about decay, GATE_CHANNELS about attention.
_CONSTANT = re.compile(r"^(?:FULL_|SMALL_)?([A-Z][A-Z0-9_]*) = ")
_CONSTANTS: dict[str, str] = {
    "X0_INIT": "embedding",
    "X0_BETAS": "optimizer",
    "FINAL_LR": "schedule",
    "LOSS_ROWS": "loop",
    "MOMENTUM_RAMP": "optimizer",
    "COMPILE_ON": "loop",
    "CPU_THREADS": "loop",
    "PAIR_ROWS": "embedding",
    "INIT_SCALE": "initialization",
}
_PATTERNS = {name: re.compile(rf"(?:\b|_)(?:{pattern})", re.IGNORECASE) for name, pattern in TABLE.items()}
# Of code, in which names of many themes stand together: the function tells most.
_SCOPES: tuple[tuple[str, str], ...] = (
    ("initiali[sz]e|init_weights", "initialization"),
    ("muon|adam|optimi[sz]er|orthogonali[sz]e|Group", "optimizer"),
    ("decay_scale", "regularization"),
    ("scale$|momentum_at|schedule", "schedule"),
    ("loss", "loss"),
    ("attention|rotar|rotate", "attention"),
    ("mlp|block|norm$|linear", "block"),
    (r"^(?:train|warm_up|main)\b", "loop"),
)
_SCOPE_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), theme) for pattern, theme in _SCOPES)


def of(change: Change) -> tuple[str, ...]:
    """The themes of an edit, what most of it is about first; at most two, `other` where none is known."""
    counted: Counter[str] = Counter()
    for part in change:
        counted[of_part(part)] += 1
    known = [name for name in counted if name != OTHER]
    ranked = sorted(known, key=lambda name: (-counted[name], NAMES.index(name)))
    return tuple(ranked[:2]) or (OTHER,)


def of_part(part: Part) -> str:
    """The theme of one changed statement."""
    text = part.now or part.was
    if constant := _CONSTANT.match(text):
        return _CONSTANTS.get(constant[1]) or _found(constant[1]) or OTHER
    if part.scope:
        for pattern, theme in _SCOPE_PATTERNS:
            if pattern.search(part.scope):
                return theme
    return _found(text) or _found(part.scope) or OTHER


def _found(text: str) -> str | None:
    return next((name for name, pattern in _PATTERNS.items() if pattern.search(text)), None)


def untried(tried: Iterable[str], known: Sequence[str] = tuple(TABLE)) -> list[str]:
    """The themes that are not among `tried`, in the table's order, which is about that of their worth."""
    seen = set(tried)
    return [name for name in known if name not in seen]
