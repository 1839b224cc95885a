"""Twice the batch, and learning rates that grow with its square root.

Source: the square-root rule for Adam, Malladi and others 2022 (arXiv 2205.10287).
"""

EDITS = [
    ("SMALL_TOTAL_BATCH", "2**11"),
    ("SMALL_EMBEDDING_LR", "0.42"),
    ("SMALL_HEAD_LR", "0.007"),
    ("SMALL_MATRIX_LR", "0.028"),
]
