"""Half again as wide.

Source: SkyPilot's search on 16 GPUs found that width mattered most.
"""

EDITS = [("SMALL_WIDTH", "192"), ("FIT_WIDTH", "768")]
