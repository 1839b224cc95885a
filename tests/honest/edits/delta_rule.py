"""A recurrent memory that overwrites what it holds at a key, where the window was short.

Source: Gated DeltaNet (arXiv 2412.06464), token by token instead of in chunks.
"""

EDITS = [
    (
        "class MLP(nn.Module):\n",
        """\
class DeltaRule(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, self.head_dim = config["width"], config["head_dim"]
        self.q, self.k, self.v = Linear(width, width), Linear(width, width), Linear(width, width)
        self.rates, self.out = Linear(width, 2 * width // self.head_dim), Linear(width, width)

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        heads = (*x.shape[:2], -1, self.head_dim)
        q, k, v = (F.silu(m(x)).view(heads).float() for m in (self.q, self.k, self.v))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        write, keep = torch.sigmoid(self.rates(x).float()).chunk(2, dim=-1)  # [B, T, heads]
        keep = 0.9 + 0.1 * keep
        memory, read = x.new_zeros(len(x), q.size(2), self.head_dim, self.head_dim, dtype=torch.float32), []
        for t in range(x.size(1)):
            memory = keep[:, t, :, None, None] * memory
            wrong = v[:, t] - torch.einsum("bhkv,bhk->bhv", memory, k[:, t])
            memory = memory + torch.einsum("bhk,bhv->bhkv", k[:, t], write[:, t, :, None] * wrong)
            read.append(torch.einsum("bhkv,bhk->bhv", memory, q[:, t]))
        y: Tensor = self.out(norm(torch.stack(read, dim=1)).to(x.dtype).reshape(x.shape))
        return y


class MLP(nn.Module):
""",
    ),
    (
        '        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])\n',
        """\
        short = config["windows"][layer] < config["sequence_length"]
        self.attention = DeltaRule(config) if short else Attention(config, layer)
        self.mlp = MLP(config["width"])
""",
    ),
]
