"""What a head returns is freed of the token's own value: the residual stream has that already.

Source: exclusive self-attention, modded-nanogpt's record 82; worse in nanochat.
"""

EDITS = [
    (
        "        y: Tensor = self.out(self.attend(q, k, v).reshape(x.shape))\n",
        """\
        mixed, own = self.attend(q, k, v), F.normalize(v, dim=-1)
        mixed = mixed - (mixed * own).sum(-1, keepdim=True) * own
        y: Tensor = self.out(mixed.reshape(x.shape))
""",
    )
]
