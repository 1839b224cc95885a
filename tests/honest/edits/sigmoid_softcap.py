"""An asymmetric cap on the logits, and all of a microbatch's logits at once.

Source: modded-nanogpt's 23 * sigmoid((logits + 5) / 7.5); nanochat found it no better.
"""

EDITS = [
    (
        "        return soften(self.head(self.trunk(tokens)).float(), self.config[\"softcap\"])\n",
        "        return 23 * torch.sigmoid((self.head(self.trunk(tokens)).float() + 5) / 7.5)\n",
    ),
    (
        """\
    hidden = model.trunk(tokens).flatten(0, 1)
    return HeadLoss.apply(hidden, model.head.weight, targets.flatten(), rows, model.config["softcap"])""",
        "    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())",
    ),
]
