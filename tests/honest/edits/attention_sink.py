"""A place to look at that holds nothing: one more key and value, both zero, before the first token.

Source: softmax-plus-one (Miller 2023); attention sinks (arXiv 2309.17453); gpt-oss.
"""

EDITS = [
    (
        "            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)\n",
        """\
            y = F.scaled_dot_product_attention(
                q,
                F.pad(k, (0, 0, 1, 0)),
                F.pad(v, (0, 0, 1, 0)),
                attn_mask=F.pad(self.mask[:T, :T], (1, 0), value=True),
            )
""",
    ),
    (
        "        if self.flash is not None and q.is_cuda:\n",
        "        if self.flash is not None and q.is_cuda and self.window < T:\n",
    ),
]
