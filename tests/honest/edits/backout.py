"""The head sees the stream less a learned share of what it was half-way: what served as scaffold goes.

Source: modded-nanogpt's backout; nanochat's second round of changes.
"""

EDITS = [
    (
        "        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))\n",
        """\
        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))
        self.backout = nn.Parameter(torch.full((1,), 0.2))
""",
    ),
    (
        """\
            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
        return norm(x)
""",
        """\
            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
            if i == len(self.blocks) // 2 - 1:
                half_way = x
        return norm(x - self.backout.to(x.dtype) * half_way)
""",
    ),
    (
        '        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},\n',
        """\
        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},
        {"params": [model.backout], "lr": SCALAR_LR / 100},
""",
    ),
]
