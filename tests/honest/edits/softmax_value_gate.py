"""The value gate weighs v against the value embedding instead of adding the one to the other.

Source: nanochat's experiments with value residuals.
"""

EDITS = [
    (
        "            v = v + gate.unsqueeze(-1) * self.values(tokens).to(x.dtype).view(heads)\n",
        """\
            share = gate.unsqueeze(-1) / 2
            v = (1 - share) * v + share * self.values(tokens).to(x.dtype).view(heads)
""",
    )
]
