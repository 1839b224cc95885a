"""A learned vector for each position instead of RoPE.

Source: GPT-2, and what Karpathy's first lectures had.
"""

EDITS = [
    (
        "        self.blocks = nn.ModuleList(",
        """\
        self.positions = nn.Embedding(config["sequence_length"], width)
        self.blocks = nn.ModuleList(""",
    ),
    (
        '            if name == "embedding.weight":',
        '            if name in ("embedding.weight", "positions.weight"):',
    ),
    (
        "        x = x0 = norm(self.embed(tokens))\n",
        """\
        places = self.positions.weight[: tokens.size(1)]
        x = x0 = norm(self.embed(tokens) + 0.3 * places.to(self.dtype))
""",
    ),
    (
        "        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))",
        "        q, k = norm(q), norm(k)",
    ),
    (
        '        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},\n',
        """\
        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},
        {"params": [model.positions.weight], "lr": embedding_lr / 10},
""",
    ),
]
