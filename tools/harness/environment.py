"""The environment of a run: what a campaign began with, and no more.

A variable can change what Python, PyTorch or a library does, in the scorer as well as in the trainer. So a run
gets those few that a machine may need, as they stood when the campaign began: what is set later changes nothing.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from . import Refused

_NAMES = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "CC", "CXX",
    "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "KERNELS_CACHE",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE",
}  # fmt: skip
_ENTERED = "AUTORESEARCH_ENTERED"  # by a command that began again, so that it does so once
_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "HSA_")


def pinned(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What of `environ` a run may depend on."""
    return {key: value for key, value in environ.items() if key in _NAMES or key.startswith(_PREFIXES)}


def python(root: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The Python that experiments run in."""
    own = root / ".venv" / "bin" / "python"
    return environ.get("AUTORESEARCH_PYTHON") or (str(own) if own.exists() else sys.executable)


def has(module: str) -> bool:
    """Whether this Python can import `module`."""
    return importlib.util.find_spec(module) is not None


def enter(root: Path, module: str) -> None:
    """Begin the command again in the environment of `root`, where this Python lacks `module` and there is
    another.

    A person's `tools/report.py` runs in whatever python3 is on the PATH, which the tools do not mind otherwise.
    """
    own = python(root)
    if not has(module) and own != sys.executable and not os.environ.pop(_ENTERED, ""):
        sys.stdout.flush()
        os.execve(own, [own, *sys.argv], {**os.environ, _ENTERED: "1"})


def need(root: Path, module: str) -> None:
    """The same for what cannot do without it. Raises Refused."""
    enter(root, module)
    if not has(module):
        raise Refused(f"the package {module} is not installed: run scripts/setup.sh", "scripts/setup.sh")
