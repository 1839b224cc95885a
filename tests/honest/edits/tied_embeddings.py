"""One matrix for embedding and unembedding.

Source: Press and Wolf 2016 (arXiv 1608.05859).
"""

EDITS = [
    (
        "        self.head = Linear(width, vocab)  # not the embedding again: it wants other learning rates\n",
        """\
        self.head = Linear(width, vocab)
        self.head.weight = self.embedding.weight
""",
    ),
    ("                nn.init.normal_(weight)\n", "                nn.init.normal_(weight, std=0.02)\n"),
    (
        """\
        Group("adamw", [model.embedding.weight], embedding_lr, EMBEDDING_DECAY),
""",
        """\
        Group("adamw", [model.embedding.weight], head_lr, EMBEDDING_DECAY),
""",
    ),
    ('        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),\n', ""),
]
