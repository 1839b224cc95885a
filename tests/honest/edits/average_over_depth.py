"""Each layer reads a learned average of all outputs before it.

Source: DenseFormer (arXiv 2402.02622); MUDDFormer is the dynamic kind.
"""

EDITS = [
    (
        "        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))\n",
        """\
        self.x0_lambdas = nn.Parameter(torch.full((depth,), X0_INIT))
        self.depth_weights = nn.Parameter(torch.eye(depth + 1)[1:].contiguous())  # [layer, output]
""",
    ),
    (
        """\
            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
""",
        """\
            outputs.append(block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin))
            weights = self.depth_weights[i, : len(outputs)].to(x.dtype)
            x = torch.einsum("o,obtw->btw", weights, torch.stack(outputs))
""",
    ),
    (
        "        for i, block in enumerate(self.blocks):\n",
        "        outputs = [x0]\n        for i, block in enumerate(self.blocks):\n",
    ),
    ("            elif weight.ndim == 2:\n", '            elif weight.ndim == 2 and name != "depth_weights":\n'),
    (
        '        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},\n',
        """\
        {"params": [model.residual_lambdas], "lr": SCALAR_LR / 100},
        {"params": [model.depth_weights], "lr": SCALAR_LR / 100},
""",
    ),
]
