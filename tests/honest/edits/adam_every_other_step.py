"""AdamW's groups step every other time, on two steps' gradients.

Source: modded-nanogpt; nanochat lists it among what did not help.
"""

EDITS = [
    (
        """\
        for group in self.groups:
            group.stack.grad.zero_()
""",
        """\
        for group in self.groups:
            if group.rule == "muon" or self.steps % 2 == 0:
                group.stack.grad.zero_()
""",
    ),
    (
        """\
        for g in self.groups:
            lr = self.scalar(g.lr * lr_scale)
""",
        """\
        for g in self.groups:
            if g.rule == "adamw" and self.steps % 2:
                continue
            lr = self.scalar(g.lr * lr_scale)
""",
    ),
]
