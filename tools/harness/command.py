"""The shell of every command in tools/: arguments in, one line on stderr for an error, a stable exit code out."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import Refused

DONE, FAILED, REFUSED, RUNNING = 0, 1, 2, 75
EXIT_CODES = "exit codes: 0 done, 1 the experiment failed, 2 refused (bad use or a rule broken), 75 still running"

ROOT = Path(__file__).resolve().parents[2]

_FULL = "make room there, and do it again"
_FORBIDDEN = "see to it that it may be written there, and do it again"
_ANY_REMEDY = "make room, or check who may write there"
_REMEDY = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EFBIG: _FULL}
_REMEDY |= {errno.EROFS: _FORBIDDEN, errno.EACCES: _FORBIDDEN, errno.EPERM: _FORBIDDEN}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are one line, and whose --help keeps the examples as written."""

    def __init__(self, name: str, description: str, examples: str, exit_codes: str = EXIT_CODES) -> None:
        super().__init__(
            prog=name,
            description=description,
            epilog=f"examples:\n{examples.rstrip()}\n\n{exit_codes}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_wait(self, alone: str) -> None:
        """`--wait [S]`, see attend.patience; -1 without a number, when it means what `alone` says."""
        told = f"wait S seconds (AUTORESEARCH_WAIT, else 100); alone: {alone}"
        self.add_argument("--wait", nargs="?", const=-1.0, type=float, metavar="S", help=told)

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"{Path(self.prog).stem}: {message}; see {self.prog} --help\n")


def main(name: str, body: Callable[[], int], argv: Sequence[str]) -> NoReturn:
    """Run `body` and leave with its exit code; a refusal is one line, and nothing is ever a traceback."""
    # A command makes many objects that it keeps, and no garbage: looking for it again and again took a fifth of
    # the time of a long campaign's status.
    gc.set_threshold(100_000, 50, 100)
    try:
        code = body()
        sys.stdout.flush()
    except Refused as refusal:
        code = REFUSED
        print(f"{name}: {refusal}", file=sys.stderr)
        if "--json" in argv:
            print(json.dumps({"error": str(refusal), "next": refusal.next}))
        elif refusal.next:
            print(f"next: {refusal.next}")
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader went away (`| head`): nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except OSError as error:
        code = REFUSED
        place = f" ({error.filename})" if error.filename else ""
        told = f"{error.strerror or error}{place}: {_REMEDY.get(error.errno or 0, _ANY_REMEDY)}"
        print(f"{name}: {told}", file=sys.stderr)
        if "--json" in argv:
            with contextlib.suppress(OSError):
                print(json.dumps({"error": told, "next": None}))
    except Exception as error:
        code = REFUSED
        print(f"{name}: {type(error).__name__}: {error}; details in {_write_details()}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # what is left of it would fail again at the very end, with a word of Python's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def show_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _write_details() -> str:
    """Keep the traceback in a file for whoever mends the tools; returns where."""
    import traceback

    try:
        path = ROOT / "runs" / "errors.log"
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as log:
            log.write(f"{' '.join(sys.argv)}\n{traceback.format_exc()}\n")
        return str(path)
    except OSError:
        return "no file (the disk cannot be written)"
