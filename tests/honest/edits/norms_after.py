"""Norms after attention and MLP instead of before, with outputs that do not start at zero.

Source: OLMo 2 (arXiv 2501.00656).
"""

EDITS = [
    (
        """\
        x = x + self.attention(norm(x), tokens, cos, sin)
        x = x + self.mlp(norm(x))
""",
        """\
        x = x + norm(self.attention(x, tokens, cos, sin))
        x = x + norm(self.mlp(x))
""",
    ),
    (
        '            elif name.endswith(("out.weight", "down.weight", "gate.weight", "pairs.weight")):',
        '            elif name.endswith(("gate.weight", "pairs.weight")):',
    ),
]
