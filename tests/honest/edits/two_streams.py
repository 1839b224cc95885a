"""Two residual streams, which each layer reads from, writes to and mixes with learned weights.

Source: hyper-connections (arXiv 2409.19606), the static kind.
"""

EDITS = [
    (
        "        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))\n",
        """\
        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))
        self.read = nn.Parameter(torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(depth, 1)[:depth].contiguous())
        self.write = nn.Parameter(torch.ones(depth, 2))
        self.mix = nn.Parameter(torch.eye(2).repeat(depth, 1, 1))
""",
    ),
    (
        """\
            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
        return norm(x)
""",
        """\
            read, write, mix = (weights[i].to(x0.dtype) for weights in (self.read, self.write, self.mix))
            x = torch.einsum("s,sbtw->btw", read, streams)
            x = self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0
            added = block(x, tokens, cos, sin) - x
            streams = torch.einsum("rs,sbtw->rbtw", mix, streams) + write[:, None, None, None] * added
        return norm(streams.sum(0))
""",
    ),
    (
        "        for i, block in enumerate(self.blocks):\n",
        "        streams = x.expand(2, *x.shape)\n        for i, block in enumerate(self.blocks):\n",
    ),
    (
        "            elif weight.ndim == 2:\n",
        '            elif weight.ndim == 2 and name not in ("read", "write"):\n',
    ),
    (
        '        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},\n',
        """\
        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},
        {"params": [model.read, model.write], "lr": SCALAR_LR / 100},
        {"params": [model.mix], "lr": SCALAR_LR / 100},
""",
    ),
]
