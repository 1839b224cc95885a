"""In training one input token in twenty is replaced by a random one; the targets stay.

Source: word dropout, Bowman and others 2015 (arXiv 1511.06349).
"""

EDITS = [
    (
        "    hidden = model.trunk(tokens).flatten(0, 1)\n",
        """\
    others = torch.randint_like(tokens, model.config["vocab_size"])
    tokens = torch.where(torch.rand(tokens.shape, device=tokens.device) < 0.05, others, tokens)
    hidden = model.trunk(tokens).flatten(0, 1)
""",
    )
]
