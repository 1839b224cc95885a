"""AdamW for the matrices as well.

Source: what everyone used before Muon (arXiv 1711.05101).
"""

EDITS = [
    (
        "    adam: list[torch.optim.Optimizer] = [\n",
        """\
    groups.append({"params": matrices, "lr": hp.MATRIX_LR / 6, "weight_decay": hp.MATRIX_DECAY})
    adam: list[torch.optim.Optimizer] = [
""",
    ),
    (
        """\
    muon = [Muon([p for p in matrices if p.shape == shape], hp.MATRIX_LR, hp.MATRIX_DECAY) for shape in shapes]
    return MuonAdamW(muon, adam,""",
        "    return MuonAdamW([], adam,",
    ),
    ("    shapes = sorted({p.shape for p in matrices})\n", ""),
]
