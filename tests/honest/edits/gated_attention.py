"""Each head's output through a gate that reads twelve channels: a head can say nothing.

Source: modded-nanogpt's record 28; Qiu and others 2025 (arXiv 2505.06708).
"""

EDITS = [
    (
        "        self.out = Linear(width, width)\n",
        """\
        self.out = Linear(width, width)
        self.out_gate = Linear(12, width // self.head_dim)
""",
    ),
    (
        "        y: Tensor = self.out(self.attend(q, k, v).reshape(x.shape))\n",
        """\
        open_share = 2 * torch.sigmoid(self.out_gate(x[..., :12]))  # [B, T, heads], 1 at the start
        y: Tensor = self.out((open_share.unsqueeze(-1) * self.attend(q, k, v)).reshape(x.shape))
""",
    ),
]
