#!/usr/bin/env python3
"""A made-up campaign of real shape: what every tool reads, without a single training.

Commits, refs, records, curves, the ledger and the client's counts are such as the bench itself leaves; the scores
are drawn from a model of ideas and noise. What follows from them is the bench's own doing: each verdict is made by
the very functions that log_result calls, confirmations and re-tests run where those ask for them. So pages,
searches and timings can be tried on as many experiments as one likes. The campaign is named after what it is, and
its records say `made-up` for a machine.

examples:
  .venv/bin/python benchmarks/made_up.py /tmp/campaign                       100 experiments, in a clone there
  .venv/bin/python benchmarks/made_up.py /tmp/campaign --experiments 10000
  .venv/bin/python /tmp/campaign/tools/report.py --open                      … as a person sees it

exit code: 0 done, 2 it could not begin
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools")]

from harness import Refused, campaign, headline, history, knowledge, noise, record, snapshot, verdict  # noqa: E402
from harness import experiment as experiments  # noqa: E402
from harness.branch import PREFIX, TRAIN, Git  # noqa: E402
from harness.campaign import Campaign  # noqa: E402
from harness.history import Entry  # noqa: E402
from harness.knowledge import Knowledge  # noqa: E402
from harness.levels import Score  # noqa: E402
from harness.record import Decision, Record, Request, Run  # noqa: E402
from harness.submit import seed_of  # noqa: E402

TAG = "made-up"
BEGAN = 1_790_000_000.0  # unix time
PROFILES = {  # budget, seconds a run, tokens a run, baseline val_bpb, sigma, parameters, device
    "small": ("100cpu", 110.0, 150_000, 2.03, 0.002, 1_970_000, "cpu"),
    "full": ("300s", 325.0, 450_000_000, 0.985, 0.0004, 60_000_000, "cuda"),
}
CRASHES, LARGE = 0.04, 0.1  # shares of ideas that crash, and whose effect is large
STOPPED_FROM = 8.0  # sigmas behind the incumbent from which a run is stopped by its curve
CONSTANT = re.compile(r"^([A-Z][A-Z0-9_]+) = (\d+(?:\.\d+)?)(?=\s|$)", re.MULTILINE)
CRASH = "CUDA out of memory. Tried to allocate 2.00 GiB"
NOTES = ("as expected", "the rate falls too early", "fewer steps cost more than it gains", "near the optimum", "")


@dataclass(frozen=True)
class Idea:
    """One edit: a constant of train.py, its new value, and what it truly gains (bpb)."""

    name: str
    before: str
    after: str
    gain: float

    @property
    def text(self) -> str:
        return f"{self.name} {self.before} to {self.after}"


@dataclass
class Candidate:
    """A commit to be: its place in the stream (a mark), its parent's, and its train.py."""

    mark: int
    parent: int  # 0: the base
    text: str
    message: str
    number: int


@dataclass
class World:
    """What is being made. `known`, `level`: what the campaign believes of its incumbent, and the truth."""

    pinned: Campaign
    dice: random.Random
    sigma: float
    known: Knowledge | None
    level: float
    text: str
    mark: int = 0  # of the incumbent
    memory: float = 450.0
    clock: float = BEGAN
    count: int = 0  # runs
    drawn: dict[int, int] = field(default_factory=dict)  # seed: number of the run it was drawn for
    incumbent_seeds: int = 1
    candidates: list[Candidate] = field(default_factory=list)
    runs: list[tuple[int, Request, Record, Decision | None, float]] = field(default_factory=list)  # mark first


