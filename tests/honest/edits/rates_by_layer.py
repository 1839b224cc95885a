"""Lower layers learn a little slower.

Source: layer-wise rates, ULMFiT (arXiv 1801.06146).
"""

EDITS = [
    (
        """\
    shapes = sorted({p.shape for p in matrices})
    muon = [Muon([p for p in matrices if p.shape == shape], hp.MATRIX_LR, hp.MATRIX_DECAY) for shape in shapes]
    return MuonAdamW(muon, adam, hp.POLAR_STEPS, dtype)
""",
        """\
    muon = []
    for layer, block in enumerate(model.blocks):
        lr = hp.MATRIX_LR * 0.9 ** (len(model.blocks) - 1 - layer)
        own = [p for p in matrices if any(p is q for q in block.parameters())]
        for shape in sorted({p.shape for p in own}):
            muon.append(Muon([p for p in own if p.shape == shape], lr, hp.MATRIX_DECAY))
    return MuonAdamW(muon, adam, hp.POLAR_STEPS, dtype)
""",
    ),
]
