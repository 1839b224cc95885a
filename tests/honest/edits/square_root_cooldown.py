"""Warm up, stay, then cool down to zero as 1 - sqrt.

Source: Hägele and others 2024 (arXiv 2405.18392).
"""

EDITS = [
    ("SMALL_WARMDOWN", "0.2"),
    (
        "    falling = final + (1 - final) * (1 - progress) / warmdown if progress > 1 - warmdown else 1.0",
        """\
    over = max(0.0, progress - (1 - warmdown)) / warmdown if warmdown > 0 else 0.0
    falling = max(1 - math.sqrt(over), final * 0.1)""",
    ),
]
