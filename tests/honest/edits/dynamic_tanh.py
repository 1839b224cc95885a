"""A tanh instead of the norms of queries and keys.

Source: DyT (arXiv 2503.10622); nanochat lists it among what did not help.
"""

EDITS = [
    (
        "        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))",
        "        q, k = torch.tanh(0.7 * rotate(q, cos, sin)), torch.tanh(0.7 * rotate(k, cos, sin))",
    )
]
