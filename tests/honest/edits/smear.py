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
        "        x = x0 = norm(self.embed(tokens))\n",
        """\
        x = norm(self.embed(tokens))
        share = 0.2 * torch.sigmoid(self.smear_gate(x[..., :12]))  # [B, T, 1]
        x = x0 = norm(x + share * F.pad(x[:, :-1], (0, 0, 1, 0)))
""",
    ),
    (
        '        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},\n',
        """\
        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},
        {"params": [model.smear_gate.weight], "lr": head_lr},
""",
    ),
]
