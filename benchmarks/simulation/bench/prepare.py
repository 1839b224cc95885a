# mypy: ignore-errors
"""A stand-in for prepare.py: the same protocol, bytes instead of tokens, and a budget of them that is exact."""

import argparse
import base64
import json
import os
import resource
import socket
import time
from pathlib import Path

import numpy as np

VOCABULARY = 128  # ASCII


def read(name):
    """The prepared text `name`, as ids."""
    return np.frombuffer(Path(os.environ["AUTORESEARCH_PREPARATION"], name).read_bytes(), np.uint8)


class Run:
    """The trainer's side."""

    def __init__(self):
        self.channel = socket.socket(fileno=int(os.environ["AUTORESEARCH_FEED"])).makefile("rw")
        self.seed = int(os.environ["AUTORESEARCH_SEED"])
        self.budget = int(os.environ["AUTORESEARCH_BUDGET"].removesuffix("tok"))
        self.tokens = self.steps = 0

    @property
    def progress(self):
        return min(self.tokens / self.budget, 1.0)

    def batches(self, size, context):
        """Pairs of ids [size, context] and what follows each, until the budget is spent."""
        self._tell(text=True)  # the box shows no data: all of it comes from the feeder
        text = np.frombuffer(base64.b64decode(self.channel.readline()), np.uint8)
        order = np.random.default_rng(self.seed + 1)
        while self.tokens < self.budget:
            at = order.integers(context, len(text), size)
            self.tokens, self.steps = self.tokens + size, self.steps + 1
            yield text[at[:, None] + np.arange(-context, 0)], text[at]

    def log(self, step, loss):
        self._tell(step=step, loss=loss, progress=self.progress, tokens=self.tokens)

    def finish(self, model, config):
        self._tell(finish=True, steps=self.steps, tokens=self.tokens)
        self.channel.readline()
        with Path("work/weights.pt").open("wb") as file:
            np.savez(file, **model.weights)
        count = sum(value.size for value in model.weights.values())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        facts = {"config": config, "num_params": count, "depth": 1, "peak_memory_mb": memory}
        Path("work/model.json").write_text(json.dumps(facts))
        raise SystemExit(0)

    def _tell(self, **message):
        self.channel.write(json.dumps(message) + "\n")
        self.channel.flush()


start_run = Run


def feed(folder, descriptor, pid):
    """The feeder's side: the curve while it goes, the account at its end."""
    channel = socket.socket(fileno=descriptor).makefile("rw")
    started, share, steps, tokens, finished = time.monotonic(), 0.0, 0, 0, False
    with (folder / "curve.jsonl").open("a") as curve:
        for line in channel:
            message = json.loads(line)
            if "text" in message:
                channel.write(base64.b64encode(read("train.bin").tobytes()).decode() + "\n")
                channel.flush()
                continue
            tokens = message["tokens"]
            if "finish" in message:
                share, steps, finished = 1.0, message["steps"], True
                channel.write("done\n")
                channel.flush()
                continue
            share, steps = message["progress"], message["step"]
            point = {**message, "seconds": time.monotonic() - started}
            curve.write(json.dumps(point) + "\n")
            curve.flush()
    seconds = time.monotonic() - started
    report = {"seconds": seconds, "cpu_seconds": seconds, "tokens": tokens, "steps": steps, "share": share}
    report |= {"budget": os.environ["AUTORESEARCH_BUDGET"], "overrun": 0.0, "finished": finished}
    (folder / "feed.json").write_text(json.dumps(report))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--feed", type=Path)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--pid", type=int)
    given = parser.parse_args()
    feed(given.feed, given.fd, given.pid)
