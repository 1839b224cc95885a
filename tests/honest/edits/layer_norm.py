"""LayerNorm instead of RMSNorm.

Source: Ba and others 2016 (arXiv 1607.06450).
"""

EDITS = [("    return F.rms_norm(x, (x.size(-1),))\n", "    return F.layer_norm(x, (x.size(-1),))\n")]
