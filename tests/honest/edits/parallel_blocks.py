"""Attention and MLP side by side, from one norm.

Source: GPT-J and PaLM (arXiv 2204.02311); mar8 found it worse.
"""

EDITS = [
    (
        """\
        x = x + self.attention(norm(x), tokens, cos, sin)
        x = x + self.mlp(norm(x))
""",
        """\
        h = norm(x)
        x = x + self.attention(h, tokens, cos, sin) + self.mlp(h)
""",
    )
]
