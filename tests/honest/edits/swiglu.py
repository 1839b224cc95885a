"""SwiGLU instead of ReLU², at the same number of parameters.

Source: Shazeer 2020 (arXiv 2002.05202); tried in nanochat's log.
"""

EDITS = [
    (
        "        self.up, self.down = Linear(width, 4 * width), Linear(4 * width, width)\n",
        """\
        hidden = 32 * round(8 * width / 3 / 32)  # three matrices in the room of two
        self.up, self.side, self.down = Linear(width, hidden), Linear(width, hidden), Linear(hidden, width)
""",
    ),
    ("self.down(F.relu(self.up(x)).square())", "self.down(F.silu(self.side(x)) * self.up(x))"),
]
