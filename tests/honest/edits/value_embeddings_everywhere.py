"""A value embedding in every layer, with a gate that reads sixteen channels.

Source: modded-nanogpt has them in some layers, ResFormer (arXiv 2410.17897) in all.
"""

EDITS = [
    ('        has_values = (config["depth"] - 1 - layer) % 2 == 0', "        has_values = True"),
    ("GATE_CHANNELS", "16"),
]
