"""What the commands in tools/ stand on, one idea a module; but to search and to draw, the standard library alone.

An experiment passes through them in this order: `submit` (is it the moment?), `guard` (may it run?), `source`
(what its text may not contain, told by `names` and `seeds`), `snapshot` (the files it runs as), `runner` (train,
evaluate; in a `box`, with the `environment` of the campaign and its `compiled` code, within its `quota`, without
some `syscalls`; `processes` that never outlive it), `record` (what a run left), `integrity` (does all agree with
it?), `verdict` (keep or not, by the `noise` and the `framework`), `conclude` (decided), `branch` (the incumbent
moves, or not), `ledger` (results.tsv). `replica` does a run again, for an audit, or
for the `headline`: what a campaign gained on fresh seeds and held-out text, which only a person looks at.

`campaign` is what stays the same meanwhile, `experiment` the runs that belong to one idea, `state` says what may
come next, and `situation` looks all of it up for a command, once `reconcile` has completed what a kill left
undone. `limits` says when research ends by itself, `stint` what counts towards that, `stopping` why it is to end,
`steering` what the person changed, `disk` whether there is room for a run, `summary` what came of it all. For
thinking about it: `phases` (done or failed), `whys` (crashes in a row), `pareto` (the frontier), `review` (what
held and what did not); `board` draws them at a terminal, and `watch` keeps them up to date.

A `sweep` is a plan: `constants` of train.py and their values. `sweep_step` takes the steps of the one-experiment
commands for it, `sweep_search` asks Optuna for values, `sweep_result` and `sweep_plot` show what came of it.

What was tried before is in `memory`, by words and by what an edit does (`similar`, `themes`); `novelty` asks it
before a run, `recollection` tells it, `direction` says where to turn when nothing is kept, `lessons` keeps what
the agent learned.

Around them goes research: `plan` (which campaign), `driver` (one at a time), `model` (does it answer?), `client`
(opencode, launched and ended), `turn` (followed), `continuation` (what comes after it), `wrapup` (what is in hand
brought to rest), `research` (all that, until it is to end), `show` (a line for each event).

No module imports torch or knows about a command; none but `branch` and `snapshot` knows how git stores things;
none but `ledger` writes results.tsv.
"""

from __future__ import annotations

import os
import sys

# On a full disk Python leaves half a .pyc behind, and from then on fails to import it, also when there is room.
try:
    _free = os.statvfs(__file__)
    if _free.f_bavail * _free.f_frsize < 32 * 2**20:
        sys.dont_write_bytecode = True
except OSError:
    pass


class Refused(Exception):
    """A command that must not go on: bad use, or a rule broken. One line: what is wrong, where, what to do.

    `next` is the command line that is right instead, where there is just one.
    """

    def __init__(self, message: str, next: str | None = None) -> None:
        super().__init__(message)
        self.next = next
