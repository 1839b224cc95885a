"""Logits bent into ±13.

Source: mar8 tried 13 and 20.
"""

EDITS = [("SMALL_SOFTCAP", "13.0"), ("FULL_SOFTCAP", "13.0")]
