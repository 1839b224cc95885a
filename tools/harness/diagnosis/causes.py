"""The table of causes: the test for each, the experiment that tells it from others, the edit that mends it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import evidence as test
from .evidence import Finding
from .features import Features

RATES = {"matrix": "MATRIX_LR", "head": "HEAD_LR", "embedding": "EMBEDDING_LR"}  # of each kind of parameters


@dataclass(frozen=True)
class Terms:
    """train.py's constants: `profile` is full or small; `values`, by full name, as the run had them,
    `before` as the incumbent had them."""

    profile: str
    values: Mapping[str, str]
    before: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, profile: str, before: str = "") -> Terms:
        """From the text of a train.py: constants of numbers alone, since a run's text is shown to nobody."""
        constant = re.compile(r"^([A-Z][A-Z0-9_]*) = ([\d.][\d._eE+\-* ]{0,20}?) *(?:#|$)", re.MULTILINE)
        return cls(profile, dict(constant.findall(text)), dict(constant.findall(before)))

    @property
    def changed(self) -> dict[str, tuple[str, str]]:
        """The constants that both have, with other values: old and new."""
        both = ((name, self.before[name], new) for name, new in self.values.items() if name in self.before)
        return {name: (old, new) for name, old, new in both if old != new}

    def named(self, text: str) -> str:
        """`text`, in which {NAME} is the profile's constant of that name."""
        return re.sub(r"\{(\w+)\}", rf"{self.profile.upper()}_\1", text)

    def times(self, name: str, factor: float) -> str:
        """`SMALL_MATRIX_LR from 0.5 to 0.25`, or `SMALL_MATRIX_LR times 0.5` where its value is not known."""
        full = self.named(f"{{{name}}}")
        try:
            value = float(self.values[full])
        except (KeyError, ValueError):
            return f"{full} times {factor:.2g}"
        return f"{full} from {value:g} to {value * factor:.2g}"


Fix = Callable[[Features, Features | None, Terms], str]


@dataclass(frozen=True)
class Cause:
    """`name` is for programs and stays; `title`, `experiment` (see Terms.named) and `fix` are for a reader."""

    name: str
    title: str
    test: Callable[[Features, Features | None], Finding | None]
    experiment: str
    fix: Fix


@dataclass(frozen=True)
class Named:
    """A cause that the features speak for."""

    cause: Cause
    finding: Finding


def rank(f: Features, r: Features | None = None) -> tuple[Named, ...]:
    """The causes that the features `f` speak for, the strongest first; `r`: of the incumbent's run."""
    named = [Named(cause, finding) for cause in CAUSES if (finding := cause.test(f, r)) is not None]
    return tuple(sorted(named, key=lambda one: -one.finding.strength))


# ---------------------------------------------------------------------------------------------------
# Fixes


def lower(f: Features, r: Features | None, terms: Terms) -> str:
    """The rate whose updates are largest beside the usual ones, brought back; all of them where none is known."""
    sizes = test.updates(f, r, start=True) | test.too_large(f, r)
    if not sizes and (raised := [name for name in RATES.values() if terms.named(f"{{{name}}}") in terms.changed]):
        return f"{', '.join(terms.times(name, 0.5) for name in raised)}, or back to what the incumbent has"
    if not sizes or max(sizes.values()) < 1:
        return "halve what this experiment raised, else " + ", ".join(terms.times(n, 0.5) for n in RATES.values())
    kind = max(sizes, key=sizes.__getitem__)
    return terms.times(RATES[kind], max(0.1, min(0.5, 1 / sizes[kind])))


def higher(f: Features, r: Features | None, terms: Terms) -> str:
    return ", ".join(terms.times(RATES[kind], 3) for kind in test.too_small(f, r))


def fewer_rows(f: Features, r: Features | None, terms: Terms) -> str:
    less = [terms.times(name, 0.5) for name in ("DEVICE_BATCH_SIZE", "LOSS_ROWS")]
    return f"{less[0]} (accumulation makes up for it), {less[1]}"


def words(text: str) -> Fix:
    """A fix in words, see Terms.named."""
    return lambda f, r, terms: terms.named(text)


# ---------------------------------------------------------------------------------------------------
# The table. Of causes of one strength the earlier is told first.

