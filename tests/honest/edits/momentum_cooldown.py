"""Muon's momentum comes down again at the end: 0.95 to 0.85 over the last tenth.

Source: modded-nanogpt; nanochat's second round of changes.
"""

EDITS = [
    (
        """\
    share = min(progress / ramp, 1.0) if ramp > 0 else 1.0
""",
        """\
    share = min(progress / ramp, 1.0, (1 - progress) / 0.1) if ramp > 0 else 1.0
""",
    )
]
