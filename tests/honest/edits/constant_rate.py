"""No warmdown at all, to see what it is worth.

Source: an ablation.
"""

EDITS = [("SMALL_WARMDOWN = 0.6", "SMALL_WARMDOWN = 0.0"), ("SMALL_FINAL_LR = 0.05", "SMALL_FINAL_LR = 1.0")]
