"""How train.py, its data or its machine is broken for each recorded run, and the edits of the healthy ones.

Each case is trained by record.py. `half` says what its curve is for: the thresholds of harness/diagnosis were set
on `tune`, and benchmarks/diagnosis.py reports on `report`. The two halves break things in different ways.
"""

# ruff: noqa: E501  # edits of train.py, whose lines are as long

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

HEALTHY = "healthy"
Edit = Callable[[str], str]


@dataclass(frozen=True)
class Case:
    """One run. `edit` makes the train.py that is trained; the rest is what surrounds it.

    `budget`: see prepare.py. `honest`: an edit of tests/honest/edits. `documents`: of the corpus, all if None.
    `pack_delay`: seconds that the feeder takes longer over each row. `paused`: shares of the budget between which
    the trainer is stopped two thirds of the time, as by a busy neighbour. `size`: mini, or small as a user has it.
    """

    name: str
    label: str
    half: str
    how: str
    edit: Edit = str
    honest: str = ""
    seed: int = 42
    budget: str = "76800tok"
    documents: int | None = None
    pack_delay: float = 0.0
    paused: tuple[float, float] | None = None
    size: str = "mini"


def constants(**values: object) -> Edit:
    """Sets constants of train.py."""

    def edit(text: str) -> str:
        for name, value in values.items():
            text, found = re.subn(rf"^{name} = \S+", f"{name} = {value}", text, flags=re.MULTILINE)
            assert found == 1, name
        return text

    return edit


def swap(*pairs: tuple[str, str]) -> Edit:
    """Replaces text that train.py has once."""

    def edit(text: str) -> str:
        for old, new in pairs:
            assert text.count(old) == 1, f"train.py has {text.count(old)} times:\n{old}"
            text = text.replace(old, new)
        return text

    return edit


SCALE = "        lr_scale = learning_rate_scale(run.progress, hp.WARMUP, hp.WARMDOWN, hp.FINAL_LR)\n"
LOSS = "    return HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config[\"softcap\"])"
TRUNK = "    hidden = model.trunk(tokens).flatten(0, 1)\n"
RELU = "F.relu(self.up(x)).square()"
QK = "        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))"
BACKWARD = "            loss.backward()\n"
MICROBATCH = "        for x, y in microbatches:\n"
LOOP = "    for step, microbatches in enumerate(run.batches(rows, accum=accum)):\n"
_STEP = '        """One update of everything. `lr_scale`, `decay_scale`: see the schedules."""\n'
COUNTED = (_STEP, f'{_STEP}        self.steps = getattr(self, "steps", -1) + 1  # warming up is none\n')
ADAM = '            group["lr"] = rate * lr_scale'
PENALTY = "            loss = step_loss(x, y) / accum\n"


def scaled(factor: str) -> Edit:
    return swap((SCALE, f"{SCALE}        lr_scale *= {factor}\n"))


