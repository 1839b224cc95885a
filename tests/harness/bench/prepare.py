# mypy: ignore-errors
"""A stand-in for prepare.py with the same protocol and none of the work: rows are ticks, tokens are counted."""

import argparse
import json
import os
import socket
import time
from pathlib import Path


class Run:
    def __init__(self):
        self.channel = socket.socket(fileno=int(os.environ["AUTORESEARCH_FEED"])).makefile("rw")
        self.seed = int(os.environ["AUTORESEARCH_SEED"])

    def log(self, step, loss, **more):
        self.channel.write(json.dumps({"step": step, "loss": loss, **more}) + "\n")
        self.channel.flush()

    def finish(self, config, **facts):
        self.channel.write('{"finish": true}\n')
        self.channel.flush()
        self.channel.readline()
        Path("work/model.json").write_text(json.dumps({"config": config, "seed": self.seed, **facts}))
        Path("work/weights.pt").write_text("weights")
        raise SystemExit(0)


start_run = Run


def feed(folder, descriptor, pid):
    channel = socket.socket(fileno=descriptor).makefile("rw")
    started, share, steps, tokens, finished = time.monotonic(), 0.0, 0, 0, False
    with (folder / "curve.jsonl").open("a") as curve:
        for line in channel:
            message = json.loads(line)
            if "finish" in message:
                share, finished = 1.0, True
                channel.write("done\n")
                channel.flush()
                continue
            share, steps = message["step"] / 100, message["step"]
            tokens += message.get("tokens", 10)
            seconds = time.monotonic() - started
            point = {"step": steps, "progress": share, "seconds": seconds, "tokens": tokens}
            curve.write(json.dumps({**message, **point}) + "\n")
            curve.flush()
    report = {"seconds": time.monotonic() - started, "cpu_seconds": 0.1, "tokens": tokens, "steps": steps}
    report |= {"budget": os.environ["AUTORESEARCH_BUDGET"], "share": share, "overrun": 0.0, "finished": finished}
    (folder / "feed.json").write_text(json.dumps(report))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--feed", type=Path)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--pid", type=int)
    given = parser.parse_args()
    feed(given.feed, given.fd, given.pid)
