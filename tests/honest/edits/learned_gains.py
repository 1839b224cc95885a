"""A learned gain for each channel after the norms of attention and MLP.

Source: RMSNorm as Zhang and Sennrich had it (arXiv 1910.07467).
"""

EDITS = [
    (
        '        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])\n',
        """\
        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])
        self.gain_a, self.gain_m = (nn.Parameter(torch.ones(config["width"])) for _ in range(2))
""",
    ),
    (
        """\
        x = x + self.attention(norm(x), tokens, cos, sin)
        x = x + self.mlp(norm(x))
""",
        """\
        x = x + self.attention(self.gain_a.to(x.dtype) * norm(x), tokens, cos, sin)
        x = x + self.mlp(self.gain_m.to(x.dtype) * norm(x))
""",
    ),
    (
        "    adam: list[torch.optim.Optimizer] = [\n",
        """\
    groups.append({"params": [p for p in inside.values() if p.ndim == 1], "lr": SCALAR_LR / 50})
    adam: list[torch.optim.Optimizer] = [
""",
    ),
]
