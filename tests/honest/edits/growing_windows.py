"""Windows that grow with depth, instead of a pattern.

Source: modded-nanogpt's block-size warm-up, over layers instead of time.
"""

EDITS = [
    ("SMALL_DEPTH", "3"),
    ('context if pattern[i % len(pattern)] == "L" else min(short, context)', "min(context, short * 2**i)"),
]
