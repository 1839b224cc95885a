"""SGD with Nesterov momentum for the matrices.

Source: an ablation: what is lost without any preconditioning.
"""

EDITS = [
    (
        "def build_optimizer(",
        """\
class SGDAdamW(MuonAdamW):
    def __init__(self, groups: list[Group], rounds: int, dtype: torch.dtype) -> None:
        super().__init__([g for g in groups if g.rule == "adamw"], rounds, dtype)
        self.matrices = [g for g in groups if g.rule == "muon"]
        for g in self.matrices:
            g.stack.value.grad = g.stack.grad
        stacks = [g.stack.value for g in self.matrices]
        self.sgd = torch.optim.SGD(stacks, lr=0.05, momentum=0.9, nesterov=True, foreach=True)

    def zero_grad(self) -> None:
        super().zero_grad()
        self.sgd.zero_grad(set_to_none=False)

    @torch.no_grad()
    def step(self, lr_scale: float, momentum: float, decay_scale: float) -> None:
        super().step(lr_scale, momentum, decay_scale)
        self.sgd.param_groups[0].update(lr=0.05 * lr_scale, momentum=momentum)
        self.sgd.step()


def build_optimizer(""",
    ),
    (
        "    return MuonAdamW(groups, hp.POLAR_STEPS, dtype)\n",
        "    return SGDAdamW(groups, hp.POLAR_STEPS, dtype)\n",
    ),
]
