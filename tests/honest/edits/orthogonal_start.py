"""Matrices that read the stream start orthogonal.

Source: Saxe and others 2013 (arXiv 1312.6120); nanochat saw no gain.
"""

EDITS = [
    (
        "                nn.init.uniform_(weight, -bound, bound)\n",
        "                nn.init.orthogonal_(weight, gain=INIT_SCALE)\n",
    )
]
