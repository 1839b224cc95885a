"""
Everything about a run that an experiment may not change: the text, the tokenizer, the batches, the clock.

    .venv/bin/python prepare.py                      # look at the machine, choose a profile, prepare its data
    .venv/bin/python prepare.py --profile small --source sample
    .venv/bin/python prepare.py --source ~/my_texts  # .parquet (column `text`), .jsonl (key `text`) or .txt

Preparation happens once: text is gathered and split, a BPE tokenizer is trained, and every document is
tokenized into flat uint16 files. Training then never sees text, only rows of token ids.

The rows come from the feeder (feeder.py), a process of its own that packs documents into rows and ends the
stream when the budget is spent. So the clock does not belong to the code under test. train.py sees all this
as a handful of calls:

    run = prepare.start_run()
    for microbatches in run.batches(B, accum=accum):    # one optimizer step: [(x, y), ...], int64 [B, T]
        ...
        run.log(step, loss)
    run.finish(model, config)                           # saves the weights; evaluate.py takes over

The file reads top to bottom: profiles, preparation, the run as train.py sees it, command line. corpus.py turns
text into tokens, feeder.py tokens into rows; device.py knows the machine, vitals.py looks into the model.
"""

from __future__ import annotations

import os

# A budget in CPU-seconds is only fair if a waiting thread sleeps instead of spinning: measured on two cores
# beside a busy neighbour, tokens a CPU-second then stay within 3 % where they otherwise halve. OpenMP reads
# these when it is loaded, so they must stand before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import argparse
import fcntl
import hashlib
import json
import math
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from corpus import (
    CLIMBMIX_SHARDS,
    SPLITS,
    DataError,
    check_splits,
    file_sha256,
    open_corpus,
    tokenize,
    train_tokenizer,
    write_whole,
)
from device import Limits, device_kind, fetch_flash_attention, load_flash_attention, pick_device, settle_numerics
from feeder import Budget, Channel, Clock, Packer, ProtocolError, TokenStore, TrainerRing, epochs_ahead, feed

if TYPE_CHECKING:  # torch takes seconds to import; the feeder and the tools do without it
    import torch

    from vitals import Vitals

os.environ.setdefault("AUTORESEARCH_STARTED", repr(time.time()))  # total_seconds counts from here

HERE = Path(__file__).resolve().parent


def cache_dir() -> Path:
    return Path(os.environ.get("AUTORESEARCH_CACHE") or Path.home() / ".cache" / "autoresearch").expanduser()


def stop(message: str) -> NoReturn:
    print(f"prepare: {message}", file=sys.stderr)
    raise SystemExit(2)


# ---------------------------------------------------------------------------------------------------------
# Constants


@dataclass(frozen=True)
class Profile:
    """The size of an experiment. Scores are comparable only within one profile and one preparation."""

    name: str
    sequence_length: int  # T, tokens
    vocab_size: int  # including BOS
    budget: str  # "300s" wall seconds, "100cpu" CPU-seconds of the trainer, "400000tok" tokens
    eval_tokens: int  # tokens of the validation split that are scored
    source: str
    noise_prior: float  # val_bpb, standard deviation over seeds, before this machine's own is measured


FULL = Profile(
    name="full",
    sequence_length=2048,
    vocab_size=8192,
    budget="300s",
    eval_tokens=40 * 524_288,
    source="climbmix",
    noise_prior=0.0004,  # repeats of modded-nanogpt and of the reference: 0.0003 to 0.0005
)
SMALL = Profile(
    name="small",
    sequence_length=256,
    # Best per byte at this budget (depth 2, width 128, one seed each): 2048 gave 2.045, 4096 1.956, 8192 1.965.
    # A larger one puts more bytes into each token, but makes a wider softmax and rarely seen embeddings.
    vocab_size=4096,
    budget="100cpu",  # of the one thread that train.py has
    eval_tokens=131_072,
    source="sample",
    noise_prior=0.002,  # four seeds at a fixed number of steps spread over 0.003
)
PROFILES = {profile.name: profile for profile in (FULL, SMALL)}

