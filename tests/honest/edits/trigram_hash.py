"""A table of threes of tokens, hashed, beside that of pairs.

Source: modded-nanogpt's record 62 has pairs; engram-like tables go on to threes.
"""

EDITS = [
    (
        "        self.blocks = nn.ModuleList(",
        """\
        self.threes = nn.Embedding(5 * vocab, width)
        self.blocks = nn.ModuleList(""",
    ),
    ('"pairs.weight")):', '"pairs.weight", "threes.weight")):'),
    (
        "            x = x + self.pairs(((36313 * tokens) ^ (27191 * before)) % self.pairs.num_embeddings)\n",
        """\
            pairs = (36313 * tokens) ^ (27191 * before)
            threes = (pairs ^ (52_361 * F.pad(before, (1, -1)))) % self.threes.num_embeddings
            x = x + self.pairs(pairs % self.pairs.num_embeddings) + self.threes(threes)
""",
    ),
    (
        '        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},\n',
        """\
        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},
        {"params": [model.threes.weight], "lr": embedding_lr / 4},
""",
    ),
]
