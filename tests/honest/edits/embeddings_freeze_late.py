"""Token and value embeddings stand still over the last fifth of the budget.

Source: modded-nanogpt's experiments with freezing.
"""

EDITS = [
    (
        "        mean_loss = torch.zeros((), device=run.device)\n",
        """\
        if run.progress > 0.8:
            for group in optimizer.groups[:2]:  # the embeddings
                group.lr = 0.0
        mean_loss = torch.zeros((), device=run.device)
""",
    )
]
