#!/usr/bin/env python3
"""What it costs that a score can be trusted: isolation and audit beside the plain evaluation, and beside the run.

One run of train.py is trained in a throw-away clone, on the preparation in force. Its weights are then evaluated
in three ways, in turn, a few times each:

  plain     one model host, no box, no audit: what an evaluation that trusts the model would do
  boxed     the same host in the box
  audited   as every run that could be kept is evaluated: two hosts in boxes, and the audit

CPU-seconds are of all processes; wall seconds on a busy machine measure its neighbours too.

examples:
  .venv/bin/python benchmarks/evaluation.py                       the preparation's own budget, three times each
  .venv/bin/python benchmarks/evaluation.py --budget 20cpu --times 1 --json FILE
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

WAYS = ("plain", "boxed", "audited")


@dataclass(frozen=True)
class Cost:
    """Seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Result:
    """`run`: from the start of training to its end, without the evaluation. `evaluation`: medians."""

    profile: str
    budget: str
    tokens: int
    run: Cost
    evaluation: dict[str, Cost]
    probes: int
    times: int
    machine: str

    def share(self, way: str, of: str) -> float:
        """What `way` costs over the plain evaluation, as a share of the run with a plain evaluation."""
        plain = getattr(self.evaluation["plain"], of)
        return float((getattr(self.evaluation[way], of) - plain) / (getattr(self.run, of) + plain))


def train(clone: Path, budget: str | None) -> Path:
    """A baseline in a clone of this checkout's HEAD; returns the run's folder."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run(["git", "switch", "--quiet", "-c", "autoresearch/cost"], cwd=clone, check=True)
    environ = os.environ | {"AUTORESEARCH_PYTHON": sys.executable}
    environ |= {"AUTORESEARCH_BUDGET": budget} if budget else {}
    command = [sys.executable, str(clone / "tools/run_experiment.py"), "--baseline", "--wait", "3600"]
    done = subprocess.run(command, cwd=clone, env=environ, stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"evaluation: the run failed ({done.returncode}): its last words are above")
    return next((clone / "runs/cost").glob("0000-*"))


def measure(command: list[str], environ: dict[str, str]) -> Cost:
    """A command to its end, with all that it starts."""
    from feeder import TreeClock

    began = time.monotonic()
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
    clock = TreeClock(process.pid)
    while process.poll() is None:
        clock.read()
        time.sleep(0.05)
    if process.returncode != 0:
        sys.exit(f"evaluation: {' '.join(command[:3])} … failed ({process.returncode})")
    return Cost(time.monotonic() - began, clock.total)


def commands(clone: Path, run: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The three ways, and the environment that a run has."""
    from harness import box, campaign, preparation

    pinned = campaign.load(clone, "cost")
    assert pinned is not None
    prefix: list[str] = []
    if pinned.is_boxed:
        program, _ = box.find(clone, pinned.sandbox_program)
        assert program is not None
        data = preparation.read(Path(pinned.preparation))
        made = box.make(clone, program, pinned.python, data, pinned.environment)
        prefix = made.around(run, [path.name for path in run.glob("*.py")], training=False)
    boxed = json.dumps(prefix)
    plain = [pinned.python, __file__, "--plain", str(run)]
    audited = [pinned.python, str(run / "evaluate.py"), str(run), "--box", boxed]
    environ = pinned.environment | {"AUTORESEARCH_PREPARATION": pinned.preparation, "AUTORESEARCH_STARTED": "0"}
    environ |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "AUTORESEARCH_RUN": str(run)}
    return {"plain": plain, "boxed": [*plain, "--box", boxed], "audited": audited}, environ


def score_plainly(run: Path, prefix: list[str]) -> None:
    """The loss of every scored token by one host, and nothing else."""
    sys.path.insert(0, str(run))
    import evaluate
    import prepare
    from corpus import Tokenizer
    from device import settle_numerics

    meta = prepare.load_meta()
    settle_numerics(seed=0)
    shape = (evaluate.ROWS, meta["sequence_length"], meta["vocab_size"])
    with evaluate.ModelHost(run, shape, prefix, evaluate.Pace(3600.0, 3600.0, 0.0)) as host:
        token_bytes = Tokenizer.load(Path(meta["folder"]) / "tokenizer.json").token_bytes()
        rows = prepare.evaluation_rows(meta)
        host.begin()
        losses = evaluate.losses_of(host, rows[:, :-1], rows[:, 1:])
        print(evaluate.add_up(losses, rows[:, 1:], token_bytes).bpb)


def compare(budget: str | None, times: int) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="evaluation-"))
    try:
        run = train(folder / "clone", budget)
        fed, trained, score = (
            json.loads((run / name).read_text()) for name in ("feed.json", "trained.json", "score.json")
        )
        ways, environ = commands(folder / "clone", run)
        found: dict[str, list[Cost]] = {way: [] for way in WAYS}
        for _ in range(times):
            for way in WAYS:
                cost = measure(ways[way], environ)
                found[way].append(cost)
                print(f"{way:8} {cost.wall:6.1f} s wall, {cost.cpu:6.1f} CPU-seconds", flush=True)
        pinned = json.loads((run.parent / "campaign.json").read_text())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    evaluation = {
        way: Cost(*(statistics.median(getattr(cost, of) for cost in costs) for of in ("wall", "cpu")))
        for way, costs in found.items()
    }
    machine = f"{score['machine']['device_name']}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    machine += f", torch {score['machine']['torch']}, sandbox {pinned['sandbox']}"
    spent = Cost(trained["wall_seconds"], fed["cpu_seconds"])
    probes = score["audit"]["probes"]
    return Result(pinned["profile"], pinned["budget"], fed["tokens"], spent, evaluation, probes, times, machine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", help="of the run, as 300s, 100cpu or 400000tok (default: the preparation's)")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="each way (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # be the plain evaluation of a run
    parser.add_argument("--box", type=json.loads, default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        score_plainly(given.plain, given.box)
        return
    result = compare(given.budget, max(1, given.times))
    print(f"\n{'':10}{'wall s':>8}{'CPU s':>8}{'of the run, wall':>20}{'CPU':>8}")
    print(f"{'training':10}{result.run.wall:8.1f}{result.run.cpu:8.1f}")
    for way in WAYS:
        cost = result.evaluation[way]
        shares = f"{result.share(way, 'wall'):+20.1%}{result.share(way, 'cpu'):+8.1%}" if way != "plain" else ""
        print(f"{way:10}{cost.wall:8.1f}{cost.cpu:8.1f}{shares}")
    print(f"{result.profile}, budget {result.budget}, {result.tokens:,} tokens, {result.probes} probes")
    print(result.machine)
    if given.json:
        given.json.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
