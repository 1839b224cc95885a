"""Stamps: the moments of a run, printed by its own processes into the logs that they write anyway.

They are put into the fixed files of a throw-away clone and committed, so that the harness runs them as it runs any
others. train.py stays as it is: its functions are wrapped from prepare.start_run, when it is loaded whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

GUARD = 'if __name__ == "__main__":'  # the stamps stand above it
LINE = re.compile(r"^stamp (\S+) (begin|end) (\d+\.\d+)$", re.MULTILINE)

COMMON = '''
def _stamp(name, what, born=None):
    import sys, time
    print(f"stamp {name} {what} {born or time.time():.4f}", file=sys.stderr, flush=True)


def _stamped(name, function, _done=set()):
    """The first call of `function` is stamped."""
    def wrapper(*given, **named):
        if name in _done:
            return function(*given, **named)
        _done.add(name)
        _stamp(name, "begin")
        try:
            return function(*given, **named)
        finally:
            _stamp(name, "end")
    return wrapper


def _stamp_life(name):
    """From the start of this process until now, which is when its imports are over."""
    import os, time
    from pathlib import Path
    if hasattr(time, "CLOCK_BOOTTIME"):  # psutil's time of birth may be off by a second
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        born = time.time() - age
    else:
        import psutil
        born = psutil.Process().create_time()
    _stamp(name, "begin", born)
    _stamp(name, "end")


'''
BLOCKS = {
    "prepare.py": COMMON
    + '''def _start_run(original=start_run):
    import __main__
    _stamp("imports", "end")
    for name in ("build_model", "build_optimizer", "warm_up"):
        if hasattr(__main__, name):
            setattr(__main__, name, _stamped(name, getattr(__main__, name)))
    return _stamped("start_run", original)()


start_run = _start_run
Run.finish = _stamped("finish", Run.finish)
TrainerRing.__init__ = _stamped("first_rows", TrainerRing.__init__)
Clock.serve, Clock.stop = _stamped("clock_start", Clock.serve), _stamped("clock_stop", Clock.stop)
if sys.argv[0].endswith("train.py"):
    _stamp_life("trainer")
elif "--feed" in sys.argv:
    _stamp_life("feeder")

''',
    "evaluate.py": COMMON
    + '''_begin, _losses_of = ModelHost.begin, losses_of
ModelHost.begin = lambda self: _stamped(f"model-{self.log.stem}", _begin)(self)
losses_of = lambda host, *rows: _stamped(f"scoring-{host.log.stem}", _losses_of)(host, *rows)
evaluate = _stamped("evaluate", evaluate)
_stamp_life("host" if "--host" in sys.argv else "scorer")

''',
}  # fmt: skip


@dataclass(frozen=True)
class Stamp:
    """A moment of one of a run's processes."""

    name: str  # "imports begin"
    time: float  # unix


def put_into(text: str, name: str) -> str:
    """The fixed file `name` with its stamps. Raises ValueError where it does not end as it should."""
    head, guard, tail = text.rpartition(GUARD)
    if not guard:
        raise ValueError(f"{name} has no line `{GUARD}`: the stamps stand above it")
    return head + BLOCKS[name].lstrip("\n") + guard + tail


def found_in(logs: Iterable[Path]) -> list[Stamp]:
    """All stamps in the logs that are there, by time."""
    stamps = []
    for log in logs:
        if log.exists():
            for name, what, when in LINE.findall(log.read_text(errors="replace")):
                stamps.append(Stamp(f"{name} {what}", float(when)))
    return sorted(stamps, key=lambda stamp: stamp.time)
