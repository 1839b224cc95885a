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
        {"params": [model.embedding.weight], "lr": embedding_lr, "weight_decay": EMBEDDING_DECAY},
""",
        """\
        {"params": [model.embedding.weight], "lr": head_lr, "weight_decay": EMBEDDING_DECAY},
""",
    ),
    ('        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},\n', ""),
]
