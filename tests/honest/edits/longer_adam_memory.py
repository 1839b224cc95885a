"""Longer memories for AdamW: β2 of 0.99.

Source: nanochat's first round raised the embedding's β2 to 0.995.
"""

EDITS = [("ADAM_BETAS", "(0.9, 0.99)")]
