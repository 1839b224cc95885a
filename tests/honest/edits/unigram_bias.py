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
        "        return SOFTCAP * torch.tanh(self.head(self.trunk(tokens)).float() / SOFTCAP)\n",
        "        return SOFTCAP * torch.tanh((self.head(self.trunk(tokens)).float() + self.unigram) / SOFTCAP)\n",
    ),
    (
        """\
    hidden = model.trunk(tokens).flatten(0, 1)
    return HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows)""",
        "    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())",
    ),
    (
        '        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),\n',
        """\
        Group("adamw", [model.head.weight], head_lr, HEAD_DECAY),
        Group("adamw", [model.unigram], 10 * head_lr),
""",
    ),
]
