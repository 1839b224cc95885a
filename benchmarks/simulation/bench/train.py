# mypy: ignore-errors
"""A stand-in for train.py that takes a second: a neural n-gram of bytes (Bengio et al., 2003) in numpy.

Small, but a real model: it learns, its score is held-out bits per byte, and the seed moves both its initialization
and the order of its batches, so that there is noise to be told from progress.
"""

import math
import sys

import numpy as np

import prepare

VOCABULARY = 128  # ASCII, as prepare.py reads it
CONTEXT = 3  # bytes that the next one is told from
EMBED = 6  # numbers that stand for a byte
HIDDEN = 32
ACTIVATION = "tanh"  # or relu
INIT = 0.5  # of each layer, over the square root of its inputs
BATCH = 64
LEARNING_RATE = 0.1
MOMENTUM = 0.5
WARMUP = 0.05  # share of the budget
WARMDOWN = 0.2
WEIGHT_DECAY = 0.0
SMOOTHING = 0.0  # of the labels
CLIP = 5.0  # norm of all gradients together

ACTIVATIONS = {
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "relu": (lambda x: np.maximum(x, 0), lambda y: (y > 0).astype(y.dtype)),
}


class Model:
    """Ids [B, CONTEXT] to logits [B, vocabulary]."""

    def __init__(self, config, rng):
        self.config = config
        wide = config["context"] * config["embed"]
        shapes = {
            "bytes": (VOCABULARY, config["embed"]),
            "up": (wide, config["hidden"]),
            "down": (config["hidden"], VOCABULARY),
        }
        self.weights = {
            name: rng.normal(0, config["init"] / math.sqrt(shape[0] if name != "bytes" else 1), shape)
            for name, shape in shapes.items()
        }
        self.weights["bias"] = np.zeros(VOCABULARY)

    def forward(self, ids):
        weights, (act, _) = self.weights, ACTIVATIONS[self.config["activation"]]
        self.x = weights["bytes"][ids].reshape(len(ids), -1)
        self.h = act(self.x @ weights["up"])
        return self.h @ weights["down"] + weights["bias"]

    def backward(self, ids, error):
        """Gradients from that of the logits."""
        _, slope = ACTIVATIONS[self.config["activation"]]
        gradients = {"down": self.h.T @ error, "bias": error.sum(0)}
        inner = (error @ self.weights["down"].T) * slope(self.h)
        gradients["up"] = self.x.T @ inner
        gradients["bytes"] = np.zeros_like(self.weights["bytes"])
        np.add.at(gradients["bytes"], ids, (inner @ self.weights["up"].T).reshape(*ids.shape, -1))
        return gradients


def build_model(config):
    return Model(config, np.random.default_rng(config["seed"]))


def rate(progress):
    """Of LEARNING_RATE: up, flat, down."""
    return min(1.0, (progress + 0.001) / max(WARMUP, 1e-9), (1.001 - progress) / max(WARMDOWN, 1e-9))


def main():
    run = prepare.start_run()
    config = {"context": CONTEXT, "embed": EMBED, "hidden": HIDDEN, "activation": ACTIVATION, "init": INIT}
    model = build_model({**config, "seed": run.seed})
    momenta = {name: np.zeros_like(value) for name, value in model.weights.items()}
    for step, (ids, following) in enumerate(run.batches(BATCH, CONTEXT), start=1):
        logits = model.forward(ids)
        logits -= logits.max(1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(1, keepdims=True)
        rows = np.arange(len(ids))
        loss = -np.log(shares[rows, following] + 1e-12).mean()
        if not math.isfinite(loss) or loss > 20:
            print(f"train: loss {loss:.2f} at step {step}: it diverged", file=sys.stderr)
            raise SystemExit(1)
        error = shares - SMOOTHING / VOCABULARY
        error[rows, following] -= 1 - SMOOTHING
        gradients = model.backward(ids, error / len(ids))
        norm = math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))
        for name, gradient in gradients.items():
            momenta[name] = MOMENTUM * momenta[name] + gradient * min(1.0, CLIP / norm)
            model.weights[name] -= (
                LEARNING_RATE * rate(run.progress) * (momenta[name] + WEIGHT_DECAY * model.weights[name])
            )
        if step % 50 == 1:
            run.log(step, loss)
    run.finish(model, config)


if __name__ == "__main__":
    main()
