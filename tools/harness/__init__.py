"""What the commands in tools/ stand on, one idea a module, the standard library alone.

An experiment passes through them in this order: `guard` (may it run?), `snapshot` (the files it runs as),
`runner` (train, evaluate, write the record), `record` (what a run left), `verdict` (keep or not), `ledger`
(results.tsv), `branch` (the incumbent moves, or not). `campaign` holds them together and `state` says what may
come next. None of them imports torch, and none knows about a command.
"""

from __future__ import annotations


class Refused(Exception):
    """A command that must not go on: bad use, or a rule broken. One line: what is wrong, where, what to do.

    `next` is the command line that is right instead, where there is just one.
    """

    def __init__(self, message: str, next: str | None = None) -> None:
        super().__init__(message)
        self.next = next
