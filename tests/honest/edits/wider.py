"""Half again as wide.

Source: SkyPilot's search on 16 GPUs found that width mattered most.
"""

EDITS = [("SMALL_WIDTH = 128", "SMALL_WIDTH = 192"), ("FULL_WIDTH = 640", "FULL_WIDTH = 768")]
