"""Keys and values from one narrow latent.

Source: multi-head latent attention, DeepSeek-V2 (arXiv 2405.04434), without its decoupled RoPE.
"""

EDITS = [
    (
        "        self.q, self.k, self.v = Linear(width, width), Linear(width, width), Linear(width, width)\n",
        """\
        self.q, self.latent = Linear(width, width), Linear(width, width // 4)
        self.k, self.v = Linear(width // 4, width), Linear(width // 4, width)
""",
    ),
    (
        "        q, k, v = self.q(x).view(heads), self.k(x).view(heads), self.v(x).view(heads)\n",
        """\
        latent = norm(self.latent(x))
        q, k, v = self.q(x).view(heads), self.k(latent).view(heads), self.v(latent).view(heads)
""",
    ),
]
