"""
What a diagnosis needs beside the loss: gradients, updates, dead neurons and attention scores of any model.
tools/diagnose.py reads them from a run's curve.
"""

from __future__ import annotations

import torch

from corpus import first_line


class Vitals:
    """Of every EVERY-th step, as 0-d tensors: nothing waits for the device."""

    EVERY = 16  # steps: then it costs a CPU 0.3 % of its time

    def __init__(self, model: torch.nn.Module, attention: type[torch.nn.Module] | None, vocab: int) -> None:
        self.model, self.attention, self.vocab = model, attention, vocab
        self.kept: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def kinds(self) -> dict[str, list[torch.Tensor]]:
        """The matrices by what they are for. Not tables of which a step touches a few rows alone."""
        tables = {id(one.weight): one for one in self.model.modules() if isinstance(one, torch.nn.Embedding)}
        kinds: dict[str, list[torch.Tensor]] = {"embedding": [], "head": [], "matrix": []}
        for name, p in self.model.named_parameters():
            table = tables.get(id(p))
            if p.ndim != 2 or (table is not None and (table.sparse or table.num_embeddings > self.vocab)):
                continue
            head = name.startswith("head") or self.vocab in p.shape
            kinds["embedding" if table is not None else "head" if head else "matrix"].append(p)
        return kinds

    def before_step(self, step: int) -> None:
        """Of every EVERY-th step keeps an eighth of the weights' rows, to see by how much the step moves them."""
        looks = step % self.EVERY == 0
        kinds = self.kinds() if looks else {}
        self.kept = {kind: [(p, p.detach()[::8].clone()) for p in own] for kind, own in kinds.items() if own}

    def after_step(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """For run.log, where before_step kept something, before the gradients are cleared; x [B, T] is any input.
        Of each kind the gradients' norm, and the update's as a share of the weights'; the share of neurons without
        gradient in the worst matrix; the largest |q·k| / √head_dim in the start of a row."""
        signs: dict[str, torch.Tensor] = {}
        if not self.kept:
            return signs
        with torch.no_grad():
            total = torch.nn.utils.get_total_norm
            for kind, own in self.kept.items():
                grads = [p.grad for p, _ in own if p.grad is not None and not p.grad.is_sparse]
                if grads:
                    signs[f"grad_{kind}"] = total(grads)
                moved = total([p[::8] - old for p, old in own if p[::8].shape == old.shape])
                signs[f"update_{kind}"] = moved / total([old for _, old in own]).clamp_min(1e-12)
                if kind == "matrix" and grads:  # a neuron is a row or a column, whichever are more
                    quiet = [g.abs().amax(-1 if g.size(0) >= g.size(1) else 0) == 0 for g in grads]
                    signs["dead"] = torch.stack([neurons.float().mean() for neurons in quiet]).amax()
            scores = self.scores(x)
        return signs | ({"score": torch.stack(scores).amax()} if scores else {})

    def scores(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The largest score in each attention, from a pass over the first quarter of a row."""
        found: list[torch.Tensor] = []

        def look(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            q, k = (one[0, -64:].float().transpose(0, 1) for one in given[:2])  # [heads, 64, head_dim]
            k = k.repeat_interleave(q.size(0) // k.size(0), dim=0)  # where several queries share a key
            found.append((q @ k.mT).abs().amax() / q.size(-1) ** 0.5)

        attends = [one for one in self.model.modules() if self.attention and isinstance(one, self.attention)]
        hooks = [one.register_forward_pre_hook(look) for one in attends]
        try:
            with torch.random.fork_rng([x.device] if x.is_cuda else []):  # a dropout must not shift what follows
                if hooks:
                    self.model(x[:1, : max(1, x.size(1) // 4)])
        except (RuntimeError, ValueError, TypeError, IndexError) as error:  # a diagnosis must not end a run
            print(f"train: no attention scores for a diagnosis ({first_line(error)})")
            self.attention = None
        finally:
            for hook in hooks:
                hook.remove()
        return found