def make(root: Path, experiments: int, seed: int = 0, profile: str = "small", points: int = 60) -> None:
    """Leave a campaign `made-up` of so many decided experiments, beside its baseline, in the checkout `root`, on
    its branch, with `points` in each curve. Raises Refused where there is one."""
    git = Git(root)
    if campaign.folder(root, TAG).exists():
        raise Refused(f"there is a campaign {TAG} in {root}: name another folder")
    base = git.line("rev-parse", "HEAD")
    budget, _, _, bpb, sigma, _, device = PROFILES[profile]
    pinned = Campaign(
        tag=TAG, created=BEGAN, bench=base, base=base, preparation=str(root / "made-up"),
        preparation_key="made-up", budget=budget, profile=profile, device=device, noise_prior=sigma,
        baseline_runs=3, sandbox="bubblewrap", sandbox_program="", python=sys.executable, environment={},
        data_sha256={}, lock_sha256="",
    )  # fmt: skip
    text = (git.run("cat-file", "blob", f"{base}:{TRAIN}")).decode()
    world = World(pinned, random.Random(seed), sigma, None, bpb, text)
    begin(world, profile)
    for _ in range(experiments):
        one(world, profile)
    write(git, root, world, profile, points)


def begin(world: World, profile: str) -> None:
    """The baseline, on its seeds."""
    numbers, scores = [], []
    for at in range(world.pinned.baseline_runs):
        kind = "confirm" if at else "baseline"
        done, score = run(world, profile, 0, 0, kind, "baseline", None, world.level)
        numbers.append(done)
        scores.append(score)
    world.incumbent_seeds = len(scores)
    world.known = knowledge.begin(scores, world.sigma, noise.PAIRING_PRIOR, world.sigma)
    facts = verdict.Facts(
        outcome="finished", scores=tuple(scores), known=None, is_baseline=True,
        baseline_runs=len(scores), seconds=100.0,
    )  # fmt: skip
    decide(world, verdict.decide(facts), numbers, scores, "baseline", "")


def one(world: World, profile: str) -> None:
    """One experiment, from its idea to its decision."""
    dice, known = world.dice, world.known
    assert known is not None
    idea = draw(world)
    line = rf"(?m)^{idea.name} = {re.escape(idea.before)}"
    text = re.sub(line, f"{idea.name} = {idea.after}", world.text, count=1)
    lines = (1, 1)
    if dice.random() < 0.2:  # an idea of a few lines more
        text += f"\n\ndef spare_{world.count}(x):\n    return x * {idea.after}\n"
        lines = (5, 1)
    number = world.count
    mark = len(world.candidates) + 1
    world.candidates.append(Candidate(mark, world.mark, text, f"exp: {idea.text}", number))
    truth = world.level - idea.gain
    seed = knowledge.next_run(known, (), first=True).seed
    numbers: list[int] = []
    own: list[Score] = []
    again: list[Score] = []
    retest = False
    outcome = "finished"
    if dice.random() < CRASHES:
        outcome = "crashed"
    elif idea.gain < -STOPPED_FROM * world.sigma:
        outcome = "stopped"
    memory = world.memory * (1 + max(dice.gauss(0, 0.03), -0.1))
    side, kind = "candidate", "candidate"
    while True:
        at, level = (mark, truth) if side == "candidate" else (world.mark, world.level)
        message = f"exp: {idea.text}"
        done, score = run(world, profile, number, at, kind, message, seed, level, outcome, memory, lines)
        numbers.append(done)
        (own if side == "candidate" else again).append(score)
        held = known
        for other in again:
            held = held.ran_again(other)
        facts = verdict.Facts(
            outcome=outcome, scores=tuple(own) if outcome == "finished" else (), known=held,
            runs=len(own) + len(again), incumbent_runs=world.incumbent_seeds + len(again), lines_added=lines[0],
            lines_removed=lines[1], peak_memory_mb=memory, incumbent_peak_memory_mb=world.memory, seconds=100.0,
            share=0.4 if outcome == "stopped" else 1.0, retest=retest,
            raced="by its curve it would end behind the incumbent" if outcome == "stopped" else "",
        )  # fmt: skip
        found = verdict.decide(facts)
        if found.status == "confirm" and found.confirm is not None:
            side, seed, kind = found.confirm.side, found.confirm.seed, "confirm"
            continue
        decide(world, found, [n for n in numbers if world.runs[n][0] == mark], own, idea.text, dice.choice(NOTES))
        if not found.provisional:
            break
        retest, side, kind, seed = True, "candidate", "confirm", None
    kept = found.status == "keep"
    entry = Entry(scores=tuple(own) if outcome == "finished" else (), again=tuple(again), kept=kept)
    world.known, _ = history.after(known, entry, None)
    world.incumbent_seeds += len(again)
    if kept:
        world.level, world.text, world.mark, world.memory = truth, text, mark, memory
        world.incumbent_seeds = len(own)
    world.clock += dice.uniform(5, 40)  # the model thinks


