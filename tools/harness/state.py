"""Where an experiment stands, and the one command that is right next: a pure function from facts.

    clean → edited → running → finished → (confirm → running → finished)* → logged → clean

A keep may be `provisional`: then it is run once more before anything else, and what comes of that is logged as
well.

`new` comes before all: no baseline was ever started. `interrupted` is a run whose runner died; waiting for it
starts it again from its last finished stage.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN = "scripts/run_experiment.sh"
BASELINE = f"{RUN} --baseline"
EXPERIMENT = f'{RUN} -m "exp: what you try"'
WAIT = f"{RUN} --wait"
CONFIRM = f"{RUN} --confirm"
LOG = 'tools/log_result.py -d "what you tried"'
FIX = f'fix train.py and {RUN} --fix -m "fix: what", or {LOG}'
REVERT = "tools/revert.py"
SWEEP = "tools/sweep.py --wait"
EDIT = f"edit train.py, then {EXPERIMENT}"
END = "end your turn"  # and why, after a colon: research is over


@dataclass(frozen=True)
class Facts:
    """All that the state follows from.

    `run` is of the newest experiment: "" where there is none, alive, dead (no record, and nobody works on it)
    or ended. `verdict` is of one that ended and is not decided yet, `decided` the status of one that is. `stop`
    says why no further experiment is to begin; what is in hand is finished first, whatever it says. `sweep`: one
    is in progress, and what is in hand is its own.
    """

    campaign: bool = False
    incumbent: bool = False
    edited: bool = False  # train.py in the working tree is not the incumbent's
    run: str = ""
    verdict: str = ""
    decided: str = ""
    provisional: bool = False
    retest: bool = False  # what ran, or runs, is the re-test of a provisional keep
    reverted: bool = False
    stop: str = ""
    sweep: bool = False


@dataclass(frozen=True)
class State:
    """`name`: new, clean, edited, running, interrupted, finished, provisional or logged; `next`: the command
    line to use."""

    name: str
    next: str


def derive(facts: Facts) -> State:
    """The state that `facts` make."""
    found = _derive(facts)
    if facts.stop and found.name in ("new", "clean", "edited", "provisional"):
        return State(found.name, f"{END}: {facts.stop}")
    return State(found.name, SWEEP) if facts.sweep else found


def _derive(facts: Facts) -> State:
    if not facts.campaign:
        return State("new", REVERT if facts.edited else BASELINE)
    if facts.run == "alive":
        return State("running", WAIT)
    if facts.run == "dead":
        return State("interrupted", WAIT)
    if facts.run == "ended" and not facts.decided:
        crash = LOG if facts.retest else FIX  # what is on the branch already is not mended: it is undone
        return State("finished", {"confirm": CONFIRM, "crash": crash}.get(facts.verdict, LOG))
    if facts.provisional:
        return State("provisional", CONFIRM)
    # What was discarded stands in the working tree until revert; undone by other means, it is gone as well.
    if facts.decided in ("discard", "crash") and not facts.reverted and facts.edited:
        return State("logged", REVERT)
    if facts.edited:
        return State("edited", EXPERIMENT if facts.incumbent else REVERT)
    return State("clean", EDIT if facts.incumbent else BASELINE)
