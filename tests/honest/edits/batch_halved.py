"""Half the batch: twice the steps.

Source: the largest gain in autoresearch's mar8 log was a smaller batch.
"""

EDITS = [
    ("SMALL_TOTAL_BATCH = 2**10", "SMALL_TOTAL_BATCH = 2**9"),
    ("SMALL_DEVICE_BATCH_SIZE = 4", "SMALL_DEVICE_BATCH_SIZE = 2"),
    ("FULL_TOTAL_BATCH = 2**18", "FULL_TOTAL_BATCH = 2**17"),
    ("FULL_DEVICE_BATCH_SIZE = 128", "FULL_DEVICE_BATCH_SIZE = 64"),
]
