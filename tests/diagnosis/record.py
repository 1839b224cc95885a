#!/usr/bin/env python3
"""Trains the cases of cases.py and keeps their curves, tests/diagnosis/curves/NAME.json.

Each run is real: train.py with the case's edit, the real feeder, a score from the real rows. Only the size is
less, vocabulary 512, width 64, context 128 and 150 steps of 512 tokens, which takes some 3 CPU-seconds; the cases
of size `small` have the profile's own. torch is imported once: each run is a fork. No box, no audit.

examples:
  .venv/bin/python tests/diagnosis/record.py --list
  .venv/bin/python tests/diagnosis/record.py                 those that have no curve yet
  .venv/bin/python tests/diagnosis/record.py --again seed_1 slow_disk
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
os.environ["OMP_NUM_THREADS"] = "1"

from tests.diagnosis.cases import CASES, Case  # noqa: E402

CURVES = Path(__file__).with_name("curves")
DIGITS = 4  # significant ones that are kept of each number
SHRUNK = {
    "SMALL_TOTAL_BATCH": 512,
    "SMALL_DEVICE_BATCH_SIZE": 4,
    "SMALL_SHORT_WINDOW": 32,
    "SMALL_WIDTH": 64,
    "SMALL_HEAD_DIM": 32,
}
PAUSE = 0.15  # seconds that a paused trainer lives, before it is stopped for twice that


def text_of(case: Case) -> str:
    """The train.py that the case trains."""
    from tests.honest import lab

    text = (ROOT / "train.py").read_text(encoding="utf-8")
    text = lab.Edit.load(lab.EDITS / f"{case.honest}.py").apply(text) if case.honest else case.edit(text)
    if case.size == "mini":
        plain = (ROOT / "train.py").read_text(encoding="utf-8")
        for name, value in SHRUNK.items():
            (line,) = re.findall(rf"^{name} = .*$", plain, re.MULTILINE)
            text = text.replace(line, f"{name} = {value}")  # an edit that sets it keeps its own
    return text


def make_preparation(cache: Path, documents: int | None) -> Path:
    """A small preparation of the embedded corpus; all share the tokenizer's text, so that losses compare."""
    import pyarrow.parquet as pq

    import prepare

    mini = prepare.Profile("small", 128, 512, "76800tok", 16_384, "", 0.01)
    name = str(documents or "all")
    table = pq.read_table(ROOT / "data" / "sample" / "shard_00004.parquet")
    texts = [str(text)[:3000] for text in table.column("text").to_pylist()[:1200]]
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "some.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with mock.patch.dict(os.environ, AUTORESEARCH_CACHE=str(cache / f"cache-{name}")):
        made = prepare.prepare(mini, str(folder), shards=1)
    if documents:  # the training split alone is cut: tokenizer and validation text stay
        import numpy as np

        offsets = np.fromfile(made / "train.offsets", dtype=np.int64)[: documents + 1]
        tokens = np.fromfile(made / "train.tokens", dtype=np.uint16)[: offsets[-1]]
        meta = json.loads((made / "meta.json").read_text())
        share = len(tokens) / meta["splits"]["train"]["tokens"]
        split = meta["splits"]["train"]
        split |= {"tokens": len(tokens), "documents": documents, "bytes": int(split["bytes"] * share)}
        offsets.tofile(made / "train.offsets")
        tokens.tofile(made / "train.tokens")
        (made / "meta.json").write_text(json.dumps(meta))
    return made


