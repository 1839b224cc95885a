"""Rows of half the length, and twice as many, for the first third of the budget.

Source: Shortformer (arXiv 2012.15832); modded-nanogpt's record 72.
"""

EDITS = [
    (
        """\
    for step, microbatches in enumerate(run.batches(rows, accum=accum)):
""",
        """\
    def curriculum() -> Iterator[list[tuple[Tensor, Tensor]]]:
        for T_now, until in ((T // 4, 0.15), (T // 2, 0.35), (T, 2.0)):
            for microbatches in run.batches(rows * T // T_now, T_now, accum):
                yield microbatches
                if run.progress > until:
                    break

    for step, microbatches in enumerate(curriculum()):
""",
    ),
    ("from collections.abc import Callable\n", "from collections.abc import Callable, Iterator\n"),
]
