"""The embedding's first values come from a generator of their own, the same for every seed of a run.

Source: to compare two vocabularies or widths from the same start.
"""

EDITS = [
    (
        "                nn.init.normal_(weight)\n",
        "                nn.init.normal_(weight, generator=torch.Generator().manual_seed(20_240_521))\n",
    )
]
