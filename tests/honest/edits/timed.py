"""How long forward and backward passes and steps take, printed at the end.

Source: to see where the time goes.
"""

EDITS = [
    ("import math\nimport sys\n", "import contextlib\nimport math\nimport sys\nimport time\n"),
    (
        "def train(run: Any, hp: SimpleNamespace) -> None:\n",
        """\
TIMES: dict[str, float] = {}


@contextlib.contextmanager
def timed(what: str) -> Any:
    began = time.perf_counter()
    yield
    TIMES[what] = TIMES.get(what, 0.0) + time.perf_counter() - began


def train(run: Any, hp: SimpleNamespace) -> None:
""",
    ),
    (
        """\
            loss = step_loss(x, y) / accum
            loss.backward()
""",
        """\
            with timed("forward"):
                loss = step_loss(x, y) / accum
            with timed("backward"):
                loss.backward()
""",
    ),
    ("        optimizer.step(lr_scale, ", "        with timed('step'):\n            optimizer.step(lr_scale, "),
    ("    run.finish(model, config,", "    print('train: ' + json.dumps(TIMES))\n    run.finish(model, config,"),
    ("import gc\n", "import gc\nimport json\n"),
]
