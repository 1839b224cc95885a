"""A thread fetches the next steps while this one is computed.

Source: modded-nanogpt's record 33; parameter-golf's loaders.
"""

EDITS = [
    ("import math\nimport sys\n", "import math\nimport queue\nimport sys\nimport threading\n"),
    ("from collections.abc import Callable\n", "from collections.abc import Callable, Iterable, Iterator\n"),
    (
        "def train(run: Any, hp: SimpleNamespace) -> None:\n",
        """\
def fetched_ahead(steps: Iterable[Any], depth: int = 2) -> Iterator[Any]:
    '''The same steps, up to `depth` of them fetched before they are asked for.'''
    waiting: queue.Queue[Any] = queue.Queue(depth)

    def fetch() -> None:
        try:
            for step in steps:
                waiting.put(step)
        finally:
            waiting.put(None)

    threading.Thread(target=fetch, daemon=True).start()
    while (step := waiting.get()) is not None:
        yield step


def train(run: Any, hp: SimpleNamespace) -> None:
""",
    ),
    ("enumerate(run.batches(rows, accum=accum))", "enumerate(fetched_ahead(run.batches(rows, accum=accum)))"),
]
