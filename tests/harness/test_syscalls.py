"""What no process of a run may call, tried in one."""

from __future__ import annotations

import platform
import struct
import sys
from pathlib import Path

import pytest
from harness import processes, syscalls

HERE = platform.machine()


@pytest.mark.parametrize("machine", syscalls.NUMBERS)
def test_the_program_by_interpretation(machine: str) -> None:
    """Each denied number is denied, its neighbours are not, another architecture is denied all."""
    architecture, denied = syscalls.NUMBERS[machine]
    code = [
        struct.unpack("HBBI", syscalls.program(machine)[i : i + 8])
        for i in range(0, len(syscalls.program(machine)), 8)
    ]

    def verdict(number: int, architecture: int) -> int:
        at, held = 0, 0
        while True:
            operation, yes, no, k = code[at]
            at += 1
            if operation == 0x20:
                held = {0: number, 4: architecture}[k]
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


def test_another_machine_has_no_program() -> None:
    assert syscalls.program("riscv64") == b""


@pytest.mark.skipif(sys.platform != "linux" or HERE not in syscalls.NUMBERS, reason=f"no filter for {HERE}")
def test_a_run_s_process_has_no_keyring(tmp_path: Path) -> None:
    number = syscalls.NUMBERS[HERE][1][syscalls.NAMES.index("keyctl")]
    get_session = f"ctypes.CDLL(None, use_errno=True).syscall({number}, 0, -3, 1)"
    with (tmp_path / "out").open("wb") as out:
        code = f"import ctypes; print({get_session}, ctypes.get_errno())"
        child = processes.spawn([sys.executable, "-c", code], tmp_path, {}, out, out)
        assert child.wait(30) == 0
    assert (tmp_path / "out").read_text().split() == ["-1", "1"]
