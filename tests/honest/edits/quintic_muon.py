"""Muon's first coefficients, five times the same, instead of Polar Express.

Source: Keller Jordan's Newton-Schulz iteration (kellerjordan.github.io/posts/muon).
"""

EDITS = [
    ("    for a, b, c in POLAR_EXPRESS[:rounds]:\n", "    for a, b, c in [(3.4445, -4.7750, 2.0315)] * 5:\n"),
]
