"""PyTorch's unfused attention instead of its fused kernels.

Source: PyTorch's sdpa_kernel, to rule a kernel out as the cause of something.
"""

EDITS = [
    ('        return "plain", "three', '        return "sdpa", "three'),
    (
        "            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:T, :T])\n",
        """\
            with sdpa_kernel(SDPBackend.MATH):
                y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:T, :T])
""",
    ),
    (
        "from torch import Tensor\n",
        "from torch import Tensor\nfrom torch.nn.attention import SDPBackend, sdpa_kernel\n",
    ),
]
