"""Linear attention with decay, where the window was short: softmax is left to the layers that see all.

Source: GLA (arXiv 2312.06635), with one decay a head; RetNet (arXiv 2307.08621). The parallel form.
"""

EDITS = [
    (
        "class MLP(nn.Module):\n",
        """\
class LinearAttention(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, self.head_dim = config["width"], config["head_dim"]
        self.q, self.k, self.v = Linear(width, width), Linear(width, width), Linear(width, width)
        self.decay, self.out = Linear(width, width // self.head_dim), Linear(width, width)

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        heads, T = (*x.shape[:2], -1, self.head_dim), x.size(1)
        q, k, v = self.q(x).view(heads), F.silu(self.k(x)).view(heads), self.v(x).view(heads)
        kept = F.logsigmoid(self.decay(x).float() + 3).cumsum(1)  # [B, T, heads], log of what is left
        future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        between = (kept[:, :, None] - kept[:, None]).masked_fill(future[:, :, None], -torch.inf).exp()
        scores = torch.einsum("bqhd,bkhd->bqkh", q, k) * between.to(x.dtype)
        y: Tensor = self.out(norm(torch.einsum("bqkh,bkhd->bqhd", scores, v)).reshape(x.shape))
        return y


class MLP(nn.Module):
""",
    ),
    (
        '        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])\n',
        """\
        short = config["windows"][layer] < config["sequence_length"]
        self.attention = LinearAttention(config) if short else Attention(config, layer)
        self.mlp = MLP(config["width"])
""",
    ),
]
