"""A tenth of the budget to warm up.

Source: discussed for autoresearch's branches, where a bug made warm-up look bad.
"""

EDITS = [("SMALL_WARMUP", "0.1"), ("FULL_WARMUP", "0.1 ")]
