"""System calls that no process of a run may make: ways past the box that no namespace parts.

The kernel's keyrings, above all: they outlive who writes to them, so a run could leave its weights there for the
next one, and one model host its answers for the other. So does the page cache: which pages of a file are in memory
can be set (fadvise64, readahead) and asked for (mincore, preadv2, cachestat). A seccomp filter (seccomp(2)) in
classic BPF, by hand: it is two dozen instructions, and a library would be a dependency.

One call is heard and not obeyed: to ignore SIGCHLD, or to handle it. The kernel forgets a child whose parent
ignores it, with the CPU time that it took; so it keeps its default, and what nobody waits for stays to be seen.
(Some shells' `wait` waits for that signal, and would wait for ever in a run. Compilers have no need of it.)
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

# Numbers by architecture, after linux/audit.h and the kernel's tables; the same names in the same order.
NAMES = (
    "add_key", "request_key", "keyctl", "fadvise64", "readahead", "mincore", "preadv2", "cachestat",
    "perf_event_open", "bpf", "userfaultfd", "io_uring_setup",
)  # fmt: skip
NUMBERS = {
    "x86_64": (0xC000003E, (248, 249, 250, 221, 187, 27, 327, 451, 298, 321, 323, 425)),
    "aarch64": (0xC00000B7, (217, 218, 219, 223, 213, 232, 286, 451, 241, 280, 282, 425)),
}
SIGACTION = {"x86_64": 13, "aarch64": 134}  # rt_sigaction(signum, act, …)
_SIGCHLD = 17
_X32 = 0x40000000  # x86_64's other numbering begins here
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, …|JGE|K, BPF_RET|K
# Where things are in struct seccomp_data: arguments have 8 bytes, the lower half first.
_NUMBER_AT, _ARCHITECTURE_AT, _SIGNUM_AT, _ACT_AT = 0, 4, 16, (24, 28)
_ALLOW, _PRETEND, _DENY = 0x7FFF0000, 0x00050000, 0x00050000 | errno.EPERM
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


def program(machine: str) -> bytes:
    """The filter for an architecture, 8 bytes an instruction; empty where its numbers are not known here."""
    if machine not in NUMBERS:
        return b""
    architecture, denied = NUMBERS[machine]
    # An instruction: what it does, where to go on if the test holds and if not ("": with the next), its operand.
    lines = [
        (_LOAD, "", "", _ARCHITECTURE_AT),
        (_EQUAL, "", "deny", architecture),  # what speaks another architecture's numbers is denied all
        (_LOAD, "", "", _NUMBER_AT),
        (_EQUAL, "", "numbers", SIGACTION[machine]),
        (_LOAD, "", "", _SIGNUM_AT),  # an int: the kernel looks at its lower half alone
        (_EQUAL, "", "allow", _SIGCHLD),
        (_LOAD, "", "", _ACT_AT[0]),  # without a new action (NULL) it only asks
        (_EQUAL, "", "pretend", 0),
        (_LOAD, "", "", _ACT_AT[1]),
        (_EQUAL, "allow", "pretend", 0),
    ]
    at = {"numbers": len(lines)}
    lines += [(_EQUAL, "deny", "", number) for number in denied]
    lines += [(_AT_LEAST, "deny", "", _X32)]
    for name, answer in (("allow", _ALLOW), ("pretend", _PRETEND), ("deny", _DENY)):
        at[name] = len(lines)
        lines.append((_RETURN, "", "", answer))

    def jump(to: str, line: int) -> int:
        """Instructions to skip."""
        return at[to] - line - 1 if to else 0

    return b"".join(
        struct.pack("HBBI", code, jump(yes, i), jump(no, i), value)
        for i, (code, yes, no, value) in enumerate(lines)
    )


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


_code = program(platform.machine()) if sys.platform == "linux" else b""
_program = _Program(len(_code) // 8, _code)  # made before any fork
_libc = ctypes.CDLL(None, use_errno=True) if _code else None


def restrict() -> None:
    """Forbid them to this process and all that it will start; for the moment between fork and exec."""
    if _libc is not None:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(_program), 0, 0)
