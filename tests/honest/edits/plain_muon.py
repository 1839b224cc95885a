"""Muon without NorMuon's second moments and without the caution of its weight decay.

Source: an ablation of arXiv 2510.05491 and arXiv 2510.12402.
"""

EDITS = [
    ("    update = update * (even * (before / after.clamp_min(1e-10)).sqrt())\n", ""),
    ("(update + decay * s.value * (update * s.value >= 0))", "(update + decay * s.value)"),
]
