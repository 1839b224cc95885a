"""Lion instead of AdamW: the sign of an average is the step.

Source: Chen and others 2023 (arXiv 2302.06675), with a hundredth of AdamW's rate.
"""

EDITS = [
    (
        "def build_optimizer(",
        """\
class Lion(torch.optim.Optimizer):
    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.01, "weight_decay": 0.0, "betas": ADAM_BETAS})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, decay, betas = group["lr"], group["weight_decay"], group["betas"]
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                update = mean.lerp(p.grad, 1 - betas[0]).sign_()
                p.mul_(1 - lr * decay).sub_(update * (lr / 100))
                mean.lerp_(p.grad, 1 - betas[1])



def build_optimizer(""",
    ),
    ("torch.optim.AdamW(groups, betas=ADAM_BETAS, eps=1e-10, weight_decay=0.0, fused=True)", "Lion(groups)"),
]
