"""AdamW for the matrices too, each shape as one stack, in one fused call.

Source: torch.optim; nanoGPT trained with it.
"""

EDITS = [
    (
        "def build_optimizer(",
        """\
class StackedAdamW(MuonAdamW):
    def __init__(self, stacks: list[nn.Parameter], adam: list[Any], lr: float, decay: float) -> None:
        self.stacked = torch.optim.AdamW(stacks, lr=lr, weight_decay=decay, betas=ADAM_BETAS, fused=True)
        super().__init__([], [*adam, self.stacked], 0, torch.float32)

    def zero_grad(self) -> None:
        for one in self.adam:
            one.zero_grad(set_to_none=one is not self.stacked)


def build_optimizer(""",
    ),
    (
        """\
    shapes = sorted({p.shape for p in matrices})
    muon = [Muon([p for p in matrices if p.shape == shape], hp.MATRIX_LR, hp.MATRIX_DECAY) for shape in shapes]
    return MuonAdamW(muon, adam, hp.POLAR_STEPS, dtype)
""",
        """\
    shapes = sorted({p.shape for p in matrices})
    held = [Muon([p for p in matrices if p.shape == shape], 0.0, 0.0) for shape in shapes]
    stacks = [nn.Parameter(one.stack.value) for one in held]
    for stack, one in zip(stacks, held, strict=True):
        stack.grad = one.stack.grad
    return StackedAdamW(stacks, adam, 0.15 * hp.MATRIX_LR, hp.MATRIX_DECAY)
""",
    ),
]
