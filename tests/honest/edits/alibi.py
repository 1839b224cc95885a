"""A penalty that grows with distance, another for each head, instead of RoPE.

Source: ALiBi (arXiv 2108.12409).
"""

EDITS = [
    (
        """\
        self.attend = WindowedAttention(config, layer)
""",
        """\
        self.attend = WindowedAttention(config, layer)
        heads, context = width // self.head_dim, config["sequence_length"]
        slopes = 2.0 ** (-8 * torch.arange(1, heads + 1) / heads)
        ago = torch.arange(context)[:, None] - torch.arange(context)  # [query, key], in tokens
        bias = -slopes[:, None, None] * ago + self.attend.bias
        self.bias: Tensor
        self.register_buffer("bias", bias, persistent=False)
""",
    ),
    (
        "        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))",
        """\
        T = x.size(1)
        q, k, v = norm(q).transpose(1, 2), norm(k).transpose(1, 2), v.transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:, :T, :T].to(q.dtype))""",
    ),
    ("self.out(self.attend(q, k, v).reshape(x.shape))", "self.out(mixed.transpose(1, 2).reshape(x.shape))"),
]
