"""Neighbouring heads see each other's keys: two heads' rows are woven into one of twice the length.

Query 2t (of one head) and 2t + 1 (of the other) both stand for token t, and look at keys up to themselves.

Source: modded-nanogpt's record 58.
"""

EDITS = [
    (
        """\
        ago = torch.arange(context)[:, None] - torch.arange(context)  # [query, key], in tokens
        hidden = (ago < 0) | (ago >= window)
""",
        """\
        ago = torch.arange(2 * context)[:, None] - torch.arange(2 * context)  # [query, key], in half tokens
        hidden = (ago < 0) | (ago >= 2 * window)
""",
    ),
    (
        """\
        T = q.size(1)
        if self.flash is not None and q.is_cuda:
""",
        """\
        B, T, heads, head_dim = q.shape
        if heads % 2 == 0:
            q, k, v = (h.reshape(B, T, heads // 2, 2, head_dim).transpose(2, 3).flatten(1, 2) for h in (q, k, v))
            q, k, v = (h.transpose(1, 2) for h in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[: 2 * T, : 2 * T]).transpose(1, 2)
            return y.reshape(B, T, 2, heads // 2, head_dim).transpose(2, 3).reshape(B, T, heads, head_dim)
        if self.flash is not None and q.is_cuda:
""",
    ),
    ("attn_mask=self.bias[:T, :T])\n", "attn_mask=self.bias[: 2 * T : 2, : 2 * T : 2])\n"),
    ("k.mT + self.bias[:T, :T]", "k.mT + self.bias[: 2 * T : 2, : 2 * T : 2]"),
]
