"""The unembedding multiplies in float32.

Source: Wortsman and others 2023 (arXiv 2309.14322) on instabilities of the output.
"""

EDITS = [
    (
        "soften(self.head(self.trunk(tokens)).float(), ",
        "soften(self.head(self.trunk(tokens).float()), ",
    ),
    (
        "    hidden = model.trunk(tokens).flatten(0, 1)\n",
        "    hidden = model.trunk(tokens).flatten(0, 1).float()\n",
    ),
]
