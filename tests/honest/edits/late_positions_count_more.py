"""The first tokens of a row, which have little to go by, weigh half in the training loss.

Source: loss weighting by position, as in long-context training.
"""

EDITS = [
    (
        """\
    hidden = model.trunk(tokens).flatten(0, 1)
    return HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config["softcap"])""",
        """\
    losses = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    weight = torch.ones(tokens.size(1), device=tokens.device)
    weight[: tokens.size(1) // 8] = 0.5
    return (losses * weight).mean() / weight.mean()""",
    )
]
