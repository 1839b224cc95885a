"""A twentieth of each target spread over the vocabulary, in training.

Source: Szegedy and others 2015 (arXiv 1512.00567).
"""

EDITS = [
    (
        """\
    hidden = model.trunk(tokens).flatten(0, 1)
    return HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config["softcap"])""",
        "    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), label_smoothing=0.05)",
    )
]
