"""The orthogonalization and the norm are compiled by themselves.

The test trains it with compilation switched off.

Source: modded-nanogpt decorates its Newton-Schulz iteration so.
"""

EDITS = [
    ("def orthogonalize(", "@torch.compile(dynamic=False, fullgraph=True)\ndef orthogonalize("),
    ("def norm(x: Tensor)", "@torch.compile\ndef norm(x: Tensor)"),
]
