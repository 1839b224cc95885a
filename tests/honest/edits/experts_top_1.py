"""Four experts, of which each token goes through the one that its router likes best.

Token choice without a capacity: what a token gets never depends on what other tokens chose.

Source: Switch Transformer (arXiv 2101.03961) with its balance loss; MoE was a loss of time in nanochat's log.
"""

EDITS = [
    (
        "class MLP(nn.Module):\n",
        """\
class Experts(nn.Module):
    '''A router and some MLPs; `balance` is the last batch's balance loss.'''

    def __init__(self, width: int, experts: int = 4) -> None:
        super().__init__()
        self.router = Linear(width, experts)
        self.experts = nn.ModuleList(MLP(width) for _ in range(experts))
        self.balance: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        odds = self.router(x).float().softmax(-1)
        share, chosen = odds.max(-1)
        if self.training:
            busy = F.one_hot(chosen, odds.size(-1)).float().mean((0, 1))
            self.balance = odds.size(-1) * (busy * odds.mean((0, 1))).sum()
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            here = chosen == number
            y[here] = share[here, None].to(x.dtype) * expert(x[here])
        return y


class MLP(nn.Module):
""",
    ),
    ('Attention(config, layer), MLP(config["width"])', 'Attention(config, layer), Experts(config["width"])'),
    (
        "    return HeadLoss.apply(",
        """\
    balance = 0.01 * sum(block.mlp.balance for block in model.blocks)
    return balance + HeadLoss.apply(""",
    ),
]
