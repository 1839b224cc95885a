# mypy: ignore-errors
"""A stand-in for train.py: its score is a constant and a seed's share of noise."""

import sys
import time

import prepare

SCORE = 1.5  # bits per byte on average
NOISE = 0.0  # and how far a seed moves it
TUNED = 0.0  # what of the score is lost on other text
STEP = 0.0  # seconds for ten steps
LR = 1.0  # scale of the learning rate
BATCH = 10  # tokens a step
CRASH = ""
DEPTH = 4
MEMORY = 512.0  # MB


def build_model(config):
    return config


def main():
    run = prepare.start_run()
    for step in range(1, 101):
        time.sleep(STEP / 10)
        run.log(step, SCORE * 3 - step / 100, lr=LR, tokens=BATCH)
        if CRASH and step == 50:
            print("train: " + CRASH, file=sys.stderr)
            raise SystemExit(1)
    config = {"tuned": TUNED, "score": SCORE, "memory": MEMORY, "noise": NOISE}
    run.finish(config, num_params=1000000, depth=DEPTH, peak_memory_mb=MEMORY)


if __name__ == "__main__":
    main()