def draw(world: World) -> Idea:
    """An idea; as a campaign gets on, less is left to gain."""
    dice = world.dice
    constants = [match.groups() for match in CONSTANT.finditer(world.text) if float(match[2])]
    name, before = dice.choice(constants)
    value = float(before) * dice.choice((0.5, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0))
    after = f"{max(round(value), 1)}" if before.isdigit() else f"{value:.4g}"
    after = after if after != before else f"{after}0" if "." in after else f"{int(after) + 1}"
    left = 1 / (1 + world.count / 40)
    scale = (12 if dice.random() < LARGE else 2.5) * world.sigma
    gain = dice.gauss(-0.7 * world.sigma, scale)
    return Idea(str(name), str(before), after, gain * left if gain > 0 else gain)


def run(
    world: World, profile: str, experiment: int, mark: int, kind: str, message: str, seed: int | None,
    level: float, outcome: str = "finished", memory: float = 450.0, lines: tuple[int, int] = (0, 0),
) -> tuple[int, Score]:  # fmt: skip
    """A run of the commit at `mark`; returns its number and its score. `seed` None: its own."""
    dice, number = world.dice, world.count
    _, seconds, tokens, _, sigma, parameters, device = PROFILES[profile]
    own = seed_of(TAG, number)
    seed = own if seed is None else seed
    world.drawn.setdefault(seed, number)
    luck = random.Random(seed).gauss(0, math.sqrt(noise.PAIRING_PRIOR) * sigma)
    bpb = level + luck + dice.gauss(0, math.sqrt(1 - noise.PAIRING_PRIOR) * sigma)
    share = {"finished": 1.0, "stopped": 0.4}.get(outcome, 0.05)
    speed = dice.gauss(1, 0.01)
    request = Request(
        number=number, experiment=experiment, attempt=1, kind=kind, commit="", parent="", seed=seed,
        message=message, created=world.clock, lines_added=lines[0], lines_removed=lines[1],
        drawn=None if seed == own else world.drawn[seed],
    )  # fmt: skip
    done = Record(
        outcome=outcome,
        reason={"crashed": CRASH, "stopped": "by its curve it would end behind the incumbent"}.get(outcome, ""),
        val_bpb=bpb if outcome == "finished" else None,
        causal=True,
        seconds=seconds * share,
        total_seconds=seconds * share * 1.1 + 4,
        share=share,
        budget_overrun=0.001,
        tokens=int(tokens * share * speed),
        steps=int(146 * share),
        peak_memory_mb=memory,
        mfu_percent=38.0 if device == "cuda" else 0.0,
        num_params=parameters,
        depth=2,
        seed=seed,
        restarts=0,
        sandbox=world.pinned.sandbox,
        machine={"host": "made-up", "system": "Linux x86_64", "cpus": 2, "device": device},
        hopeless=0.4 if outcome == "stopped" or number % 97 == 96 else None,
    )
    world.clock += done.total_seconds
    world.count += 1
    world.runs.append((mark, request, done, None, bpb))
    return number, Score(seed, bpb)


def decide(
    world: World, found: verdict.Verdict, numbers: Sequence[int], scores: Sequence[Score], tried: str, note: str
) -> None:
    """The decision, beside the experiment's last run."""
    mark, request, done, _, bpb = world.runs[-1]
    values = [score.val_bpb for score in scores] if done.outcome == "finished" else []
    crashed = found.status == "crash"
    memory = max(world.runs[number][2].peak_memory_mb for number in numbers)
    stopped = f" [stopped at {100 * done.share:.0f} %]" if done.outcome == "stopped" else ""
    world.runs[-1] = mark, request, done, Decision(
        status=found.status,
        val_bpb=sum(values) / len(values) if values and not crashed else None,
        memory_gb=0.0 if crashed else round(memory / 1024, 3),
        description=tried + stopped,
        note=note,
        reasons=list(found.reasons),
        framework=list(found.framework.lines),
        composite=found.framework.composite,
        band=found.framework.band,
        runs=list(numbers),
        logged_at=world.clock,
        landed=None,
        reverted_at=world.clock + 2 if found.status != "keep" else None,
        provisional=found.provisional,
        undone=len(numbers) > 1 and found.status != "keep" and world.runs[numbers[-2]][3] is not None,
        gain=found.belief.mean if found.belief else None,
        gain_sd=found.belief.sd if found.belief else None,
        error=found.error,
    ), bpb  # fmt: skip


