"""RoPE's base back at 10,000.

Source: Su and others 2021 (arXiv 2104.09864); modded-nanogpt goes the other way.
"""

EDITS = [("ROPE_BASE", "10_000")]
