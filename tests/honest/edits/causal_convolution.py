"""A depthwise convolution over four tokens before attention and before the MLP.

Source: Canon layers (Allen-Zhu 2025); Primer's (arXiv 2109.08668) convolutions after projections.
"""

EDITS = [
    (
        "class Block(nn.Module):\n",
        """\
class Canon(nn.Module):
    '''x plus its convolution with a learned filter for each channel, over this token and the three before.'''

    def __init__(self, width: int, reach: int = 4) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.zeros(width, 1, reach))

    def forward(self, x: Tensor) -> Tensor:
        past = F.pad(x.mT, (self.filter.size(-1) - 1, 0))
        return x + F.conv1d(past, self.filter.to(x.dtype), groups=x.size(-1)).mT


class Block(nn.Module):
""",
    ),
    (
        '        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])\n',
        """\
        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])
        self.canon_a, self.canon_m = Canon(config["width"]), Canon(config["width"])
""",
    ),
    (
        """\
        x = x + self.attention(norm(x), tokens, cos, sin)
        x = x + self.mlp(norm(x))
""",
        """\
        x = x + self.attention(self.canon_a(norm(x)), tokens, cos, sin)
        x = x + self.mlp(self.canon_m(norm(x)))
""",
    ),
    (
        '"values" not in name and p.ndim > 1]\n',
        '"values" not in name and "canon" not in name and p.ndim > 1]\n',
    ),
    (
        "    adam: list[torch.optim.Optimizer] = [\n",
        """\
    groups.append({"params": [p for name, p in inside.items() if "canon" in name], "lr": hp.MATRIX_LR / 10})
    adam: list[torch.optim.Optimizer] = [
""",
    ),
]
