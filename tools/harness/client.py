"""Finding the opencode client, and the environment it is launched in."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

# The versions this was built and measured with. What a person has on PATH already is used as it is.
OPENCODE_VERSION = "1.18.33"
RIPGREP_VERSION = "1.18.0"

MACHINES = {"x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Client:
    """The two programs a launch needs; opencode searches skills with ripgrep and fails without it."""

    opencode: Path
    ripgrep: Path


def tools_dir(root: Path) -> Path:
    """Where set-up installs; a dot-folder, so that opencode does not look for skills in it."""
    return root / ".tools"


def find_program(root: Path, name: str) -> Path | None:
    """`name` as set-up installed it, else the one on PATH."""
    path = os.pathsep.join([str(tools_dir(root) / "bin"), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def find(root: Path) -> Client | None:
    opencode, ripgrep = find_program(root, "opencode"), find_program(root, "rg")
    return Client(opencode, ripgrep) if opencode and ripgrep else None


def packages() -> dict[str, str]:
    """npm packages, with versions, that hold this platform's binaries: program name to `package@version`.

    Raises LookupError where opencode ships no binary.
    """
    system = sys.platform
    machine = MACHINES.get(platform.machine().lower())
    if system not in ("linux", "darwin") or machine is None:
        raise LookupError(f"opencode ships no binary for {system} on {platform.machine()}")
    opencode = f"opencode-{system}-{machine}"
    # The regular x64 build needs AVX2; on an Intel Mac that is not worth finding out.
    if machine == "x64" and (system == "darwin" or "avx2" not in Path("/proc/cpuinfo").read_text().split()):
        opencode += "-baseline"
    if system == "linux" and any(Path("/lib").glob("ld-musl-*")):
        opencode += "-musl"
    return {
        "opencode": f"{opencode}@{OPENCODE_VERSION}",
        "rg": f"@vscode/ripgrep-{system}-{machine}@{RIPGREP_VERSION}",
    }


def search_path(root: Path) -> str:
    """PATH for the client: its own programs, and a Python new enough for the tools, come first."""
    first = [str(root / ".venv" / "bin"), str(tools_dir(root) / "bin")]
    return os.pathsep.join([*first, os.environ.get("PATH", "")])
