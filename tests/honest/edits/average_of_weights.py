"""An exponential average of the weights is what is saved.

Source: Polyak averaging; track 3 of modded-nanogpt has it, parameter-golf found it harmful for short runs.
"""

EDITS = [
    (
        "    for step, microbatches in enumerate(run.batches(rows, accum=accum)):\n",
        """\
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8)
    )
    for step, microbatches in enumerate(run.batches(rows, accum=accum)):
""",
    ),
    (
        "        optimizer.zero_grad()\n        mfu =",
        "        optimizer.zero_grad()\n        average.update_parameters(model)\n        mfu =",
    ),
    ("    run.finish(model, config,", "    run.finish(average.module, config,"),
]
