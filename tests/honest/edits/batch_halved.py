"""Half the batch: twice the steps.

Source: the largest gain in autoresearch's mar8 log was a smaller batch.
"""

EDITS = [
    ("SMALL_TOTAL_BATCH", "2**9"),
    ("SMALL_DEVICE_BATCH_SIZE", "2"),
    ("FIT_TOTAL_BATCH", "2**17"),
]
