"""Four layers as a U: the third also reads the second's output, the fourth the first's.

Source: modded-nanogpt's U-net skips.
"""

EDITS = [
    ("SMALL_DEPTH", "4"),
    (
        "        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))\n",
        """\
        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))
        self.skip_lambdas = nn.Parameter(torch.full((depth // 2, 1), 0.3))
""",
    ),
    (
        """\
            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
""",
        """\
            x = self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0
            if i >= len(self.blocks) - len(self.skip_lambdas):
                x = x + self.skip_lambdas[len(self.blocks) - 1 - i] * earlier.pop()
            x = block(x, tokens, cos, sin)
            if i < len(self.skip_lambdas):
                earlier.append(x)
""",
    ),
    (
        "        for i, block in enumerate(self.blocks):\n",
        "        earlier: list[Tensor] = []\n        for i, block in enumerate(self.blocks):\n",
    ),
    (
        '        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},\n',
        """\
        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},
        {"params": [model.skip_lambdas], "lr": SCALAR_LR / 100},
""",
    ),
]
