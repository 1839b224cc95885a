"""Adafactor for the tables: a number a row and a number a column instead of one for each weight.

Source: Shazeer and Stern 2018 (arXiv 1804.04235).
"""

EDITS = [
    (
        "def build_optimizer(",
        """\
class Adafactor(torch.optim.Optimizer):
    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.01, "weight_decay": 0.0})
        self.steps = 0

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                self.one(p, group["lr"], group["weight_decay"])

    def one(self, p: Tensor, lr: float, decay: float) -> None:
        square, state = p.grad.square() + 1e-30, self.state[p]
        if "rows" not in state:
            state["rows"] = torch.zeros_like(square.mean(-1, keepdim=True))
            state["columns"] = torch.zeros_like(square.mean(0, keepdim=True))
        rows, columns, fresh = state["rows"], state["columns"], self.steps**-0.8
        rows.lerp_(square.mean(-1, keepdim=True), fresh)
        columns.lerp_(square.mean(0, keepdim=True), fresh)
        power = rows * columns / rows.mean(0, keepdim=True) if p.ndim == 2 else columns
        update = p.grad * power.clamp_min(1e-30).rsqrt()
        p.mul_(1 - lr * decay).sub_(lr * update / update.square().mean().sqrt().clamp_min(1.0))



def build_optimizer(""",
    ),
    ("torch.optim.AdamW(groups, betas=ADAM_BETAS, eps=1e-10, weight_decay=0.0, fused=True)", "Adafactor(groups)"),
]
