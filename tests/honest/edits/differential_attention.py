"""The difference of two attention maps: what both look at is noise and cancels.

Source: Ye and others 2024 (arXiv 2410.05258), with one learned weight a head.
"""

EDITS = [
    (
        "        self.out = Linear(width, width)\n",
        """\
        self.out = Linear(width, width)
        self.less = nn.Parameter(torch.full((width // self.head_dim,), -1.4))  # sigmoid: 0.2
""",
    ),
    (
        "        q, k, v = self.q(x).view(heads), self.k(x).view(heads), self.v(x).view(heads)\n",
        """\
        halves = (*x.shape[:2], -1, self.head_dim // 2)  # two maps a head
        q, k, v = self.q(x).view(halves), self.k(x).view(halves), self.v(x).view(heads)
""",
    ),
    (
        "        y: Tensor = self.out(self.attend(q, k, v).reshape(x.shape))\n",
        """\
        wanted = self.attend(q[:, :, 0::2], k[:, :, 0::2], v)
        unwanted = self.attend(q[:, :, 1::2], k[:, :, 1::2], v)
        mixed = norm(wanted - self.less.sigmoid().to(x.dtype)[:, None] * unwanted)
        y: Tensor = self.out(mixed.reshape(x.shape))
""",
    ),
    (
        'rotary_angles(config["sequence_length"], config["head_dim"])',
        'rotary_angles(config["sequence_length"], config["head_dim"] // 2)',
    ),
    (
        '"values" not in name and p.ndim > 1]\n',
        '"values" not in name and "less" not in name and p.ndim > 1]\n',
    ),
    (
        "    adam: list[torch.optim.Optimizer] = [\n",
        """\
    groups.append({"params": [p for name, p in inside.items() if "less" in name], "lr": SCALAR_LR / 100})
    adam: list[torch.optim.Optimizer] = [
""",
    ),
]
