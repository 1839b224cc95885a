"""AdamW's groups step every other time, on two steps' gradients.

Source: modded-nanogpt; nanochat lists it among what did not help.
"""

EDITS = [
    (
        """\
        for one in self.adam:
            one.zero_grad()
""",
        """\
        if self.steps % 2 == 0:
            for one in self.adam:
                one.zero_grad()
""",
    ),
    (
        """\
        for one in self.adam:
            one.step()
""",
        """\
        self.steps += 1
        if self.steps % 2 == 0:
            for one in self.adam:
                one.step()
""",
    ),
    (
        "        self.update = muon_update\n",
        "        self.update, self.steps = muon_update, 0\n",
    ),
]
