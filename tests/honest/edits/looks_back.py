"""Every five steps the weights go half-way back to where they were five steps ago.

Source: Lookahead (arXiv 1907.08610).
"""

EDITS = [
    (
        "    for step, microbatches in enumerate(run.batches(rows, accum=accum)):\n",
        """\
    slow = [p.detach().clone() for p in model.parameters()]
    for step, microbatches in enumerate(run.batches(rows, accum=accum)):
""",
    ),
    (
        "        optimizer.zero_grad()\n        mfu =",
        """\
        optimizer.zero_grad()
        if step % 5 == 4:
            with torch.no_grad():
                for p, before in zip(model.parameters(), slow, strict=True):
                    before.copy_(p.lerp_(before, 0.5))
        mfu =""",
    ),
]
