"""Muon's weight decay follows a cosine instead of a line.

Source: nanochat's first round of changes.
"""

EDITS = [("    return 1 - progress\n", "    return (1 + math.cos(math.pi * progress)) / 2\n")]