# ---------------------------------------------------------------------------------------------------
# Files


def write(git: Git, root: Path, world: World, profile: str, points: int) -> None:
    """Commits, refs, branch, working tree, and a folder for each run."""
    commits = commit(git, world)
    git.run("switch", "--quiet", f"{PREFIX}{TAG}")
    campaign.pin(root, world.pinned)
    bench = snapshot.files(git, world.pinned.bench, world.pinned.bench)
    fixed = snapshot.digests(bench)
    texts = {0: bench[TRAIN], **{c.mark: c.text.encode() for c in world.candidates}}
    parents = {candidate.number: candidate.parent for candidate in world.candidates}
    pin = campaign.digest(world.pinned)
    folder = campaign.folder(root, TAG)
    for mark, request, done, decision, bpb in world.runs:
        digests = {**fixed, **snapshot.digests({TRAIN: texts[mark]})}
        before = commits[parents.get(request.experiment, 0)]
        request = replace(request, commit=commits[mark], parent=before, sha256=digests, pin_sha256=pin)
        path = folder / f"{request.number:04d}-{request.commit[:7]}"
        (path / "work").mkdir(parents=True)
        plain(path / "run.json", request)
        plain(path / "record.json", replace(done, sha256=digests))
        if decision is not None:
            landed = request.commit if decision.status == "keep" else before if decision.undone else None
            plain(path / "decision.json", replace(decision, landed=landed))
        if done.val_bpb is not None:
            (path / "score.json").write_text(json.dumps({"val_bpb": done.val_bpb, "causal": True}))
        (path / TRAIN).write_bytes(texts[mark])
        (path / "run.log").write_text(f"made up\n{done.reason}\n")
        curve(path / "curve.jsonl", done, bpb, points, random.Random(request.number))
    client(folder, world)


def plain(path: Path, value: Request | Record | Decision) -> None:
    """As record.write, without its fsync, which takes most of the time of ten thousand runs."""
    path.write_text(json.dumps(asdict(value)))


def commit(git: Git, world: World) -> dict[int, str]:
    """Every candidate's commit, in one go; by mark, 0 being the base. The branch is at the incumbent."""
    base = world.pinned.base
    stream = bytearray()
    for one in world.candidates:
        text, message = one.text.encode(), f"{one.message}\n".encode()
        stream += f"commit refs/autoresearch/{TAG}/{one.number:04d}\nmark :{one.mark}\n".encode()
        # Another time for each: the same edit tried twice is two commits, as on the bench.
        who = f"{TAG} <{TAG}@localhost> {int(BEGAN) + one.number} +0000"
        stream += f"committer {who}\ndata {len(message)}\n".encode() + message
        stream += f"from {f':{one.parent}' if one.parent else base}\n".encode()
        stream += f"M 100644 inline {TRAIN}\ndata {len(text)}\n".encode() + text + b"\n"
    tip = f":{world.mark}" if world.mark else base
    stream += f"reset refs/heads/{PREFIX}{TAG}\nfrom {tip}\n".encode()
    marks = git.root / ".git" / "made-up.marks"
    git.run("fast-import", "--quiet", "--force", f"--export-marks={marks}", data=bytes(stream))
    found = {0: base}
    for line in marks.read_text().splitlines():
        mark, commit = line.split()
        found[int(mark[1:])] = commit
    marks.unlink()
    return found


