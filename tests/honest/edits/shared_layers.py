"""The same layers twice over: twice the depth for no more parameters.

Source: Universal Transformer (arXiv 1807.03819), ALBERT (arXiv 1909.11942).
"""

EDITS = [
    (
        """\
        for i, block in enumerate(self.blocks):
            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
""",
        """\
        for _ in range(2):
            for i, block in enumerate(self.blocks):
                x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
""",
    ),
    ("    return float(6 * matrices + 12 *", "    return float(12 * matrices + 24 *"),
]
