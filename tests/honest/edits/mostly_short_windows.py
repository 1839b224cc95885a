"""Four layers, three of them with a short window.

Source: Gemma 3 (arXiv 2503.19786) has five local layers to each global one.
"""

EDITS = [("SMALL_DEPTH", "4"), ('SMALL_WINDOW_PATTERN = "SL"', 'SMALL_WINDOW_PATTERN = "SSSL"')]
