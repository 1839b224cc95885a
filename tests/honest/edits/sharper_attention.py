"""Queries and keys 1.15 times as long, after their norm: sharper attention.

Source: nanochat's first round of changes; the novix search has 1.25 on queries.
"""

EDITS = [
    (
        "        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))",
        "        q, k = 1.15 * norm(rotate(q, cos, sin)), 1.15 * norm(rotate(k, cos, sin))",
    )
]