BROKEN = [
    # -- rates
    Case("matrix_rate_25x", "rate-too-high", "tune", "SMALL_MATRIX_LR 0.02 to 0.5", constants(SMALL_MATRIX_LR=0.5)),
    Case("head_rate_60x", "rate-too-high", "tune", "SMALL_HEAD_LR 0.005 to 0.3", constants(SMALL_HEAD_LR=0.3)),
    Case("all_rates_12x", "rate-too-high", "report", "every rate times 12", scaled("12")),
    Case("embedding_rate_70x", "rate-too-high", "report", "SMALL_EMBEDDING_LR 0.3 to 20",
         constants(SMALL_EMBEDDING_LR=20.0)),
    Case("matrix_rate_50x_plain", "rate-too-high", "report", "SMALL_MATRIX_LR 0.02 to 1.0, on another seed",
         constants(SMALL_MATRIX_LR=1.0), seed=7),
    Case("all_rates_a_fortieth", "rate-too-low", "tune", "every rate divided by 40", scaled("0.025")),
    Case("three_rates_low", "rate-too-low", "tune", "the three rates of the small profile divided by 25",
         constants(SMALL_MATRIX_LR=0.0008, SMALL_HEAD_LR=0.0002, SMALL_EMBEDDING_LR=0.012)),
    Case("matrix_and_head_low", "rate-too-low", "report", "matrix and head rates divided by 40",
         constants(SMALL_MATRIX_LR=0.0005, SMALL_HEAD_LR=0.000125)),
    Case("rate_in_wrong_unit", "rate-too-low", "report", "the scale is divided by the microbatch's rows and 4 more",
         scaled("1 / (rows * 5)")),
    Case("cold_start", "warmup-too-short", "tune", "no warm-up: the first 4 steps at 12 times the rate",
         scaled("120 if step == 0 else 12 if step < 4 else 1")),
    Case("hot_fraction", "warmup-too-short", "tune", "the first 2 % of the budget at 15 times the rate",
         scaled("15 if run.progress < 0.02 else 1")),
    Case("inverse_warmup", "warmup-too-short", "report", "warm-up the wrong way: from 14 times down to 1 over 4 %",
         scaled("max(1.0, 14 * (1 - run.progress / 0.04))")),
    Case("no_warmup_hot_head", "warmup-too-short", "report", "AdamW's rate 12 times for the first 5 steps",
         swap(COUNTED, (ADAM, f"{ADAM} * (12 if 0 < self.steps < 6 else 1)"))),
    # -- numbers
    Case("log_of_zero", "nan", "tune", "a penalty with the logarithm of a difference that becomes 0 or less",
         swap((PENALTY, f"{PENALTY}            loss = loss + 0 * torch.log(step_loss(x, y) - 4.5)\n"))),
    Case("division_at_60", "nan", "tune", "from step 60 on the gradients of one group are divided by 0",
         swap((_STEP, f"{COUNTED[1]}        if self.steps == 60:\n"
                     "            self.muon[-1].stack.grad.div_(0.0)\n"))),
    Case("half_precision_overflow", "nan", "report", "the loss is scaled by 10,000 in float16 and back",
         swap((PENALTY, f"{PENALTY}            loss = (loss * 14000).half().float() / 14000\n"))),
    Case("root_of_negative", "nan", "report", "the root of a running sum that rounding makes negative at 40 %",
         swap((PENALTY, f"{PENALTY}            loss = loss + 0 * (torch.tensor(0.4 - run.progress)).sqrt()\n"))),
    # -- shape of the curve
    Case("glitch_in_rate", "spike", "tune", "the rate is 25 times as high for 2 steps in the middle",
         scaled("25 if 70 <= step < 72 else 1")),
    Case("garbage_batches", "spike", "tune", "4 steps of random tokens at 60 %",
         swap((MICROBATCH, f"{MICROBATCH}            if 90 <= step < 94:\n"
                           "                x, y = run.dummy_batch(rows)\n"))),
    Case("gradients_blown_up", "spike", "report", "Adam's power average is wiped at step 80",
         swap((_STEP, f"{COUNTED[1]}        if self.steps == 80:\n            for one in self.adam:\n"
                       "                for state in one.state.values():\n"
                       "                    state['exp_avg_sq'].mul_(1e-5)\n"))),
    Case("weights_jolted", "spike", "report", "noise is added to the weights at step 60, once",
         swap((_STEP, f"{COUNTED[1]}        if self.steps == 60:\n"
                       "            groups = [group['params'] for one in self.adam for group in one.param_groups]\n"
                       "            for p in [*(m.stack.value for m in self.muon), *sum(groups, [])]:\n"
                       "                p.add_(torch.randn_like(p) * 0.3)\n"))),
    Case("schedule_ends_early", "plateau", "tune", "the rate falls to 0 at 30 % of the budget and stays there",
         scaled("float(run.progress < 0.3)")),
    Case("optimizer_stops", "plateau", "tune", "no step is taken after 25 % of the budget",
         swap((_STEP, f"{COUNTED[1]}        if self.steps > 40:\n            return\n"))),
    Case("warmdown_by_steps", "plateau", "report", "a warm-down that counts 45 steps, not the budget",
         scaled("max(0.0, 1 - step / 45)")),
    Case("parameters_replaced", "plateau", "report", "at 35 % the parameters are copied, so the optimizer holds others",
         swap((MICROBATCH, "        if step == 52:\n            for p in model.parameters():\n"
                           "                p.data, p.grad = p.data.clone(), None\n" + MICROBATCH))),
    Case("trunk_detached", "no-gradient", "tune", "the trunk's output is detached: the head alone learns",
         swap((TRUNK, "    hidden = model.trunk(tokens).flatten(0, 1).detach()\n"))),
    Case("blocks_detached", "no-gradient", "report", "the last layer's input is detached, and its own output not added",
         swap(("            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)\n",
               "            y = self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0\n"
               "            x = y + block(y.detach(), tokens, cos, sin).detach()\n"))),
    Case("momentum_over_one", "diverged", "tune", "Muon's update is added: the sign is wrong in the second half",
         swap(COUNTED, ("self.scalar(m.lr * lr_scale)", "self.scalar(m.lr * lr_scale * (-1 if self.steps > 75 else 1))"))),
    Case("ascent_on_the_head", "diverged", "tune", "the head's rate is negative from 40 % on",
         swap(COUNTED, (ADAM, f"{ADAM} * (-1 if group is self.adam[-1].param_groups[2] and self.steps > 60 else 1)"))),
    Case("negative_decay", "diverged", "report", "weight decay with the wrong sign and 60 times as strong",
         swap(("self.scalar(m.decay * decay_scale)", "self.scalar(-60 * m.decay * decay_scale)"))),
    Case("maximizes_the_loss", "diverged", "report", "from 50 % on the gradient of the loss has the wrong sign",
         swap((BACKWARD, "            (loss if run.progress < 0.5 else -loss).backward()\n"))),
    # -- inside the model
    Case("bias_below_zero", "dead-units", "tune", "ReLU behind a fixed bias of -2.4",
         swap((RELU, "F.relu(self.up(x) - 2.4).square()"))),
    Case("killed_by_a_step", "dead-units", "tune", "from the start, seven of eight units are held below 0",
         swap((RELU, "F.relu(self.up(x) - 50 * (torch.arange(self.up.weight.size(0)) % 8 > 0).to(x.dtype)).square()"))),
    Case("wrong_side", "dead-units", "report", "ReLU behind a bias of -2 in every layer",
         swap((RELU, "F.relu(self.up(x) - 2).square()"))),
    Case("dead_after_a_third", "dead-units", "report", "at step 50 the first matrices of the MLPs are pushed below 0",
         swap((LOOP, LOOP + "        if step == 50:\n            for block in model.blocks:\n"
                     "                block.mlp.cut = 9.0\n"),
              (RELU, 'F.relu(self.up(x) - getattr(self, "cut", 0.0)).square()'))),
    Case("queries_30x", "attention-scores", "tune", "queries are 30 times as long, after their norm",
         swap((QK, f"{QK}\n        q = 30 * q"))),
    Case("no_qk_norm", "attention-scores", "tune", "no QK norm, and q and k begin 8 times as large",
         swap((QK, "        q, k = 8 * rotate(q, cos, sin), 8 * rotate(k, cos, sin)"))),
    Case("growing_scores", "attention-scores", "report", "no QK norm, rate of q and k 30 times: scores grow",
         swap((QK, "        q, k = 5 * rotate(30 * q - 29 * q.detach(), cos, sin), 5 * rotate(k, cos, sin)"))),
    Case("scale_forgotten", "attention-scores", "report", "scores are not divided by the root, and the norm is of length 8",
         swap((QK, "        q, k = 8 * norm(rotate(q, cos, sin)), 2.5 * norm(rotate(k, cos, sin))"))),
    # -- time and memory
    Case("slow_disk", "starved", "tune", "the feeder takes 60 ms longer over each row", pack_delay=0.06),
    Case("very_slow_disk", "starved", "tune", "the feeder takes half a second longer over each row", pack_delay=0.5,
         seed=3, budget="18432tok"),
    Case("slow_feeder_bigger_batch", "starved", "report", "the feeder takes 0.4 s longer over each row, batch doubled",
         constants(SMALL_TOTAL_BATCH=1024), pack_delay=0.4, budget="28672tok"),
    Case("busy_neighbour", "slowed", "tune", "paused two thirds of the time from 40 to 70 %", budget="60s", paused=(0.4, 0.7)),
    Case("hot_machine", "slowed", "tune", "paused two thirds of the time from 55 % to the end", budget="60s",
         paused=(0.55, 1.0), seed=5),
    Case("early_neighbour", "slowed", "report", "paused two thirds of the time from 20 to 55 %", budget="60s",
         paused=(0.2, 0.55), seed=6),
    Case("late_neighbour", "slowed", "report", "paused two thirds of the time from 70 to 95 %", budget="60s",
         paused=(0.7, 0.95), seed=8),
    Case("a_length_each_time", "recompiled", "tune", "compiled, and every 10th step has rows of another length",
         swap((PENALTY, "            if step % 10 == 9:\n                x, y = x[:, : 128 - 4 * (step // 10)], y[:, : 128 - 4 * (step // 10)]\n" + PENALTY),
              ("    gc.collect()  # once", '    step_loss = torch.compile(loss_of, dynamic=False, backend="aot_eager")\n    torch._dynamo.config.recompile_limit = 64\n    warm_up(step_loss, optimizer, *dummy)\n    gc.collect()  # once')), budget="9cpu"),
    Case("a_number_in_the_graph", "recompiled", "report", "compiled with a Python number that changes every 15 steps",
         swap(("    gc.collect()  # once", "    factor = [1.0]\n\n    def weighted(x: Tensor, y: Tensor) -> Tensor:\n        return training_loss(model, x, y, hp.LOSS_ROWS) * factor[0]\n\n"
               '    step_loss = torch.compile(weighted, dynamic=False, backend="aot_eager")\n    torch._dynamo.config.recompile_limit = 64\n    torch._dynamo.config.specialize_float = True\n    warm_up(step_loss, optimizer, *dummy)\n    gc.collect()  # once'),
              (PENALTY, "            factor[0] = 1.0 + (step // 15) / 1000\n" + PENALTY)), budget="9cpu"),
    Case("graphs_kept", "memory-growth", "tune", "every loss is kept with its graph",
         swap((LOOP, f"    kept = []\n{LOOP}"), (BACKWARD, "            loss.backward(retain_graph=True)\n            kept.append(loss)\n"))),
    Case("weights_kept", "memory-growth", "report", "a copy of all weights is kept at each step",
         swap((LOOP, f"    kept = []\n{LOOP}        kept.append([p.detach().clone() for p in model.parameters()])\n"))),
    # -- data and loss
    Case("eight_batches", "overfitting", "tune", "the same 8 batches again and again",
         swap((LOOP, f"    kept: list[Any] = []\n{LOOP}        if step < 8:\n            kept.append([(x.clone(), y.clone()) for x, y in microbatches])\n        microbatches = kept[step % 8]\n"))),
    Case("tiny_corpus", "overfitting", "report", "a corpus of 10 documents, read some 30 times", documents=10, budget="102400tok"),
    Case("three_documents", "overfitting", "report", "a corpus of 5 documents", documents=5),
    Case("targets_are_inputs", "loss-bug", "tune", "the targets are the inputs",
         swap((LOSS, "    return HeadLoss.apply(hidden, model.head.weight, tokens.flatten(), rows, model.config[\"softcap\"])"))),
    Case("loss_halved", "loss-bug", "tune", "the mean is over one token in two, divided by all",
         swap((LOSS, "    return 0.5 * HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config[\"softcap\"])"))),
    Case("shifted_twice", "loss-bug", "report", "the targets are shifted by two",
         swap((LOSS, "    return HeadLoss.apply(hidden, model.head.weight, targets.roll(-1, 1).flatten(), rows, model.config[\"softcap\"])"))),
    Case("looks_ahead", "loss-bug", "report", "training is not causal: the next token's embedding is mixed in",
         swap(("        x = x0 = norm(self.embed(tokens))\n",
               "        x = x0 = norm(self.embed(tokens))\n"
               "        if torch.is_grad_enabled():\n            x = x0 = x0 + 0.3 * x0.roll(-1, 1)\n"))),
]  # fmt: skip

