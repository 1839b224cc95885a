"""A gated recurrence, computed by a scan in log2(T) rounds, where the window was short.

Source: minGRU (Feng and others 2024, arXiv 2410.01201); Mamba's scan (arXiv 2312.00752).
"""

EDITS = [
    (
        "class MLP(nn.Module):\n",
        """\
def scan(keep: Tensor, added: Tensor) -> Tensor:
    '''h[t] = keep[t] h[t - 1] + added[t] for [B, T, width]: each round doubles how far back h reaches.'''
    reach = 1
    while reach < keep.size(1):
        added = added + keep * F.pad(added[:, :-reach], (0, 0, reach, 0))
        keep = keep * F.pad(keep[:, :-reach], (0, 0, reach, 0))
        reach *= 2
    return added


class Recurrence(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["width"]
        self.update, self.state, self.out = Linear(width, width), Linear(width, width), Linear(width, width)

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        share = torch.sigmoid(self.update(x).float())
        y: Tensor = self.out(norm(scan(1 - share, share * self.state(x).float())).to(x.dtype))
        return y


class MLP(nn.Module):
""",
    ),
    (
        '        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])\n',
        """\
        short = config["windows"][layer] < config["sequence_length"]
        self.attention = Recurrence(config) if short else Attention(config, layer)
        self.mlp = MLP(config["width"])
""",
    ),
]
