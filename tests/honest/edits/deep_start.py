"""What writes to the stream starts small instead of at zero, smaller the deeper the model.

Source: GPT-2's scaled initialization.
"""

EDITS = [
    (
        "                nn.init.zeros_(weight)\n",
        """\
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * self.config["depth"]))
""",
    )
]
