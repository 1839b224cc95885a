"""Layers are computed again in the backward pass instead of kept.

Source: Chen and others 2016 (arXiv 1604.06174), torch.utils.checkpoint.
"""

EDITS = [
    (
        "            x = block(self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0, tokens, cos, sin)\n",
        """\
            x = self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0
            if self.training:
                x = checkpoint(block, x, tokens, cos, sin, use_reentrant=False)
            else:
                x = block(x, tokens, cos, sin)
""",
    ),
    ("from torch import Tensor\n", "from torch import Tensor\nfrom torch.utils.checkpoint import checkpoint\n"),
]
