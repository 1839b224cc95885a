"""Everything that the page and the picture show, as one value; whatever a run has a say in is one clean line."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import Refused, headline, integrity, memory, show, steering, stint
from .. import themes as all_themes
from ..branch import Git
from ..experiment import Experiment
from ..headline import Use
from ..record import Decision, Run
from ..text import printable
from . import curves, diffs, health, layers
from .book import Book
from .curves import Curve
from .health import Measure
from .layers import Layer

TEXT_MOST = 600  # characters of what somebody wrote
WITHIN = 1.2816  # standard deviations that hold 80 % of a normal distribution
KEEP, DISCARD, CRASH, OPEN = "keep", "discard", "crash", "open"


@dataclass(frozen=True)
class RunOf:
    """One run of an experiment. `side`: candidate or incumbent; `machine`: place in Facts.machines; `disturbed`:
    why it does not count."""

    number: int
    side: str
    kind: str
    seed: int
    outcome: str
    reason: str
    val_bpb: float | None
    share: float
    seconds: float
    tokens: int
    steps: int
    memory_mb: float
    mfu_percent: float
    machine: int | None
    disturbed: str


@dataclass(frozen=True)
class Trial:
    """One experiment. `state`: keep, discard, crash or open; `val_bpb`: mean of its runs; `stopped`: share of the
    budget at which its curve ended it; `gain`: as believed when it was decided, bpb; `theme`: what it is most
    about, see harness.themes; `marks`: the framework's lines."""

    number: int
    commit: str
    state: str
    baseline: bool
    at: float  # unix time
    val_bpb: float | None
    stopped: float | None
    description: str
    note: str
    reasons: tuple[str, ...]
    marks: tuple[str, ...]
    composite: int | None
    band: str
    provisional: bool
    undone: bool
    gain: float | None
    gain_sd: float | None
    error: float | None
    added: int
    removed: int
    memory_gb: float
    theme: str
    diff: str
    runs: tuple[RunOf, ...]


@dataclass(frozen=True)
class Step:
    """The incumbent from experiment `number` on: its score when it was kept (bpb)."""

    number: int
    val_bpb: float


@dataclass(frozen=True)
class Level:
    """What the incumbent was believed to score after experiment `number`, luck taken off: mean and standard
    deviation, bpb."""

    number: int
    mean: float
    sd: float


@dataclass(frozen=True)
class Theme:
    """Experiments about one thing. `best`: the largest gain believed of any (bpb); `dead`: numbers of those that
    came to nothing."""

    name: str
    tried: int
    kept: int
    best: float | None
    dead: tuple[int, ...]


@dataclass(frozen=True)
class Best:
    """The incumbent. `believed`, `believed_sd`: the campaign's gain without luck (bpb)."""

    number: int
    commit: str
    mean: float
    runs: int
    baseline: float
    believed: float | None
    believed_sd: float | None


@dataclass(frozen=True)
class Noise:
    """Of one run's val_bpb (bpb); with 80 % between `low` and `high`; `runs` behind it."""

    sigma: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Racing:
    """Runs that their curve ended, runs that were finished to check on that, and those of them that it would have
    ended wrongly."""

    stopped: int
    controls: int
    false_kills: int


@dataclass(frozen=True)
class Spend:
    """Of the campaign so far: seconds of runs and between them, and what the client counted of the model."""

    busy_seconds: float
    idle_seconds: float
    tokens: int
    dollars: float
    steps: int


@dataclass(frozen=True)
class Facts:
    """A campaign, ready to be shown. `verified`: what tools/verify.py found, in words, and only where this is for
    a person alone; `more_curves`: runs whose curves a page has no room for."""

    tag: str
    made: float  # unix time
    begun: float | None
    budget: str
    profile: str
    device: str
    bench: str
    goal: str
    verified: tuple[str, ...]
    counts: dict[str, int]
    best: Best | None
    noise: Noise | None
    racing: Racing
    spend: Spend
    health: tuple[Measure, ...]
    layers: tuple[Layer, ...]
    machines: tuple[dict[str, str], ...]
    damaged: tuple[str, ...]
    themes: tuple[Theme, ...]
    span: tuple[float, float]  # bpb
    steps: tuple[Step, ...]
    levels: tuple[Level, ...]
    trials: tuple[Trial, ...]
    curves: tuple[Curve, ...]
    more_curves: int


