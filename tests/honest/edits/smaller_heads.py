"""Heads of 32 channels, and so more of them.

Source: Vaswani and others 2017 (arXiv 1706.03762), table 3 (A).
"""

EDITS = [("SMALL_HEAD_DIM", "16")]
