"""A gated share of the previous token's embedding is added to each one's.

Source: modded-nanogpt's smear module; nanochat's second round of changes.
"""

EDITS = [
    (
        "        self.blocks = nn.ModuleList(",
        """\
        self.smear_gate = Linear(12, 1)
        self.blocks = nn.ModuleList(""",
    ),
    (
        "        x = x0 = norm(self.embedding(tokens).to(self.dtype))\n",
        """\
        x = norm(self.embedding(tokens).to(self.dtype))
        share = 0.2 * torch.sigmoid(self.smear_gate(x[..., :12]))  # [B, T, 1]
        x = x0 = norm(x + share * F.pad(x[:, :-1], (0, 0, 1, 0)))
""",
    ),
    (
        '        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),\n',
        """\
        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),
        Group("adamw", [model.smear_gate.weight], head_lr),
""",
    ),
]