def gather(
    book: Book,
    git: Git,
    private: bool,
    known: Mapping[int, Curve] | None = None,
    seen: Mapping[str, str] | None = None,
) -> Facts:
    """The facts of `book`, its diffs and curves looked up; not again, where curves are `known` (by run) or diffs
    were `seen` (by commit). `private`: this is for the person alone, so it holds what was found on held-out
    text."""
    pairs = [(one.commit, one.candidate.request.parent) for one in book.experiments if not one.is_baseline]
    seen = seen or {}
    changed = {**seen, **diffs.read(git, (pair for pair in pairs if pair[0] not in seen))}
    kept = {one.commit for one in book.experiments if one.decision and one.decision.status == KEEP}
    wanted = curves.chosen(book.runs, kept)
    drawn = [(known or {}).get(run.request.number) or curves.thinned(run) for run in wanted]
    use = headline.read(book.root, book.tag) if private else None
    agree: dict[str, str] = {}
    if book.campaign is not None and book.incumbent is not None:
        try:
            agree = integrity.disagreeing(git, book.campaign, book.incumbent.runs)
        except Refused as refusal:
            agree = {f"{book.incumbent.runs[0].name}": str(refusal)}
    about = {number: names[0] for number, names in memory.themes_of(book.root, book.folder, git).items()}
    return of(book, changed, about, [one for one in drawn if one], len(book.runs) - len(wanted), use, agree)


def of(
    book: Book,
    changed: Mapping[str, str],
    about: Mapping[int, str],
    drawn: Sequence[Curve],
    more_curves: int = 0,
    use: Use | None = None,
    disagreeing: dict[str, str] | None = None,
) -> Facts:
    """The facts of `book`. `changed`: its diffs, by commit; `about`: the themes of its experiments, by number."""
    machines: list[dict[str, str]] = []
    trials = tuple(
        _trial(book, one, changed.get(one.commit, ""), _theme(one, about), machines) for one in book.experiments
    )
    pinned, best, learned = book.campaign, book.incumbent, book.learned
    steps = tuple(Step(one.number, one.val_bpb) for one in trials if one.state == KEEP and one.val_bpb is not None)
    known = learned.known if learned else None
    noise = learned.noise if learned else None
    believed = tuple(
        Level(number, level.mean, level.sd)
        for number, level in (learned.levels.items() if learned else ())
        if math.isfinite(level.mean) and math.isfinite(level.sd)
    )
    used = stint.usage(book.folder / stint.CLIENT)
    spent = health.time_of(book.runs)
    own = [one.state for one in trials if not one.baseline]
    return Facts(
        tag=book.tag,
        made=time.time(),
        begun=pinned.created if pinned else None,
        budget=pinned.budget if pinned else "",
        profile=pinned.profile if pinned else "",
        device=pinned.device if pinned else "",
        bench=pinned.bench[:7] if pinned else "",
        goal=clean(steering.goal(steering.read(book.root)) or ""),
        verified=tuple(headline.page(use, best.commit if best else None)[:-1]),
        counts={state: own.count(state) for state in (KEEP, DISCARD, CRASH, OPEN)},
        best=Best(
            number=best.experiment.number,
            commit=best.commit[:7],
            mean=best.mean,
            runs=len(best.scores),
            baseline=steps[0].val_bpb,
            believed=known.gain.mean if known and len(steps) > 1 else None,
            believed_sd=known.gain.sd if known and len(steps) > 1 else None,
        )
        if best and steps
        else None,
        noise=Noise(noise.sigma, noise.low, noise.high, noise.runs) if noise else None,
        racing=Racing(learned.raced, learned.controls, learned.false_kills) if learned else Racing(0, 0, 0),
        spend=Spend(spent.busy, spent.idle, used.tokens, used.dollars, used.steps),
        health=tuple(health.measures(book)),
        layers=tuple(layers.of(best, disagreeing or {}, use)) if best else (),
        machines=tuple(machines),
        damaged=book.damaged,
        themes=themes(trials),
        span=span(trials, steps, believed, noise.sigma if noise else 0.0),
        steps=steps,
        levels=believed,
        trials=trials,
        curves=tuple(drawn),
        more_curves=more_curves,
    )


