"""Four layers, of which the upper two join after a third of the budget; until then steps are cheap.

Source: progressive stacking, Gong and others 2019.
"""

EDITS = [
    ("SMALL_DEPTH", "4"),
    (
        "        for i, block in enumerate(self.blocks):\n",
        "        for i, block in enumerate(self.blocks[: self.used]):\n",
    ),
    (
        "        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(depth))\n",
        """\
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(depth))
        self.used = depth  # layers
""",
    ),
    (
        "        mean_loss = torch.zeros((), device=run.device)\n",
        """\
        model.used = hp.DEPTH if run.progress > 0.35 else (hp.DEPTH + 1) // 2
        mean_loss = torch.zeros((), device=run.device)
""",
    ),
]
