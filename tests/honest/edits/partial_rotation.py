"""Half of each head's channels are turned, the others carry no position.

Source: GPT-NeoX; modded-nanogpt truncates its frequencies likewise; nanochat found no gain.
"""

EDITS = [
    (
        """\
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
""",
        """\
    turned, still = x.chunk(2, dim=-1)
    a, b = turned.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin, still], dim=-1)
""",
    ),
    (
        'rotary_angles(config["sequence_length"], config["head_dim"])',
        'rotary_angles(config["sequence_length"], config["head_dim"] // 2)',
    ),
]
