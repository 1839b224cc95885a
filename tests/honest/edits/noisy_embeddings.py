"""Uniform noise on the embeddings in training, from a generator that follows the run's seed.

Source: NEFTune (arXiv 2310.05914).
"""

EDITS = [
    (
        "        x = x0 = norm(self.embed(tokens))\n",
        """\
        x = self.embed(tokens)
        if self.training:
            noise = torch.rand(x.shape, generator=self.dice, device=x.device).to(x.dtype) * 2 - 1
            x = x + noise * 5 / math.sqrt(x.size(1) * x.size(2))
        x = x0 = norm(x)
""",
    ),
    (
        "        self.blocks = nn.ModuleList(",
        """\
        self.dice: torch.Generator | None = None
        self.blocks = nn.ModuleList(""",
    ),
    (
        "    model = build_model(config).to(run.device)\n",
        """\
    model = build_model(config).to(run.device)
    model.dice = torch.Generator(run.device).manual_seed(run.seed)
""",
    ),
]
