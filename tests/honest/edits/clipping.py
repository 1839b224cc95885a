"""Gradients are clipped to a norm of 1.

Source: Pascanu and others 2012 (arXiv 1211.5063); mar8 found it worse.
"""

EDITS = [
    (
        "        optimizer.step(lr_scale, ",
        """\
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(lr_scale, """,
    )
]
