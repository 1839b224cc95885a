"""No warmdown at all, to see what it is worth.

Source: an ablation.
"""

EDITS = [("SMALL_WARMDOWN", "0.0"), ("SMALL_FINAL_LR", "1.0")]
