"""Gradients are clipped to a norm of 1.

Source: Pascanu and others 2012 (arXiv 1211.5063); mar8 found it worse.
"""

EDITS = [
    (
        "        optimizer.step(lr_scale, ",
        """\
        dense = [p for p in model.parameters() if p.grad is not None and not p.grad.is_sparse]
        torch.nn.utils.clip_grad_norm_(dense, 1.0)
        optimizer.step(lr_scale, """,
    )
]
