"""An embedding of the last two tokens, hashed, added to the first one's.

Source: modded-nanogpt's record 62; engram-like tables before it.
"""

EDITS = [
    (
        "        self.blocks = nn.ModuleList(",
        """\
        self.bigrams = nn.Embedding(5 * vocab, width)
        self.blocks = nn.ModuleList(""",
    ),
    (
        '            elif name == "head.weight":',
        """\
            elif name == "bigrams.weight":
                nn.init.zeros_(weight)
            elif name == "head.weight":""",
    ),
    (
        "        x = x0 = norm(self.embedding(tokens).to(self.dtype))\n",
        """\
        before = F.pad(tokens[:, :-1], (1, 0))
        pair = (36_313 * tokens ^ 27_191 * before) % self.bigrams.num_embeddings
        x = x0 = norm((self.embedding(tokens) + self.bigrams(pair)).to(self.dtype))
""",
    ),
    (
        '        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),\n',
        """\
        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),
        Group("adamw", [model.bigrams.weight], embedding_lr / 4),
""",
    ),
]
