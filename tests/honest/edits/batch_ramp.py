"""Half the batch for the first third of the budget.

Source: modded-nanogpt's record 46; nanochat found it not worth it.
"""

EDITS = [
    (
        "    for step, microbatches in enumerate(run.batches(rows, accum=accum)):\n",
        """\
    def all_steps() -> Iterator[list[tuple[Tensor, Tensor]]]:
        for microbatches in run.batches(rows // 2, accum=accum):
            yield microbatches
            if run.progress > 1 / 3:
                break
        yield from run.batches(rows, accum=accum)

    for step, microbatches in enumerate(all_steps()):
""",
    ),
    ("from collections.abc import Callable\n", "from collections.abc import Callable, Iterator\n"),
]
