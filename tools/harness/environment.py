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
_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "HSA_")


def pinned(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What of `environ` a run may depend on."""
    return {key: value for key, value in environ.items() if key in _NAMES or key.startswith(_PREFIXES)}


def python(root: Path) -> str:
    """The Python that experiments run in."""
    own = root / ".venv" / "bin" / "python"
    return os.environ.get("AUTORESEARCH_PYTHON") or (str(own) if own.exists() else sys.executable)


def enter(root: Path, package: str) -> None:
    """Where this Python lacks `package`, begin the command again in the project's, which has it. Raises Refused.

    The tools need the standard library alone and run in whatever Python there is, but for what draws or searches.
    """
    if importlib.util.find_spec(package) is not None:
        return
    own = root / ".venv" / "bin" / "python"
    if own.exists() and Path(sys.prefix).resolve() != (root / ".venv").resolve():
        sys.stdout.flush()
        os.execv(own, [str(own), *sys.argv])
    raise Refused(f"the package {package} is not installed: run scripts/setup.sh", "scripts/setup.sh")
