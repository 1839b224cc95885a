"""Adafactor for the large tables: a number a row and a number a column instead of one for each weight.

Source: Shazeer and Stern 2018 (arXiv 1804.04235).
"""

EDITS = [
    (
        "def neuron_axis(",
        """\
def adafactor_update(s: Stack, lr: Scalar, decay: Scalar, step: Scalar, betas: tuple[float, float]) -> None:
    rows, columns = s.power[..., :, :1], s.mean[..., :1, :]  # all that is used of either
    square, fresh = s.grad.square() + 1e-30, step**-0.8
    rows.lerp_(square.mean(-1, keepdim=True), fresh)
    columns.lerp_(square.mean(-2, keepdim=True), fresh)
    power = rows * columns / rows.mean(-2, keepdim=True)
    update = s.grad * power.clamp_min(1e-30).rsqrt()
    update = update / update.square().mean().sqrt().clamp_min(1.0)
    s.value.mul_(1 - lr * decay).sub_(lr * update)


def neuron_axis(""",
    ),
    (
        "                self.adamw(g.stack, lr, self.scalar(g.decay), self.scalar(self.steps), g.betas)\n",
        """\
                update = adafactor_update if g.stack.value.ndim == 3 else self.adamw
                update(g.stack, lr, self.scalar(g.decay), self.scalar(self.steps), g.betas)
""",
    ),
]
