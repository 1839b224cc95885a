"""The same layers over and over: a random number of rounds in training, four when the model is used.

Source: recurrent depth, Geiping and others 2025 (arXiv 2502.05171).
"""

EDITS = [
    (
        """\
        for i, block in enumerate(self.blocks):
            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
""",
        """\
        rounds = int(torch.randint(1, 4, ())) if self.training else 4
        for _ in range(rounds):
            for i, block in enumerate(self.blocks):
                x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)
""",
    )
]
