"""The norms of gradients and weights, and how sure the model is, go into the curve.

Source: what one wants to see when a run goes wrong.
"""

EDITS = [
    (
        "        optimizer.step(lr_scale, ",
        """\
        grad_norm = torch.stack([m.stack.grad.square().sum() for m in optimizer.muon]).sum().sqrt()
        optimizer.step(lr_scale, """,
    ),
    (
        "        run.log(step, mean_loss, lr=lr_scale, **mfu,",
        """\
        extra = {"grad_norm": float(grad_norm), "head_norm": float(model.head.weight.detach().norm())}
        if step % 4 == 0:
            print(f"step {step}: {run.tokens} tokens in {run.seconds:.1f} s, {extra}")
        run.log(step, mean_loss, lr=lr_scale, **extra, **mfu,""",
    ),
]
