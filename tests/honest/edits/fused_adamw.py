"""PyTorch's fused AdamW, for all stacks, behind the three calls that the loop makes.

Source: torch.optim; nanoGPT trained with it.
"""

EDITS = [
    (
        "def build_optimizer(",
        """\
class FusedAdamW(MuonAdamW):
    def __init__(self, groups: list[Group], rounds: int, dtype: torch.dtype) -> None:
        super().__init__(groups, rounds, dtype)
        settings = []
        for g in groups:
            g.stack.value.grad = g.stack.grad
            g.lr *= 0.15 if g.rule == "muon" else 1.0
            settings.append({"params": [g.stack.value], "lr": g.lr, "weight_decay": g.decay, "betas": g.betas})
        self.inner = torch.optim.AdamW(settings, eps=1e-10, fused=True)

    @torch.no_grad()
    def step(self, lr_scale: float, momentum: float, decay_scale: float) -> None:
        for g, settings in zip(self.groups, self.inner.param_groups, strict=True):
            settings["lr"] = g.lr * lr_scale
        self.inner.step()


def build_optimizer(""",
    ),
    (
        "    return MuonAdamW(groups, hp.POLAR_STEPS, dtype)\n",
        "    return FusedAdamW(groups, hp.POLAR_STEPS, dtype)\n",
    ),
]
