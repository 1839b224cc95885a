"""A step whose loss jumps far above the last ones' is not taken.

Source: PaLM (arXiv 2204.02311) skipped batches around spikes; OLMo 2 (arXiv 2501.00656) watches likewise.
"""

EDITS = [
    (
        "def train(run: Any, hp: SimpleNamespace) -> None:\n",
        """\
class Watch:
    '''Says whether a loss is out of line with those before it.'''

    def __init__(self, length: int = 16) -> None:
        self._recent: deque[float] = deque(maxlen=length)
        self.skipped = 0

    def is_spike(self, loss: float) -> bool:
        high = math.inf
        if len(self._recent) > 3:
            high = statistics.fmean(self._recent) + 4 * statistics.stdev(self._recent)
        self._recent.append(loss)
        self.skipped += loss > high
        return loss > high


def train(run: Any, hp: SimpleNamespace) -> None:
""",
    ),
    ("import math\nimport sys\n", "import math\nimport statistics\nimport sys\nfrom collections import deque\n"),
    (
        "    for step, microbatches in enumerate(run.batches(rows, accum=accum)):\n",
        """\
    watch = Watch()
    for step, microbatches in enumerate(run.batches(rows, accum=accum)):
""",
    ),
    (
        "        optimizer.step(lr_scale, ",
        "        if not watch.is_spike(float(mean_loss)):\n            optimizer.step(lr_scale, ",
    ),
    (
        "        run.log(step, mean_loss, lr=lr_scale,",
        "        run.log(step, mean_loss, lr=lr_scale, skipped=watch.skipped,",
    ),
]
