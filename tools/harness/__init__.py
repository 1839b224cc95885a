"""What the commands in tools/ stand on, one idea a module, the standard library alone.

An experiment passes through them in this order: `submit` (is it the moment?), `guard` (may it run?), `snapshot`
(the files it runs as), `runner` (train, evaluate; `processes` that never outlive it), `record` (what a run left),
`verdict` (keep or not, by the `noise` and the `framework`), `conclude` (decided), `branch` (the incumbent moves,
or not), `ledger` (results.tsv).

`campaign` is what stays the same meanwhile, `experiment` the runs that belong to one idea, `state` says what may
come next, and `situation` looks all of it up for a command, once `reconcile` has completed what a kill left
undone. No module imports torch or knows about a command; none but `branch` and `snapshot` knows how git stores
things; none but `ledger` writes results.tsv.
"""

from __future__ import annotations


class Refused(Exception):
    """A command that must not go on: bad use, or a rule broken. One line: what is wrong, where, what to do.

    `next` is the command line that is right instead, where there is just one.
    """

    def __init__(self, message: str, next: str | None = None) -> None:
        super().__init__(message)
        self.next = next