FULL_SECONDS = 300.0  # that a run is taken to last where its budget is in tokens

FORMAT = 1  # of a preparation on disk; raise it when the files' meaning changes


# ---------------------------------------------------------------------------------------------------------
# A preparation: text and tokenizer in one folder, found again by its key


def prepare(profile: Profile, source: str, shards: int) -> Path:
    """Makes, or completes, or finds the preparation, and makes it the one in force. Returns its folder."""
    corpus = open_corpus(source, shards, cache_dir())
    wanted = json.dumps([FORMAT, corpus.identity, profile.name, profile.vocab_size, profile.sequence_length])
    key = f"{profile.name}-{corpus.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    folder = cache_dir() / "preparations" / key
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second prepare.py waits here, then finds the work done
        tokenizer = train_tokenizer(corpus, profile.vocab_size, folder / "tokenizer.json")
        meta_path = folder / "meta.json"
        tokenizer_hash = file_sha256(folder / "tokenizer.json")
        if is_complete(folder, tokenizer_hash):
            meta = json.loads(meta_path.read_text())
        else:
            meta_path.unlink(missing_ok=True)  # what is incomplete must not look complete
            splits = tokenize(corpus, folder)
            check_splits(splits, profile.sequence_length, source)
            meta = {
                "format": FORMAT, "key": key, "profile": profile.name, "source": source,
                "vocab_size": tokenizer.vocab_size, "sequence_length": profile.sequence_length,
                "bos_id": tokenizer.bos_id,
                "eval_tokens": min(profile.eval_tokens, splits["val"]["tokens"]) // profile.sequence_length
                * profile.sequence_length,
                "noise_prior": profile.noise_prior, "tokenizer_sha256": tokenizer_hash, "splits": splits,
            }  # fmt: skip
        meta |= machine_facts(profile, meta)
        write_whole(meta_path, json.dumps(meta, indent=1))  # last: from here on it is complete
    write_whole(cache_dir() / "current.json", json.dumps({"preparation": str(folder)}))
    return folder


def is_complete(folder: Path, tokenizer_hash: str) -> bool:
    try:
        meta = json.loads((folder / "meta.json").read_text())
        stores = {split: TokenStore.load(folder, split) for split in SPLITS}
        counts = {split: meta["splits"][split]["tokens"] for split in SPLITS}
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return False
    whole = all(len(stores[split].tokens) == counts[split] for split in SPLITS)
    return whole and meta["tokenizer_sha256"] == tokenizer_hash


def machine_facts(profile: Profile, meta: dict[str, Any]) -> dict[str, Any]:
    """What depends on this machine, looked at by every prepare.py: it may be another one, or back online."""
    kind = device_kind()
    # CPU-seconds say nothing about a run whose work is done by a GPU.
    budget = "60s" if profile is SMALL and kind != "cpu" else profile.budget
    kernel = meta.get("flash_attention")
    if kind == "cuda" and profile is FULL and kernel is None:
        kernel = fetch_flash_attention()
    return {"device": kind, "budget": budget, "flash_attention": kernel}


def load_meta() -> dict[str, Any]:
    """The preparation in force: the folder named by AUTORESEARCH_PREPARATION, or by the last prepare.py."""
    named = os.environ.get("AUTORESEARCH_PREPARATION")
    try:
        folder = Path(named or json.loads((cache_dir() / "current.json").read_text())["preparation"])
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"no data is prepared in {named or cache_dir()}: run scripts/setup.sh") from None
    if meta.get("format") != FORMAT:
        raise DataError(f"{folder} was made by another version of prepare.py: run prepare.py again")
    return {**meta, "folder": str(folder)}


