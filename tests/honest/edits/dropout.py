"""Dropout of a tenth on what each layer adds, in training.

Source: Srivastava and others 2014; useful where a small corpus is read many times.
"""

EDITS = [
    (
        """\
        x = x + self.attention(norm(x), tokens, cos, sin)
        x = x + self.mlp(norm(x))
""",
        """\
        x = x + F.dropout(self.attention(norm(x), tokens, cos, sin), 0.1, self.training)
        x = x + F.dropout(self.mlp(norm(x)), 0.1, self.training)
""",
    )
]
