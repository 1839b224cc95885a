"""The momentum's rows are brought to one length before it is orthogonalized.

Source: MuonEq; tried in nanochat with a very slight gain.
"""

EDITS = [
    (
        "    x: Tensor = (g.mT if tall else g).to(dtype)  # wide, so that x xᵀ is the smaller product\n",
        """\
    g = g / (g.norm(dim=-1, keepdim=True) + 1e-10)
    x: Tensor = (g.mT if tall else g).to(dtype)  # wide, so that x xᵀ is the smaller product
""",
    )
]
