"""Eight small experts as one batched product, the best two of them added, and one that all tokens share.

Source: DeepSeekMoE (arXiv 2401.06066), dropless, with sigmoid scores.
"""

EDITS = [
    (
        "        self.up, self.down = Linear(width, 4 * width), Linear(4 * width, width)\n",
        """\
        self.up, self.down = Linear(width, 2 * width), Linear(2 * width, width)  # shared
        self.router = Linear(width, 8)
        self.experts_in = nn.Parameter(torch.empty(8, width, width))
        self.experts_out = nn.Parameter(torch.zeros(8, width, width))
        nn.init.normal_(self.experts_in, std=width**-0.5)
""",
    ),
    (
        "        y: Tensor = self.down(F.relu(self.up(x)).square())\n",
        """\
        y: Tensor = self.down(F.relu(self.up(x)).square())
        scores = self.router(x).float().sigmoid()
        best = scores.topk(2, dim=-1)
        shares = best.values / best.values.sum(-1, keepdim=True)
        weights = torch.zeros_like(scores).scatter(-1, best.indices, shares)
        hidden = F.relu(torch.einsum("btw,ewh->bteh", x, self.experts_in.to(x.dtype))).square()
        hidden = hidden * weights.to(x.dtype).unsqueeze(-1)
        y = y + torch.einsum("bteh,ehw->btw", hidden, self.experts_out.to(x.dtype))
""",
    ),
]