def fork(body: Any, log: Path) -> int:
    """Runs `body` in a fork of this process, its output in `log`. Returns its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        with log.open("ab") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        code = 1
        try:
            body()
            code = 0
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def record(case: Case, preparation: Path) -> dict[str, Any]:
    """Trains and scores one case in a throw-away folder. Returns what is kept of it."""
    import evaluate
    import prepare
    from feeder import Channel, Clock, Packer, TokenStore, feed

    folder = Path(tempfile.mkdtemp(prefix="diagnosis-"))
    (folder / "work").mkdir()
    (folder / "train.py").write_text(text_of(case), encoding="utf-8")
    meta = json.loads((preparation / "meta.json").read_text())
    os.environ |= {
        "AUTORESEARCH_PREPARATION": str(preparation), "AUTORESEARCH_RUN": str(folder),
        "AUTORESEARCH_SEED": str(case.seed), "AUTORESEARCH_BUDGET": case.budget,
    }  # fmt: skip
    ours, theirs = socket.socketpair()

    def train() -> None:
        theirs.close()
        os.environ["AUTORESEARCH_FEED"] = str(ours.fileno())
        os.chdir(folder)
        evaluate.import_file(folder / "train.py").main()

    trainer = fork(train, folder / "run.log")
    ours.close()

    def serve() -> None:
        _, seed, budget = prepare.run_settings()
        packer = Packer(TokenStore.load(preparation, "train"), meta["bos_id"], seed)
        if case.pack_delay:
            plain = packer.fill

            def late(row: Any) -> None:
                time.sleep(case.pack_delay)
                plain(row)

            packer.fill = late  # type: ignore[method-assign]
        feed(folder, Channel(theirs), packer, Clock(budget, trainer, on_cpu=budget.unit == "cpu"))

    feeder = fork(serve, folder / "feeder.log")
    theirs.close()
    code = watch(trainer, folder, case)
    os.waitpid(feeder, 0)
    score: dict[str, Any] = {}
    if code == 0:

        def rate() -> None:
            sys.modules["whole_evaluate"] = evaluate
            from benchmarks.bench import plain_score

            (folder / "score.json").write_text(json.dumps(plain_score.score(folder)))

        os.waitpid(fork(rate, folder / "score.log"), 0)
        with contextlib.suppress(OSError):
            score = json.loads((folder / "score.json").read_text())
    kept = keep(case, folder, meta, score.get("val_bpb"), code)
    shutil.rmtree(folder)
    return kept


def watch(trainer: int, folder: Path, case: Case) -> int:
    """Waits for the trainer, stopping it two thirds of the time where the case says so. Returns its exit code."""
    while True:
        done, status = os.waitpid(trainer, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(PAUSE)
        if case.paused and case.paused[0] <= progress(folder) <= case.paused[1]:
            os.kill(trainer, signal.SIGSTOP)
            time.sleep(2 * PAUSE)
            os.kill(trainer, signal.SIGCONT)


def progress(folder: Path) -> float:
    """The share of the budget that the curve says, which the feeder writes twice a second."""
    with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
        whole = (folder / "curve.jsonl").read_text().rsplit("\n", 1)[0]
        return float(json.loads(whole.splitlines()[-1])["progress"])
    return 0.0


def keep(case: Case, folder: Path, meta: dict[str, Any], bpb: float | None, code: int) -> dict[str, Any]:
    """The curve by columns, and what a record, feed.json, the preparation and the log would tell of the run."""
    rows = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    fed = json.loads((folder / "feed.json").read_text())
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, Any] = {}
    for name in names:
        column = [rounded(row.get(name)) for row in rows]
        sparse = {str(at): value for at, value in enumerate(column) if name in rows[at]}
        columns[name] = column if len(sparse) == len(rows) else sparse
    log = (folder / "run.log").read_text(errors="replace").replace(str(folder), ".").splitlines()
    train = meta["splits"]["train"]
    return {
        "name": case.name, "label": case.label, "half": case.half, "how": case.how, "seed": case.seed,
        "outcome": "finished" if code == 0 else "crashed",
        "val_bpb": rounded(bpb, 6), "budget": case.budget, "share": rounded(fed["share"]),
        "epochs": rounded(fed["epochs"]), "vocab_size": meta["vocab_size"],
        "bytes_per_token": rounded(train["bytes"] / train["tokens"]),
        "log": log[-12:], "curve": columns,
    }  # fmt: skip


def rounded(value: Any, digits: int = DIGITS) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="cases (default: all)")
    parser.add_argument("--again", action="store_true", help="train those too that have a curve")
    parser.add_argument("--list", action="store_true", help="names and how each is broken; trains nothing")
    parser.add_argument("--work", type=Path, help="where preparations lie, and stay")
    given = parser.parse_args()
    if unknown := set(given.names) - {case.name for case in CASES}:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    chosen = [case for case in CASES if not given.names or case.name in given.names]
    if given.list:
        print("\n".join(f"{case.half:7} {case.label:17} {case.name:26} {case.how}" for case in chosen))
        return 0
    import torch  # noqa: F401, RUF100  # once, for all forks

    work = given.work or Path(tempfile.mkdtemp(prefix="diagnosis-preparations-"))
    CURVES.mkdir(exist_ok=True)
    for case in chosen:
        target = CURVES / f"{case.name}.json"
        if target.exists() and not given.again:
            continue
        if case.size == "small":
            current = Path.home() / ".cache/autoresearch/current.json"
            preparation = Path(json.loads(current.read_text())["preparation"])
        else:
            preparation = make_preparation(work, case.documents)
        began = time.monotonic()
        kept = record(case, preparation)
        target.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
        losses = [loss for loss in kept["curve"].get("loss", []) if loss is not None]
        ending = f"{len(losses)} points, last loss {losses[-1] if losses else None}, val_bpb {kept['val_bpb']}"
        ending += f", {time.monotonic() - began:.0f} s"
        print(f"{case.label:17} {case.name:26} {kept['outcome']:9} {ending}", flush=True)
        if kept["outcome"] != "finished":
            print("    " + " / ".join(kept["log"][-2:])[:200], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
