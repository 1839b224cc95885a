"""PyTorch's own Muon for the matrices, AdamW here for the rest.

Source: torch.optim.Muon, since PyTorch 2.9.
"""

EDITS = [
    (
        "def build_optimizer(",
        """\
class TorchMuon(MuonAdamW):
    def __init__(self, groups: list[Group], matrices: list[Tensor], lr: float, decay: float) -> None:
        super().__init__(groups, 0, torch.float32)
        self.lr, self.decay = lr, decay
        self.inner = torch.optim.Muon(matrices, lr=lr, weight_decay=decay, adjust_lr_fn="original")

    def zero_grad(self) -> None:
        super().zero_grad()
        self.inner.zero_grad(set_to_none=False)

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
    for shape in sorted({p.shape for p in matrices}):
        groups.append(Group("muon", [p for p in matrices if p.shape == shape], hp.MATRIX_LR, hp.MATRIX_DECAY))
    return MuonAdamW(groups, hp.POLAR_STEPS, dtype)
""",
        """\
    return TorchMuon(groups, matrices, hp.MATRIX_LR, hp.MATRIX_DECAY)
""",
    ),
]
