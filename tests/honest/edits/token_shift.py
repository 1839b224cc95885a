"""A quarter of the channels that a layer's attention and MLP read come from the token before.

Source: token shift, RWKV (arXiv 2305.13048), without its learned mixture.
"""

EDITS = [
    (
        "class Block(nn.Module):\n",
        """\
def shift(x: Tensor) -> Tensor:
    '''The first quarter of the channels, one token late.'''
    quarter = x.size(-1) // 4
    return torch.cat([F.pad(x[:, :-1, :quarter], (0, 0, 1, 0)), x[..., quarter:]], dim=-1)


class Block(nn.Module):
""",
    ),
    (
        """\
        x = x + self.attention(norm(x), tokens, cos, sin)
        x = x + self.mlp(norm(x))
""",
        """\
        x = x + self.attention(shift(norm(x)), tokens, cos, sin)
        x = x + self.mlp(shift(norm(x)))
""",
    ),
]
