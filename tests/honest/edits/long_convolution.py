"""A gated convolution as long as the context, by FFT, where the window was short.

Padded to twice the length, so that nothing comes round from the end of the row to its beginning. In float64,
since a transform's rounding errors reach back: in float32 they flip bits of bfloat16 at earlier positions.

Source: Hyena (arXiv 2302.10866), with its filters learned point by point.
"""

EDITS = [
    (
        "class MLP(nn.Module):\n",
        """\
class LongConvolution(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, context = config["width"], config["sequence_length"]
        self.before, self.after, self.v = Linear(width, width), Linear(width, width), Linear(width, width)
        self.filter, self.out = Linear(context, width), Linear(width, width)
        fade = torch.exp(-torch.linspace(1, 8, width)[:, None] * torch.arange(context) / context)
        self.fade: Tensor
        self.register_buffer("fade", fade, persistent=False)

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        T = x.size(1)
        gated = (F.silu(self.before(x)) * self.v(x)).double().mT  # [B, width, T]
        filters = (self.filter.weight * self.fade)[:, :T].double()
        product = torch.fft.rfft(gated, 2 * T) * torch.fft.rfft(filters, 2 * T)
        mixed = torch.fft.irfft(product, 2 * T)[..., :T].mT.to(x.dtype)
        y: Tensor = self.out(F.silu(self.after(x)) * norm(mixed))
        return y


class MLP(nn.Module):
""",
    ),
    (
        '        self.attention, self.mlp = Attention(config, layer), MLP(config["width"])\n',
        """\
        short = config["windows"][layer] < config["sequence_length"]
        self.attention = LongConvolution(config) if short else Attention(config, layer)
        self.mlp = MLP(config["width"])
""",
    ),
]