def span(
    trials: Sequence[Trial], steps: Sequence[Step], levels: Sequence[Level], sigma: float
) -> tuple[float, float]:
    """The bpb that a picture shows: from below the best to above the baseline, or what most experiments need.
    What lies above is marked at the upper edge."""
    kept = [step.val_bpb for step in steps]
    scores = sorted(one.val_bpb for one in trials if one.val_bpb is not None)
    if not scores:
        return 0.0, 1.0
    bottom = min([*kept, *(level.mean - WITHIN * level.sd for level in levels[-1:]), scores[0]])
    # Three quarters of all, but no more above the baseline than twice what was gained.
    most = scores[min(len(scores) * 3 // 4, len(scores) - 1)]
    top = max([*kept, min(most, bottom + 3 * (max(kept, default=most) - bottom))])
    room = max(top - bottom, 8 * sigma, 1e-4 * max(abs(top), 1.0))
    spare = (room - (top - bottom)) / 2  # where all is closer together than the noise
    return bottom - spare - 0.12 * room, bottom - spare + 1.22 * room


def themes(trials: Sequence[Trial]) -> tuple[Theme, ...]:
    """What the experiments were about, what was tried most first; the baseline is about nothing."""
    groups: dict[str, list[Trial]] = {}
    for one in trials:
        if not one.baseline and one.state != OPEN:
            groups.setdefault(one.theme, []).append(one)
    found = [
        Theme(
            name,
            len(own),
            sum(one.state == KEEP for one in own),
            max((one.gain for one in own if one.gain is not None), default=None),
            tuple(one.number for one in own if one.state != KEEP),
        )
        for name, own in groups.items()
    ]
    return tuple(sorted(found, key=lambda theme: (-theme.tried, theme.name)))


def clean(text: object, most: int = TEXT_MOST) -> str:
    """What somebody or something wrote, as one line that is fit to show."""
    line = show.one_line(str(text)[: 20 * most])
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _trial(book: Book, one: Experiment, diff: str, theme: str, machines: list[dict[str, str]]) -> Trial:
    decision, request = one.decision, one.candidate.request
    newest = one.own[-1].record
    stopped = newest.share if newest and newest.outcome == "stopped" else None
    end = one.last.request.created + (one.last.record.total_seconds if one.last.record else 0.0)
    told = _told(one, decision)
    return Trial(
        number=one.number,
        commit=one.commit,
        state=decision.status if decision and decision.status in (KEEP, DISCARD, CRASH) else OPEN,
        baseline=one.is_baseline,
        at=decision.logged_at if decision else end,
        val_bpb=decision.val_bpb if decision else None,
        stopped=stopped,
        description=told,
        note=clean(decision.note) if decision else "",
        reasons=tuple(clean(reason) for reason in decision.reasons) if decision else (),
        marks=tuple(printable(str(line))[:TEXT_MOST] for line in decision.framework) if decision else (),
        composite=decision.composite if decision else None,
        band=clean(decision.band, 40) if decision else "",
        provisional=decision.provisional if decision else False,
        undone=decision.undone if decision else False,
        gain=_finite(decision.gain) if decision else None,
        gain_sd=_finite(decision.gain_sd) if decision else None,
        error=_finite(decision.error) if decision else None,
        added=request.lines_added,
        removed=request.lines_removed,
        memory_gb=decision.memory_gb if decision else 0.0,
        theme=theme,
        diff=diff,
        runs=tuple(_run(book, one, run, machines) for run in one.runs),
    )


def _theme(one: Experiment, about: Mapping[int, str]) -> str:
    """Nothing before it is decided, and for the baseline."""
    return about.get(one.number, all_themes.OTHER) if one.decision and not one.is_baseline else ""


def _told(one: Experiment, decision: Decision | None) -> str:
    return clean(decision.description if decision else one.candidate.request.message.removeprefix("exp: "))


def _run(book: Book, one: Experiment, run: Run, machines: list[dict[str, str]]) -> RunOf:
    measured, request = run.record, run.request
    machine = None
    if measured is not None and measured.machine:
        shown = {clean(key, 40): clean(value, 80) for key, value in sorted(measured.machine.items())}
        with contextlib.suppress(ValueError):
            machine = machines.index(shown)
        if machine is None:
            machine = len(machines)
            machines.append(shown)
    return RunOf(
        number=request.number,
        side="candidate" if request.commit == one.commit or request.kind != "confirm" else "incumbent",
        kind=clean(request.kind, 20),
        seed=request.seed,
        outcome=clean(measured.outcome, 20) if measured else "in progress" if run.alive else "lost",
        reason=clean(measured.reason) if measured else "",
        val_bpb=measured.val_bpb if measured else None,
        share=measured.share if measured else 0.0,
        seconds=measured.seconds if measured else 0.0,
        tokens=measured.tokens if measured else 0,
        steps=measured.steps if measured else 0,
        memory_mb=measured.peak_memory_mb if measured else 0.0,
        mfu_percent=measured.mfu_percent if measured else 0.0,
        machine=machine,
        disturbed=printable(book.disturbed.get(request.number, "")),
    )


def _finite(value: float | None) -> float | None:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None
