"""No value embeddings: what they are worth.

Source: an ablation; mar8 lost 0.003 to 0.007 with fewer.
"""

EDITS = [
    ('        has_values = (config["depth"] - 1 - layer) % 2 == 0', "        has_values = False"),
    (
        '{"params": values, "lr": embedding_lr, "weight_decay": VALUE_DECAY},',
        "# no value embeddings, so no group of theirs",
    ),
]
