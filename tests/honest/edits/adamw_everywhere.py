"""AdamW for the matrices as well.

Source: what everyone used before Muon (arXiv 1711.05101).
"""

EDITS = [
    (
        'groups.append(Group("muon", [p for p in matrices if p.shape == shape], hp.MATRIX_LR,',
        'groups.append(Group("adamw", [p for p in matrices if p.shape == shape], hp.MATRIX_LR / 6,',
    )
]
