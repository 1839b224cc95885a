"""PyTorch's own Muon for the matrices.

Source: torch.optim.Muon, since PyTorch 2.9.
"""

EDITS = [
    (
        "def build_optimizer(",
        """\
class TorchMuon(MuonAdamW):
    def __init__(self, adam: list[torch.optim.Optimizer], matrices: list[Tensor], lr: float, decay: float) -> None:
        super().__init__([], adam, 0, torch.float32)
        self.lr, self.decay = lr, decay
        self.inner = torch.optim.Muon(matrices, lr=lr, weight_decay=decay, adjust_lr_fn="original")

    def zero_grad(self) -> None:
        super().zero_grad()
        self.inner.zero_grad()

    @torch.no_grad()
    def step(self, lr_scale: float, momentum: float, decay_scale: float) -> None:
        super().step(lr_scale, momentum, decay_scale)
        settings = {"lr": self.lr * lr_scale, "weight_decay": self.decay * decay_scale, "momentum": momentum}
        self.inner.param_groups[0].update(settings)
        self.inner.step()


def build_optimizer(""",
    ),
    (
        """\
    shapes = sorted({p.shape for p in matrices})
    muon = [Muon([p for p in matrices if p.shape == shape], hp.MATRIX_LR, hp.MATRIX_DECAY) for shape in shapes]
    return MuonAdamW(muon, adam, hp.POLAR_STEPS, dtype)
""",
        """\
    return TorchMuon(adam, matrices, hp.MATRIX_LR, hp.MATRIX_DECAY)
""",
    ),
]
