"""Lion instead of AdamW: the sign of an average is the step.

Source: Chen and others 2023 (arXiv 2302.06675), with a hundredth of AdamW's rate.
"""

EDITS = [
    (
        """\
    s.mean.lerp_(s.grad, 1 - betas[0])
    s.power.mul_(betas[1]).addcmul_(s.grad, s.grad, value=1 - betas[1])
    rate = lr * (1 - betas[1] ** step) ** 0.5 / (1 - betas[0] ** step)  # both averages began at zero
    s.value.mul_(1 - lr * decay).addcdiv_(s.mean * -rate, s.power.sqrt().add_(1e-10))
""",
        """\
    update = s.mean.lerp(s.grad, 1 - betas[0]).sign_()
    s.value.mul_(1 - lr * decay).sub_(update * (lr / 100))
    s.mean.lerp_(s.grad, 1 - betas[1])
""",
    )
]
