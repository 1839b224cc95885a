"""SGD with Nesterov momentum for the matrices.

Source: an ablation: what is lost without any preconditioning.
"""

EDITS = [
    (
        """\
    shapes = sorted({p.shape for p in matrices})
    muon = [Muon([p for p in matrices if p.shape == shape], hp.MATRIX_LR, hp.MATRIX_DECAY) for shape in shapes]
    return MuonAdamW(muon, adam, hp.POLAR_STEPS, dtype)
""",
        """\
    adam.append(torch.optim.SGD(matrices, lr=0.05, momentum=0.9, nesterov=True, foreach=True))
    return MuonAdamW([], adam, hp.POLAR_STEPS, dtype)
""",
    ),
]
