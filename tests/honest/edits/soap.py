"""SOAP for the matrices: Adam in the eigenbasis of Shampoo's two matrices, looked up anew every ten steps.

Source: Vyas and others 2024 (arXiv 2409.11321), with no basis for a side longer than 256.
"""

EDITS = [
    (
        "class MuonAdamW:\n",
        """\
class Soap:
    '''The state and step of one stack of matrices [n, rows, columns].'''

    LARGEST, EVERY, BETA = 256, 10, 0.95

    def __init__(self, stack: Stack) -> None:
        self.stack, self.power = stack, torch.zeros_like(stack.value)
        self.sides: list[Tensor | None] = []  # gradient covariances, [n, side, side]
        self.bases: list[Tensor | None] = []
        for side in stack.value.shape[1:]:
            eye = torch.eye(side, device=stack.value.device).repeat(len(stack.value), 1, 1)
            small = side <= self.LARGEST
            self.sides.append(torch.zeros_like(eye) if small else None)
            self.bases.append(eye if small else None)

    def turn(self, x: Tensor, back: bool = False) -> Tensor:
        left, right = self.bases
        if left is not None:
            x = (left if back else left.mT) @ x
        if right is not None:
            x = x @ (right.mT if back else right)
        return x

    def step(self, lr: float, decay: float, count: int) -> None:
        s = self.stack
        products = (s.grad @ s.grad.mT, s.grad.mT @ s.grad)
        for i, (side, product) in enumerate(zip(self.sides, products, strict=True)):
            if side is not None:
                side.lerp_(product, 1 - self.BETA)
                if count % self.EVERY == 1:
                    self.bases[i] = torch.linalg.eigh(side).eigenvectors
        s.mean.lerp_(s.grad, 1 - self.BETA)
        self.power.lerp_(self.turn(s.grad).square(), 1 - self.BETA)
        bias = 1 - self.BETA**count
        update = self.turn(self.turn(s.mean / bias) / ((self.power / bias).sqrt() + 1e-8), back=True)
        s.value.mul_(1 - lr * decay).sub_(lr * update)


class MuonAdamW:
""",
    ),
    (
        "        self.update = muon_update\n",
        """\
        self.update = muon_update
        self.soaps, self.steps = [Soap(m.stack) for m in muon], 0
""",
    ),
    (
        """\
        for m in self.muon:
            lr, decay = self.scalar(m.lr * lr_scale), self.scalar(m.decay * decay_scale)
            self.update(m.stack, lr, decay, self.scalar(momentum), self.rounds, self.dtype)
""",
        """\
        self.steps += 1
        for m, soap in zip(self.muon, self.soaps, strict=True):
            soap.step(0.15 * m.lr * lr_scale, m.decay * decay_scale, self.steps)
""",
    ),
]
