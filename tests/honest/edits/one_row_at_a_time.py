"""Rows one by one, their gradients added up: the same batch in a quarter of the memory.

Source: gradient accumulation, as everyone does it.
"""

EDITS = [("SMALL_DEVICE_BATCH_SIZE", "1")]
