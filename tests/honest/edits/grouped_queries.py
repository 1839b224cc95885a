"""Two heads of queries to each head of keys and values.

Source: GQA (arXiv 2305.13245).
"""

EDITS = [
    ("SMALL_HEAD_DIM", "16"),
    (
        "        self.q, self.k, self.v = Linear(width, width), Linear(width, width), Linear(width, width)\n",
        """\
        kv_width = width // 2
        self.q, self.k, self.v = Linear(width, width), Linear(width, kv_width), Linear(width, kv_width)
""",
    ),
    (
        'nn.Embedding(config["vocab_size"], width) if has_values',
        'nn.Embedding(config["vocab_size"], kv_width) if has_values',
    ),
    ("Linear(GATE_CHANNELS, width // self.head_dim)", "Linear(GATE_CHANNELS, kv_width // self.head_dim)"),
    (
        "        y: Tensor = self.out(self.attend(q, k, v)",
        """\
        k, v = k.repeat_interleave(2, dim=2), v.repeat_interleave(2, dim=2)
        y: Tensor = self.out(self.attend(q, k, v)""",
    ),
]
