"""No RoPE in the layers that see the whole context.

Source: RNoPE-SWA (arXiv 2501.18795); Llama 4's interleaved layers.
"""

EDITS = [
    (
        "        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))",
        """\
        if self.attend.window < self.attend.context:
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        q, k = norm(q), norm(k)""",
    )
]
