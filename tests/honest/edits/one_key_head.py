"""One head of keys and values for all heads of queries.

Source: MQA (arXiv 1911.02150); mar8 found it worse.
"""

EDITS = [
    (
        "        self.q, self.k, self.v = Linear(width, width), Linear(width, width), Linear(width, width)\n",
        "        self.q, self.k, self.v = (Linear(width, n) for n in (width, self.head_dim, self.head_dim))\n",
    ),
    (
        'nn.Embedding(config["vocab_size"], width) if has_values',
        'nn.Embedding(config["vocab_size"], self.head_dim) if has_values',
    ),
    ("Linear(GATE_CHANNELS, width // self.head_dim)", "Linear(GATE_CHANNELS, 1)"),
    (
        "        y: Tensor = self.out(self.attend(q, k, v)",
        """\
        k, v = k.expand_as(q), v.expand_as(q)
        y: Tensor = self.out(self.attend(q, k, v)""",
    ),
]
