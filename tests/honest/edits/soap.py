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
        "        self.groups, self.rounds, self.dtype, self.steps = groups, rounds, dtype, 0\n",
        """\
        self.groups, self.rounds, self.dtype, self.steps = groups, rounds, dtype, 0
        self.soaps = {id(g): Soap(g.stack) for g in groups if g.rule == "muon"}
""",
    ),
    (
        "                self.muon(g.stack, lr, decay, self.scalar(momentum), self.rounds, self.dtype)\n",
        "                self.soaps[id(g)].step(0.15 * g.lr * lr_scale, g.decay * decay_scale, self.steps)\n",
    ),
]
