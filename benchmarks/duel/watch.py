"""What every trainer is measured by: one clock, copies of the weights on the way, and the bench's own scorer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

import evaluate
from benchmarks.duel.text import CURVE_SHARE, Text, lay_out

FREE_STEPS = 11  # that the reference's own clock leaves out

Tensors = Sequence[torch.Tensor]
Logits = Callable[[torch.Tensor], torch.Tensor]  # int64 [B, T] to [B, T, vocab]


@dataclass
class Snapshot:
    seconds: float
    tokens: int
    tensors: list[torch.Tensor]


@dataclass
class Watch:
    """Wall seconds from `start`, and at even shares of `seconds` a copy of what is being trained. Copying takes
    milliseconds, which count."""

    seconds: float
    points: int  # of the curve, the end among them; 1: no copies
    began: float = math.nan
    ended: float = math.nan
    snapshots: list[Snapshot] = field(default_factory=list)

    def start(self) -> None:
        self.began = time.perf_counter()

    @property
    def spent(self) -> float:
        return (time.perf_counter() if math.isnan(self.ended) else self.ended) - self.began

    def look(self, tokens: int, tensors: Callable[[], Tensors]) -> None:
        """To be called after every step, with the tokens that were trained on by then."""
        due = self.seconds * (len(self.snapshots) + 1) / self.points
        if len(self.snapshots) + 1 < self.points and self.spent >= due:
            copies = [tensor.detach().clone() for tensor in tensors()]
            self.snapshots.append(Snapshot(self.spent, tokens, copies))

    def stop(self) -> None:
        self.ended = time.perf_counter()

    @property
    def started_at(self) -> float:
        """When it was started, by the clock that all processes share."""
        return time.time() - (time.perf_counter() - self.began)


@dataclass
class StepWatch:
    """A watch on whatever torch.optim.Optimizer steps in this process. The first step compiles, so it is free: the
    clock starts after it. `batch`: tokens a step."""

    watch: Watch
    batch: Callable[[], int]
    synchronize: Callable[[], None]
    trained: list[torch.Tensor] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)  # of steps

    def install(self) -> None:
        register_optimizer_step_post_hook(self._after_step)

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        if not self.ends:
            self.trained.extend(p for group in optimizer.param_groups for p in group["params"])
            self.synchronize()
            self.watch.start()
        self.ends.append(time.perf_counter())
        self.watch.look(self.tokens, lambda: self.trained)

    @property
    def steps(self) -> int:
        return max(0, len(self.ends) - 1)

    @property
    def tokens(self) -> int:
        return self.steps * self.batch()

    def stop(self) -> None:
        self.synchronize()
        self.watch.stop()

    def report(self, scorer: Scorer, model: Logits, device: torch.device) -> dict[str, Any]:
        """The score, and what it took. `free_seconds`: of the steps after the first that the reference's own clock
        leaves out."""
        return {
            **scorer.report(model, device, self.trained, self.watch, self.tokens),
            "seconds": self.watch.spent, "tokens": self.tokens, "steps": self.steps, "free_tokens": self.batch(),
            "free_seconds": self.ends[min(FREE_STEPS, len(self.ends)) - 1] - self.ends[0],
        }  # fmt: skip


@dataclass(frozen=True)
class Tokens:
    """A tokenizer, as far as a score needs it. `sizes`: raw bytes of each token, int64 [vocab], 0 for special."""

    encode: Callable[[str], Sequence[int]]
    bos: int
    sizes: np.ndarray


@dataclass(frozen=True)
class Host:
    """What evaluate.losses_of asks of a model host, without the host's process: nothing here is out to cheat."""

    model: Logits
    shape: tuple[int, int, int]
    device: torch.device

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            got = self.model(ids.to(self.device))
            return evaluate.checked(got, (len(ids), *self.shape[1:])).float()


@dataclass(frozen=True)
class Scorer:
    """Bits per byte of the scored text by evaluate.py's arithmetic, for whatever tokenizer a trainer has."""

    whole: np.ndarray  # rows [N, T + 1]
    part: np.ndarray  # rows for a point of the curve
    heads: np.ndarray  # rows of beginnings of documents, one each where it fits
    sizes: np.ndarray

    @classmethod
    def of(cls, text: Text, tokens: Tokens, T: int) -> Scorer:
        def rows(share: float) -> np.ndarray:
            return lay_out((tokens.encode(document) for document in text.scored(share)), tokens.bos, T)

        heads = [lay_out([tokens.encode(head)], tokens.bos, T) for head in text.heads(T)]
        return cls(rows(1.0), rows(CURVE_SHARE), np.concatenate(heads), tokens.sizes)

    def score(self, model: Logits, device: torch.device, rows: np.ndarray) -> evaluate.Score:
        """Raises evaluate.Refused where logits are no logits, or not finite."""
        shape = (evaluate.ROWS, rows.shape[1] - 1, len(self.sizes))
        host: Any = Host(model, shape, device)
        losses = evaluate.losses_of(host, rows[:, :-1], rows[:, 1:])
        evaluate.require_finite(losses)
        return evaluate.add_up(losses, rows[:, 1:], self.sizes)

    def report(
        self, model: Logits, device: torch.device, trained: Tensors, watch: Watch, tokens: int
    ) -> dict[str, Any]:
        """The score of the model as it is and, where copies of `trained` were kept, its way there."""
        score = self.score(model, device, self.whole)
        heads = self.score(model, device, self.heads)
        curve = []
        if watch.snapshots:
            ends = [tensor.detach().clone() for tensor in trained]
            for one in [*watch.snapshots, Snapshot(watch.spent, tokens, ends)]:
                for tensor, then in zip(trained, one.tensors, strict=True):
                    tensor.detach().copy_(then)
                curve.append((one.seconds, one.tokens, self.score(model, device, self.part).bpb))
        return {
            "bpb": score.bpb, "heads_bpb": heads.bpb, "scored_bytes": score.bytes, "scored_tokens": score.tokens,
            "curve": curve,
        }  # fmt: skip