_TUNED_EDITS = ("gelu", "cosine_decay", "swiglu", "wider", "dropout", "z_loss", "label_smoothing", "batch_halved")
_REPORTED_EDITS = (
    "deeper", "longer_warmup", "constant_rate", "parallel_blocks", "tied_embeddings", "narrow_softcap",
    "two_tokens_ahead", "sharper_attention", "batch_doubled", "plain_muon",
)  # fmt: skip
HEALTHY_RUNS = [
    *(Case(f"seed_{seed}", HEALTHY, "tune", "train.py as it is", seed=seed) for seed in range(1, 6)),
    *(Case(f"seed_{seed}", HEALTHY, "report", "train.py as it is", seed=seed) for seed in range(11, 17)),
    *(Case(f"edit_{name}", HEALTHY, "tune", f"the honest edit {name}", honest=name) for name in _TUNED_EDITS),
    *(Case(f"edit_{name}", HEALTHY, "report", f"the honest edit {name}", honest=name) for name in _REPORTED_EDITS),
    Case("small_1", HEALTHY, "tune", "the small profile as a user has it", seed=1, budget="12cpu", size="small"),
    Case("small_2", HEALTHY, "report", "the small profile as a user has it", seed=2, budget="12cpu", size="small"),
]
CASES = [*HEALTHY_RUNS, *BROKEN]

RIVALS = {"mini": "seed_1", "small": "small_1"}  # what a run of each size is held against
