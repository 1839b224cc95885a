"""What is saved is 0.4 of the last weights and 0.6 of their mean over the last quarter of the budget.

Source: LAWA (arXiv 2209.14981); modded-nanogpt's tail average.
"""

EDITS = [
    (
        "    for step, microbatches in enumerate(run.batches(rows, accum=accum)):\n",
        """\
    tail, averaged = [torch.zeros_like(p) for p in model.parameters()], 0
    for step, microbatches in enumerate(run.batches(rows, accum=accum)):
""",
    ),
    (
        "        optimizer.zero_grad()\n        mfu =",
        """\
        optimizer.zero_grad()
        if run.progress > 0.75:
            averaged += 1
            torch._foreach_lerp_(tail, [p.detach() for p in model.parameters()], 1 / averaged)
        mfu =""",
    ),
    (
        "    run.finish(model, config,",
        """\
    if averaged:
        with torch.no_grad():
            torch._foreach_lerp_(list(model.parameters()), tail, 0.6)
    run.finish(model, config,""",
    ),
]