CAUSES = (
    Cause(
        "out-of-memory", "memory ran out", test.out_of_memory,
        "the first step or later? Later, with memory_mb rising in the curve: something is kept; "
        "else a step is too large",
        fewer_rows,
    ),
    Cause(
        "nan", "an operation gives a number that is none", test.not_a_number,
        "all rates times 0.25: NaN at the same step is an operation, later or never is the rate",
        words("in what this experiment changed: an epsilon under a division or root, clamp_min "
              "before a log, no float16"),
    ),
    Cause(
        "rate-too-high", "a learning rate is too high", test.rate_too_high,
        "halve that rate alone: it helps, and more than a longer {WARMUP} does, or it is another one",
        lower,
    ),
    Cause(
        "rate-too-low", "a learning rate is too low", test.rate_too_low,
        "triple that rate: a model that is at its limit ends the same, one that was too slow ends lower",
        higher,
    ),
    Cause(
        "warmup-too-short", "the first steps are too large", test.warmup_too_short,
        "{WARMUP} 0.1 at the same rates: a bump that goes away was warm-up, one that only comes later is the rate",
        words("{WARMUP} to 0.05, or 0.5 times the rate whose first updates are largest"),
    ),
    Cause(
        "diverged", "the updates go the wrong way", test.diverged,
        "all rates times 0.5: a rate too high turns later or never, a wrong sign at the same place",
        words("in what this experiment changed: the sign of the loss, of an update, of decay; "
              "MOMENTUM_END below 1"),
    ),
    Cause(
        "no-gradient", "parameters get no gradient", test.no_gradient,
        "print at step 1 which p.grad are all zero: the way is cut just behind the last layer that has one",
        words("no detach, no_grad or .data between them and training_loss; of two factors one may start at zero"),
    ),
    Cause(
        "dead-units", "units of the MLP are dead", test.dead_units,
        "F.leaky_relu(…, 0.1).square() for one run: it ends lower if the dead units were missed",
        words("MLP.forward: nothing subtracted before the ReLU; else {MATRIX_LR} times 0.5, or the leaky ReLU"),
    ),
    Cause(
        "attention-scores", "attention scores are too large", test.attention_scores,
        "norm() around q and k, behind rotate: scores stay below the root of head_dim, and the loss "
        "says if it mattered",
        words("Attention.forward: q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin)), a "
              "gain of 1.5 at most"),
    ),
    Cause(
        "spike", "a spike that goes back", test.spike,
        "--confirm, or once more on another seed: at the same step it is the code, elsewhere or never the data",
        words("the code: no jump in learning_rate_scale and momentum_at; the data: leave it, or "
              "{MATRIX_LR} times 0.7"),
    ),
    Cause(
        "plateau", "learning stops", test.plateau,
        "print lr_scale and a weight's norm at 10 and 90 %: if both change, the model is at its limit",
        words("learning_rate_scale by progress, {FINAL_LR} above 0; parameters stay views of the "
              "optimizer's stacks"),
    ),
    Cause(
        "starved", "rows come too late", test.starved,
        "the same commit while nothing else reads the disk or fills the cores: less waiting is the "
        "machine's doing",
        words("run.batches called once, not in each step; {DEVICE_BATCH_SIZE} times 2; else mend "
              "the machine, not train.py"),
    ),
    Cause(
        "recompiled", "code is compiled while the clock runs", test.recompiled,
        "COMPILE_ON = () for one run: long steps that go away were compiling",
        words("one T and one batch size in compiled code, numbers as tensors (optimizer.scalar), "
              "warm_up for each shape"),
    ),
    Cause(
        "slowed", "something else slowed the machine: a neighbour, or heat", test.slowed,
        "the same commit again: a dip elsewhere or none is the machine's, at the same share the code's",
        words("nothing in train.py: say so in the note, and run it again before it is judged"),
    ),
    Cause(
        "memory-growth", "something is kept across steps", test.memory_growth,
        "half the steps: memory that ends half as far up grows by the step",
        words("in the loop: no list that grows, .detach() on what is kept, no retain_graph"),
    ),
    Cause(
        "overfitting", "the model learns its text by heart", test.overfitting,
        "{WIDTH} times 0.5: overfitting shrinks the gap, a bug in the loss leaves it",
        words("each batch once; a smaller {DEPTH} or {WIDTH}, {MATRIX_DECAY} times 2, dropout; or "
              "prepare more text"),
    ),
    Cause(
        "loss-bug", "the training loss is not what is scored", test.loss_bug,
        "F.cross_entropy(model(x).flatten(0, 1), y.flatten()) beside step_loss(x, y) at step 0: they must agree",
        words("training_loss: targets are y as given, the mean over all tokens; no way from a token "
              "to an earlier logit"),
    ),
)  # fmt: skip
