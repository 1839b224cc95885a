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
        "        x = x0 = norm(self.embedding(tokens).to(self.dtype))\n",
        """\
        places = self.positions.weight[: tokens.size(1)]
        x = x0 = norm((self.embedding(tokens) + 0.3 * places).to(self.dtype))
""",
    ),
    (
        "        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))",
        "        q, k = norm(q), norm(k)",
    ),
    (
        '        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),\n',
        """\
        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),
        Group("adamw", [model.positions.weight], embedding_lr / 10),
""",
    ),
]
