"""What no process of a run may call, tried in one."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import struct
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness import processes, syscalls

import feeder
from tests.exploits.lab import needs_box

HERE = platform.machine()
filtered = pytest.mark.skipif(
    sys.platform != "linux" or HERE not in syscalls.NUMBERS, reason=f"no filter for {HERE}"
)


@pytest.mark.parametrize("machine", syscalls.NUMBERS)
def test_the_program_by_interpretation(machine: str) -> None:
    """Each denied number is denied, its neighbours are not, another architecture is denied all. A new action for
    SIGCHLD, wherever it is in memory, is answered with errno 0: done, though it is not."""
    architecture, denied = syscalls.NUMBERS[machine]
    code = [
        struct.unpack("HBBI", syscalls.program(machine)[i : i + 8])
        for i in range(0, len(syscalls.program(machine)), 8)
    ]

    def verdict(number: int, architecture: int, *arguments: int) -> int:
        data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
        at, held = 0, 0
        while True:
            operation, yes, no, k = code[at]
            at += 1
            if operation == 0x20:
                held = struct.unpack_from("<I", data, k)[0]
            elif operation in (0x15, 0x35):
                at += yes if (held == k if operation == 0x15 else held >= k) else no
            else:
                return int(k)

    allowed = 0x7FFF0000
    assert len(denied) == len(syscalls.NAMES)
    for number in range(600):
        assert (verdict(number, architecture) == allowed) == (number not in denied), number
    assert verdict(0, architecture + 1) != allowed
    assert verdict(0x40000000, architecture) != allowed
    sigaction, sigchld, pretended = syscalls.SIGACTION[machine], 17, 0x00050000
    for action in (1, 0x7FFC_0000_0000, 0x7FFC_1234_5678):
        assert verdict(sigaction, architecture, sigchld, action) == pretended
        assert verdict(sigaction, architecture, sigchld | 1 << 32, action) == pretended, "an int to the kernel"
        assert verdict(sigaction, architecture, 15, action) == allowed
        assert verdict(sigaction + 1, architecture, sigchld, action) == allowed
    assert verdict(sigaction, architecture, sigchld, 0, 0x7FFC_1234_5678) == allowed, "it only asks"


def test_another_machine_has_no_program() -> None:
    assert syscalls.program("riscv64") == b""


@filtered
def test_a_run_s_process_has_no_keyring(tmp_path: Path) -> None:
    number = syscalls.NUMBERS[HERE][1][syscalls.NAMES.index("keyctl")]
    get_session = f"ctypes.CDLL(None, use_errno=True).syscall({number}, 0, -3, 1)"
    with (tmp_path / "out").open("wb") as out:
        code = f"import ctypes; print({get_session}, ctypes.get_errno())"
        child = processes.spawn([sys.executable, "-c", code], tmp_path, {}, out, out)
        assert child.wait(30) == 0
    assert (tmp_path / "out").read_text().split() == ["-1", "1"]


def said(folder: Path, code: str, before: Sequence[str] = ()) -> tuple[list[str], float]:
    """What this Python code printed as a process of a run, and the CPU-seconds that were seen of it."""
    with (folder / "out").open("wb") as out:
        env = {"PATH": os.environ["PATH"]}
        child = processes.spawn([*before, sys.executable, "-c", textwrap.dedent(code)], folder, env, out, out)
        clock, until = feeder.TreeClock(child.pid), time.monotonic() + 100
        while child.poll() is None and time.monotonic() < until:
            clock.read()
            time.sleep(0.02)
        processes.kill_group(child)
    printed = (folder / "out").read_text()
    assert child.returncode == 0, printed
    return printed.split(), clock.total


WORKS = """
    import os, signal, subprocess, time

    def work(seconds):
        began = time.process_time()
        while time.process_time() - began < seconds:
            pass

    def child(what):
        if (pid := os.fork()) == 0:
            what()
            os._exit(0)
        return pid
"""


@filtered
def test_sigchld_keeps_its_default_even_where_it_was_ignored(tmp_path: Path) -> None:
    was = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        words, _ = said(tmp_path, f"""{WORKS}
    print(signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = child(lambda: None)
    time.sleep(0.1)
    print(os.waitpid(pid, 0) == (pid, 0))
""")  # fmt: skip
    finally:
        signal.signal(signal.SIGCHLD, was)
    assert words == ["True", "True"]


@filtered
def test_in_a_box_short_grandchildren_that_nobody_waits_for_are_counted(tmp_path: Path) -> None:
    """A box's first process takes the orphans in, and waits for them: their time is below the trainer's pid."""
    words, seen = said(
        tmp_path,
        f"""{WORKS}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(40):
        os.waitpid(child(lambda: child(lambda: work(0.02))), 0)
        time.sleep(0.01)
    time.sleep(0.5)
    print("through")
""",
        [str(needs_box()), "--unshare-user", "--unshare-pid", "--bind", "/", "/", "--proc", "/proc", "--"],
    )
    assert words == ["through"]
    assert seen >= 0.8


@filtered
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_what_waits_for_children_still_works(tmp_path: Path) -> None:
    """A shell, a compiler (which torch.compile starts; its drivers start others), and a pool."""
    (tmp_path / "a.cpp").write_text("int main() { return 0; }")
    words, _ = said(tmp_path, f"""{WORKS}
    import multiprocessing
    print(subprocess.run(["sh", "-c", "echo a | cat; echo $(echo b)"], capture_output=True, text=True).stdout)
    print(subprocess.run("g++ a.cpp -o a && ./a", shell=True).returncode)
    with multiprocessing.Pool(2) as pool:
        print(sum(pool.map(abs, range(-9, 1))))
""")  # fmt: skip
    assert words == ["a", "b", "0", "45"]
