"""A learned bias for each token of the vocabulary, so that frequencies need no matrix.

Source: as old as softmax regression.
"""

EDITS = [
    (
        "        self.head = Linear(width, vocab)  # not the embedding again: it wants other learning rates\n",
        """\
        self.head = Linear(width, vocab)  # not the embedding again: it wants other learning rates
        self.unigram = nn.Parameter(torch.zeros(vocab))
""",
    ),
    (
        "        return soften(self.head(self.trunk(tokens)).float(), self.config[\"softcap\"])\n",
        "        return soften(self.head(self.trunk(tokens)).float() + self.unigram, self.config[\"softcap\"])\n",
    ),
    (
        """\
    hidden = model.trunk(tokens).flatten(0, 1)
    return HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config["softcap"])""",
        "    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())",
    ),
    (
        '        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},\n',
        """\
        {"params": [model.head.weight], "lr": head_lr, "weight_decay": HEAD_DECAY},
        {"params": [model.unigram], "lr": 10 * head_lr},
""",
    ),
]