def curve(path: Path, done: Record, bpb: float, points: int, dice: random.Random) -> None:
    """A training loss that falls as they do, to where the score says."""
    lines = []
    end = bpb * 2.8
    for at in range(max(round(points * done.share), 1)):
        share = (at + 1) / points
        loss = end + 5.5 * math.exp(-9 * share) + 1.2 * (1 - share) + dice.gauss(0, 0.05)
        point: Mapping[str, float] = {
            "lr": min(1.0, share * 20), "step": at, "progress": share, "loss": round(loss, 5),
            "seconds": round(done.seconds / done.share * share, 3),
            "tokens": int(done.tokens / done.share * share),
        }  # fmt: skip
        lines.append(json.dumps(point) + "\n")
    path.write_text("".join(lines))


def client(folder: Path, world: World) -> None:
    """What the client told of the model: some steps for each experiment."""
    lines = []
    for _, _, _, decision, _ in world.runs:
        for _ in range(4 if decision else 0):
            counts = {"input": 900, "output": 350, "reasoning": 200, "cache_read": world.dice.randint(8000, 20000)}
            at = decision.logged_at if decision else 0.0
            lines.append(json.dumps({"at": at, "session": "made-up", "tokens": counts, "cost": 0.02}) + "\n")
    (folder / "client.jsonl").write_text("".join(lines))


def verify(root: Path, pairs: int = 5) -> None:
    """Leave a use of tools/verify.py, as if the person had looked: most of the claim comes back."""
    runs = campaign.runs(root, TAG)
    grouped = experiments.group(runs)
    best, first = experiments.incumbent(grouped, runs), grouped[0].decision
    if best is None or first is None or first.val_bpb is None:
        raise Refused(f"campaign {TAG} has no incumbent")
    claimed, dice = first.val_bpb - best.mean, random.Random(1)
    made = []
    for seed in headline.seeds(TAG, 1, pairs, ()):
        gain = 0.8 * claimed + dice.gauss(0, 0.002)
        before = headline.Scores(first.val_bpb, first.val_bpb + 0.05)
        after = headline.Scores(before.val_bpb - gain, before.heldout_bpb - 0.9 * gain)
        made.append(headline.Pair(seed, before, after))
    end = runs[-1].request.created + 600
    use = headline.Use(
        1, end, end + 600, pairs, 1, "100cpu", grouped[0].commit, best.commit, claimed, first.val_bpb, tuple(made)
    )
    headline.write(root, TAG, [use])


def running(root: Path, share: float = 0.4) -> Run:
    """Leave one more run, in progress at `share`; nobody holds its lock, which is for the caller to do."""
    last = campaign.runs(root, TAG)[-1]
    number = last.request.number + 1
    request = replace(
        last.request, number=number, experiment=number, kind="candidate", attempt=1, seed=seed_of(TAG, number),
        message="exp: one that is in progress", created=time.time(), drawn=None,
    )  # fmt: skip
    path = campaign.folder(root, TAG) / f"{number:04d}-{request.commit[:7]}"
    path.mkdir()
    (path / "run.lock").touch()
    record.write(path, request)
    assert last.record is not None
    done = replace(last.record, share=share, tokens=int(150_000 * share), seconds=110 * share)
    curve(path / "curve.jsonl", done, 2.0, 60, random.Random(number))
    found = record.read(path)
    assert found is not None
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the clone is made")
    parser.add_argument("--experiments", type=int, default=100, metavar="N", help="decided ones (default: 100)")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="small")
    parser.add_argument("--seed", type=int, default=0, help="of ideas and noise (default: 0)")
    parser.add_argument("--verified", action="store_true", help="as after tools/verify.py")
    given = parser.parse_args()
    try:
        if given.folder.exists() and any(given.folder.iterdir()):
            raise Refused(f"{given.folder} is not empty: name another folder")
        subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(given.folder)], check=True)
        make(given.folder, given.experiments, given.seed, given.profile)
        if given.verified:
            verify(given.folder)
    except Refused as refusal:
        print(f"made_up: {refusal}", file=sys.stderr)
        return 2
    print(f"{given.experiments} experiments in {given.folder}/runs/{TAG}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
