"""Logits bent into ±13.

Source: mar8 tried 13 and 20.
"""

EDITS = [("SOFTCAP = 15.0", "SOFTCAP = 13.0")]
