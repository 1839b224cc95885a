"""Token and value embeddings stand still over the last fifth of the budget.

Source: modded-nanogpt's experiments with freezing.
"""

EDITS = [
    (
        "        mean_loss = torch.zeros((), device=run.device)\n",
        """\
        frozen = {id(group) for group in optimizer.adam[-1].param_groups[:2]}  # the embeddings
        if run.progress > 0.8:
            optimizer.rates[:] = [(group, rate * (id(group) not in frozen)) for group, rate in optimizer.rates]
        mean_loss = torch.zeros((), device=run.device)
""",
    )
]
