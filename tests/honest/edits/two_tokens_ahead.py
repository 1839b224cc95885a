"""A second head predicts the token after the next, in training only.

Source: multi-token prediction (arXiv 2404.19737); good in modded-nanogpt, not in nanochat.
"""

EDITS = [
    (
        "        self.head = Linear(width, vocab)  # not the embedding again: it wants other learning rates\n",
        """\
        self.head = Linear(width, vocab)  # not the embedding again: it wants other learning rates
        self.farther = Linear(width, width)
""",
    ),
    (
        """\
    hidden = model.trunk(tokens).flatten(0, 1)
    return HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config["softcap"])""",
        """\
    states, cap = model.trunk(tokens), model.config["softcap"]
    hidden = states.flatten(0, 1)
    farther = norm(states + model.farther(states))[:, :-1].flatten(0, 1)
    second = HeadLoss.apply(farther, model.head.weight, targets[:, 1:].flatten(), rows, cap)
    first = HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config["softcap"])
    return (first + 0.2 * second) / 1.2  # a mean, so that the log can be read as before""",
    ),
    (
        "    adam: list[torch.optim.Optimizer] = [\n",
        """\
    matrices.append(model.farther.weight)
    adam: list[torch.optim.Optimizer] = [
""",
    ),
]