def evaluation_rows(meta: dict[str, Any], split: str = "val") -> np.ndarray:
    """The rows that are scored, uint16 [rows, T + 1]: the same for every model of a preparation."""
    packer = Packer(TokenStore.load(Path(meta["folder"]), split), meta["bos_id"], seed=0)
    tokens = min(meta["eval_tokens"], meta["splits"][split]["tokens"])  # no text twice, in a small split
    rows = np.empty((tokens // meta["sequence_length"], meta["sequence_length"] + 1), np.uint16)
    for row in rows:
        packer.fill(row)
    return rows


def run_settings() -> tuple[dict[str, Any], int, Budget]:
    """What trainer and feeder must agree on: the preparation, the seed, the budget."""
    meta = load_meta()
    seed = os.environ.get("AUTORESEARCH_SEED") or "42"
    if not seed.isdigit():
        raise DataError(f"AUTORESEARCH_SEED={seed!r} is not a whole number")
    return meta, int(seed), Budget.parse(os.environ.get("AUTORESEARCH_BUDGET") or meta["budget"])


# ---------------------------------------------------------------------------------------------------------
# The run, as train.py sees it


class Run:
    """One training run. Made by start_run; see the module's docstring for how it is used."""

    NOT_FINITE_AFTER = 16  # steps in flight at most before a loss is looked at
    DIVERGED_OVER = 1.0  # nats worse than guessing uniformly, or than the start, as the median of recent losses

    def __init__(self, meta: dict[str, Any], seed: int, budget: Budget, channel: Channel, folder: Path) -> None:
        self.device_info = pick_device()
        self.device = self.device_info.torch_device
        self.compute_dtype = self.device_info.compute_dtype
        self.peak_flops = self.device_info.peak_flops
        self.seed, self.budget, self.profile = seed, budget, str(meta["profile"])
        seconds = FULL_SECONDS if budget.unit == "tok" else budget.amount
        self.limits = Limits(self.device_info.assumed_flops, self.device_info.memory, seconds)
        self.vocab_size, self.sequence_length = int(meta["vocab_size"]), int(meta["sequence_length"])
        self.bos_id = int(meta["bos_id"])
        self.progress, self.seconds, self.tokens = 0.0, 0.0, 0  # as of the last step served, which is included
        self._done = 0  # tokens of the steps before it
        self._text = int(meta["splits"]["train"]["tokens"])  # that an epoch has
        self._waited = 0.0  # seconds for rows, from the second step on
        self._warned = False
        self._channel, self._folder = channel, folder
        self._feeder: subprocess.Popen[bytes] | None = None
        self._pending: deque[tuple[int, dict[str, Any], list[str], Any, Any]] = deque()
        self._recent: deque[float] = deque(maxlen=8)
        self._first_loss = 0.0
        self._smooth = 0.0
        self._logged = 0
        self._display = Display(str(budget))

    @property
    def tokens_per_second(self) -> float:
        return self._done / self.seconds if self.seconds > 0 else 0.0

    # -- rows

    def dummy_batch(self, B: int, T: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Random ids, int64 [B, T] twice, to compile and warm up on before the clock starts."""
        import torch

        generator = torch.Generator().manual_seed(0)
        shape = (B, (T or self.sequence_length) + 1)
        rows = torch.randint(self.vocab_size, shape, generator=generator).to(self.device)
        return rows[:, :-1], rows[:, 1:]

    def batches(
        self, B: int, T: int | None = None, accum: int = 1
    ) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
        """One optimizer step at a time: `accum` pairs (x, y), int64 [B, T], y being x shifted by one.

        The clock starts with the first step and ends the stream between two. Call it again with another
        B, T or accum to change them on the way: clock and documents go on."""
        T = T or self.sequence_length
        if min(B, T, accum) < 1:
            raise SystemExit(f"train: batches(B={B}, T={T}, accum={accum}) must all be at least 1")
        if B * T * accum > self._text:
            print(
                f"train: a step takes {B * T * accum:,} tokens, but the whole training text has {self._text:,}: "
                "prepare more, or make smaller steps"
            )
        ring = TrainerRing(self._channel, B, T, accum, self.device)
        while True:
            free, asked = ring.released(accum), time.monotonic()
            reply = self._ask({"op": "step", "free": free})
            self._waited += time.monotonic() - asked if self.tokens else 0.0
            self.progress, self.seconds = min(1.0, reply["progress"]), reply["seconds"]
            if reply["slots"] is None:
                return
            if not self._warned and (epochs := epochs_ahead(self.tokens, self.progress, self._text)):
                self._warned = True
                print(
                    f"train: this budget reads the training text some {epochs:.0f} times: from the fifth on it "
                    "teaches little (arXiv 2305.16264): prepare more, or spend less"
                )
            self._done, self.tokens = self.tokens, reply["tokens"]
            yield [ring.load(slot) for slot in reply["slots"]]

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self._channel.send(message)
        reply, _ = self._channel.receive()
        if reply is None:
            raise SystemExit("train: the feeder is gone: its last words are above")
        return reply

    # -- the curve

    def log(self, step: int, loss: torch.Tensor | float, **extra: torch.Tensor | float) -> None:
        """Records the loss (a 0-d tensor, nats a token) of a step for the curve and for who is watching.

        Never waits for the device: tensors are copied in the background and looked at some steps later. Of the
        `extra` numbers, 0-d tensors go into the curve alone, plain ones are shown as well.
        A loss that is not finite, or that stays far worse than a uniform guess, ends the run."""
        import torch

        given: dict[str, Any] = {"loss": loss, **extra}
        plain = {name: value for name, value in given.items() if not isinstance(value, torch.Tensor)}
        names = [name for name in given if name not in plain]
        values: Any = torch.stack([given[name].detach().float() for name in names]) if names else torch.empty(0)
        copied: Any = None
        if values.device.type == "cuda":
            there: Any = torch.empty(values.shape, pin_memory=True)
            there.copy_(values, non_blocking=True)
            values, copied = there, torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        self._pending.append((step, plain, names, values, copied))
        while self._pending:
            copied = self._pending[0][-1]
            if copied is not None and not copied.query():
                if len(self._pending) <= self.NOT_FINITE_AFTER:
                    return
                copied.synchronize()
            self._judge_next()

    def _judge_next(self) -> None:
        step, plain, names, values, _ = self._pending.popleft()
        numbers = {**plain, **dict(zip(names, values.tolist(), strict=True)), "wait_s": self._waited}
        if step % 10 == 0:
            numbers["memory_mb"] = self.device_info.peak_memory_mb()
        loss = float(numbers.pop("loss"))
        finite = math.isfinite(loss)
        self._channel.send({"op": "log", "step": step, "loss": loss if finite else None, "extra": numbers})
        if not finite:
            self._stop(f"loss is {loss} at step {step}")
        self._recent.append(loss)
        if self._logged == 0:
            self._first_loss = loss  # with all that is added to it, a second head's loss for instance
        self._logged += 1
        self._smooth = loss if self._logged == 1 else 0.9 * self._smooth + 0.1 * loss
        uniform = math.log(self.vocab_size)
        median = sorted(self._recent)[len(self._recent) // 2]
        is_full = len(self._recent) == self._recent.maxlen
        if is_full and median > max(uniform, self._first_loss) + self.DIVERGED_OVER:
            self._stop(f"diverged by step {step}: loss {median:.2f}, guessing uniformly gives {uniform:.2f}")
        self._display.show(self, step, self._smooth, {k: v for k, v in plain.items() if k != "loss"})

    def vitals(self, model: torch.nn.Module, attention: type[torch.nn.Module] | None = None) -> Vitals:
        """What a diagnosis needs beside the loss. `attention`: the class of modules called with (q, k, …), each
        [B, T, heads, head_dim], right before softmax(q·k / √head_dim)."""
        from vitals import Vitals

        return Vitals(model, attention, self.vocab_size)

    def _stop(self, why: str) -> NoReturn:
        self._display.close()
        print(f"train: {why}: a lower learning rate or a longer warmup may help", file=sys.stderr, flush=True)
        raise SystemExit(1)

    # -- the end

    def finish(self, model: torch.nn.Module, config: dict[str, Any], **facts: float) -> NoReturn:
        """Waits for the device, saves the weights and `config` (plain JSON, what build_model needs), has the clock
        stopped, and ends. Run alone, evaluate.py then takes this process's place.

        The feeder takes the weights' hash before it stops the clock: what is changed later is not scored.

        `facts` go into the summary; flops_per_token (forward and backward) gives MFU, depth its line."""
        import torch

        self.device_info.synchronize()
        work = self._folder / "work"
        work.mkdir(parents=True, exist_ok=True)
        model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
        torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, work / "weights.pt")
        facts = {"peak_memory_mb": self.device_info.peak_memory_mb(), "waited_seconds": self._waited, **facts}
        write_whole(work / "model.json", json.dumps({"config": config, **facts}))
        totals = self._ask({"op": "finish"})
        while self._pending:
            self._judge_next()
        self._display.close()
        if totals["share"] > 1.02:
            print(f"train: {totals['share'] - 1:.1%} over the budget: the last step or the end took long")
        if self._waited > 0.05 * totals["seconds"]:
            share = self._waited / totals["seconds"]
            print(f"train: {share:.0%} of the time was spent waiting for rows: what else keeps the CPU busy?")
        sys.stdout.flush()
        if self._feeder is None:
            raise SystemExit(0)  # the runner evaluates, once nothing of this process is left
        self._channel.socket.close()
        self._feeder.wait()
        os.execv(sys.executable, [sys.executable, str(HERE / "evaluate.py"), str(self._folder)])


class Display:
    """A progress bar at a terminal, a plain line every few seconds in a file."""

    EVERY = 5.0  # seconds between plain lines

    def __init__(self, budget: str) -> None:
        self.bar: Any = None
        self.last = -math.inf
        if sys.stdout.isatty():
            from tqdm import tqdm

            layout = "{percentage:3.0f}% of " + budget + " |{bar}| {postfix}"
            self.bar = tqdm(total=1.0, bar_format=layout, file=sys.stdout)

    def show(self, run: Run, step: int, loss: float, extra: dict[str, float]) -> None:
        left = run.seconds / run.progress - run.seconds if run.progress > 0 else math.nan
        numbers = [f"step {step}", f"loss {loss:.4f}", f"{run.tokens_per_second / 1000:.1f}k tok/s"]
        numbers += [f"{name} {value:.4g}" for name, value in extra.items()]
        numbers += [f"{left:.0f} s left"] if math.isfinite(left) else []
        if self.bar is not None:
            self.bar.n = run.progress
            self.bar.set_postfix_str(" | ".join(numbers))
        elif time.monotonic() - self.last > self.EVERY:
            self.last = time.monotonic()
            print(f"{run.progress:4.0%} | " + " | ".join(numbers), flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def flash_attention() -> Any | None:
    """The FlashAttention-3 interface that preparation recorded (`flash_attn_func(q, k, v, causal=...,
    window_size=...)`, tensors [B, T, heads, head_dim]), or None where there is none: then use PyTorch's attention.
    One that was recorded and cannot be loaded ends the run: a slower kernel's score would pass for the idea's."""
    recorded = load_meta().get("flash_attention")
    try:
        return load_flash_attention(recorded) if recorded else None
    except DataError as error:
        stop(str(error))


def start_run() -> Run:
    """Begins a run: settles seeds and precision, and connects to the feeder (the runner's, or its own)."""
    try:
        meta, seed, budget = run_settings()
        os.environ["AUTORESEARCH_PREPARATION"] = meta["folder"]  # the same for feeder and scorer, come what may
        folder = Path(os.environ.get("AUTORESEARCH_RUN") or HERE / "runs" / "standalone")
        feeder = None
        if "AUTORESEARCH_FEED" in os.environ:
            ours = socket.socket(fileno=int(os.environ["AUTORESEARCH_FEED"]))
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            ours, theirs = socket.socketpair()
            command = [sys.executable, __file__, "--feed", str(folder), "--fd", str(theirs.fileno())]
            feeder = subprocess.Popen([*command, "--pid", str(os.getpid())], pass_fds=[theirs.fileno()])
            theirs.close()
    except DataError as error:
        stop(str(error))
    settle_numerics(seed)
    run = Run(meta, seed, budget, Channel(ours), folder)
    run._feeder = feeder
    text = meta["splits"]["train"]
    dtype = str(run.compute_dtype).removeprefix("torch.")
    print(f"{run.profile} profile on {run.device_info.name}, {dtype}; budget {budget}; seed {seed}", flush=True)
    print(f"{text['tokens'] / 1e6:.1f}M training tokens of {meta['source']}, {meta['key']}", flush=True)
    return run


# ---------------------------------------------------------------------------------------------------------
# Command line


def choose_profile() -> Profile:
    import torch

    kind = device_kind()
    if kind == "cuda":
        print(f"profile full: there is a GPU, {torch.cuda.get_device_name()}")
        return FULL
    print(f"profile small: there is no CUDA GPU here (device: {kind}), and `full` would take days on it")
    return SMALL


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Prepare data and tokenizer, once.",
        epilog="examples: prepare.py | prepare.py --profile small | prepare.py --source ~/my_texts",
    )
    parser.add_argument("--profile", default="auto", help="full, small or auto (looks at the device)")
    parser.add_argument("--source", help="climbmix, sample, or a folder of .parquet, .jsonl or .txt")
    parser.add_argument("--shards", type=int, default=CLIMBMIX_SHARDS, help="training shards of climbmix")
    parser.add_argument("--cache", type=Path, help="where all this is kept (default: ~/.cache/autoresearch)")
    parser.add_argument("--show", action="store_true", help="print the preparation in force as JSON")
    parser.add_argument("--feed", type=Path, help=argparse.SUPPRESS)  # be the feeder of a run
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pid", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cache:
        os.environ["AUTORESEARCH_CACHE"] = str(options.cache.expanduser().resolve())
    try:
        if options.feed:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer; the feeder ends with it
            meta, seed, budget = run_settings()
            packer = Packer(TokenStore.load(Path(meta["folder"]), "train"), meta["bos_id"], seed)
            clock = Clock(budget, options.pid, on_cpu=meta["device"] == "cpu")
            feed(options.feed, Channel(socket.socket(fileno=options.fd)), packer, clock)
        elif options.show:
            print(json.dumps(load_meta(), indent=1))
        else:
            if options.profile not in (*PROFILES, "auto"):
                raise DataError(f"profile {options.profile!r} is unknown: full, small or auto")
            profile = PROFILES.get(options.profile) or choose_profile()
            source = options.source or profile.source
            folder = prepare(profile, source, options.shards)
            describe(json.loads((folder / "meta.json").read_text()), folder, options.cache is not None)
    except DataError as error:
        stop(str(error))
    except ProtocolError as error:
        stop(f"train.py spoke to the feeder, which only run.batches, run.log and run.finish do: {error}")
    except BrokenProcessPool:
        stop("a tokenizing process was killed, perhaps for want of memory: run this again")
    except OSError as error:
        place = error.filename or cache_dir()
        stop(f"{error.strerror or error} ({place}): make room there, or check who may write")
    except KeyboardInterrupt:
        stop("stopped; what is done is kept: run this again to go on")


def describe(meta: dict[str, Any], folder: Path, cache_given: bool) -> None:
    for split in SPLITS:
        facts = meta["splits"][split]
        print(
            f"{split:8} {facts['documents']:>9,} documents {facts['tokens']:>13,} tokens"
            f" {facts['bytes'] / max(1, facts['tokens']):.2f} bytes a token"
        )
    print(f"{meta['eval_tokens']:,} tokens are scored; a run's budget is {Budget.parse(meta['budget'])}")
    if meta["profile"] == "full" and meta["source"] == "sample":
        print("note: a GPU reads this small corpus dozens of times; the score then measures overfitting only")
    print(f"ready: {folder}")
    if cache_given:
        print(f"for training to find it: export AUTORESEARCH_CACHE={cache_dir()}")


if __name__ == "__main__":
    main()
