"""What set-up decides, without installing anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import setup
from harness import box, client
from harness.command import ROOT


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("error: Failed to fetch: https://…\n  cause: dns error", "no network"),
        ("npm error code EAI_AGAIN", "no network"),
        ("ERROR: Could not find a version that satisfies the requirement uv (from versions: none)", "no network"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("error: something else", "its last words"),
    ],
)
def test_a_failure_says_what_to_do(said: str, wanted: str) -> None:
    assert wanted in setup.advice(said)
    assert "scripts/setup.sh" in setup.advice(said)


def test_the_locked_version_of_torch() -> None:
    version = setup.locked_version(ROOT / "uv.lock", "torch")
    assert version.split(".")[0] == "2"
    with pytest.raises(setup.SetupError, match="names no ghost"):
        setup.locked_version(ROOT / "uv.lock", "ghost")


def test_the_lock_names_public_addresses_alone() -> None:
    lock = (ROOT / "uv.lock").read_text()
    assert "file://" not in lock and '{ path = "' not in lock
    assert 'registry = "https://pypi.org/simple"' in lock


def test_folders_of_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/a /b")
    monkeypatch.setenv("UV_FIND_LINKS", "/c,/d")
    assert setup.find_links() == ["/c", "/d"]
    monkeypatch.delenv("UV_FIND_LINKS")
    assert setup.find_links() == ["/a", "/b"]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout to set up, with a log to write to."""
    tools = tmp_path / ".tools"
    places = {"ROOT": tmp_path, "TOOLS": tools, "LOG": tools / "setup.log"}
    places["PYTHON"] = tmp_path / ".venv" / "bin" / "python"
    for name, value in places.items():
        monkeypatch.setattr(setup, name, value)
    tools.mkdir()
    (tmp_path / "uv.lock").write_text('[[package]]\nname = "torch"\nversion = "2.13.0"\n')
    return tmp_path


def test_a_failed_command_is_one_line_with_its_last_words(elsewhere: Path, capsys) -> None:
    script = "print('one', flush=True); raise SystemExit('\\x1b[31mtwo: no such thing\\x1b[0m')"
    with pytest.raises(setup.SetupError, match=r"failed.*setup\.log") as failure:
        setup.run([sys.executable, "-c", script])
    assert failure.value.detail == "one\ntwo: no such thing"
    assert "two: no such thing" in setup.LOG.read_text()


def test_a_command_that_is_not_there(elsewhere: Path) -> None:
    with pytest.raises(setup.SetupError, match="cannot be run: No such file"):
        setup.run([str(elsewhere / "nothing")])


@pytest.mark.parametrize("gpu", [False, True])
def test_which_torch(gpu: bool, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CUDA build where there is a GPU, and never where there is none."""
    calls: list[list[str]] = []
    monkeypatch.setattr(setup, "run", lambda command, extra=None: calls.append([str(part) for part in command]))
    monkeypatch.setattr(setup, "has_gpu", lambda: gpu)
    monkeypatch.setattr(setup, "find_uv", lambda: "uv")
    monkeypatch.setattr(setup, "find_links", lambda: ["/none"])
    monkeypatch.setattr("sys.platform", "linux")
    (elsewhere / ".venv").mkdir()
    assert setup.environment()
    lines = [" ".join(call) for call in calls]
    if gpu:
        assert lines[:-1] == ["uv sync --frozen"]
    else:
        assert any("torch==2.13.0+cpu --torch-backend cpu" in line for line in lines)
        assert all("--no-group torch" in line for line in lines if "sync" in line)
    assert lines[-1].startswith(f"{setup.PYTHON} -c import torch")  # which leaves bytecode for the boxed runs
    (elsewhere / ".venv" / "bin").mkdir()
    setup.PYTHON.touch()
    assert not setup.environment()  # and the second time there is nothing to do
    monkeypatch.setattr(setup, "has_gpu", lambda: not gpu)
    assert setup.environment()  # unless the machine has changed


def test_bytecode_is_written_whatever_the_shell_says(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's box mounts the environment read-only: what is not compiled by then is compiled in every run."""
    (elsewhere / "ours.py").write_text("a = 1\n")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    monkeypatch.setattr(setup, "BYTECODE", "import ours")
    monkeypatch.setattr(setup, "has_gpu", lambda: True)
    monkeypatch.setattr(setup, "find_uv", lambda: "true")
    setup.PYTHON.parent.mkdir(parents=True)
    setup.PYTHON.symlink_to(sys.executable)
    assert setup.environment()
    assert list((elsewhere / "__pycache__").glob("ours.*.pyc"))


def test_a_wheel_at_hand_is_taken(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    calls: list[list[str]] = []
    monkeypatch.setattr(setup, "run", lambda command, extra=None: calls.append([str(part) for part in command]))
    monkeypatch.setattr(setup, "find_links", lambda: ["/none", str(elsewhere)])
    setup.install_cpu_torch("uv", "2.13.0")
    assert calls[0][-2:] == ["--find-links", str(elsewhere)]


@pytest.mark.parametrize(
    ("version", "used"), [("1.18.40", True), ("2.0.1", True), ("1.9.0", False), ("dev", False)]
)
def test_a_client_on_path_is_used_unless_it_is_old(
    version: str, used: bool, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = elsewhere / "programs"
    programs.mkdir()
    for name in ("opencode", "rg"):
        (programs / name).write_text(f"#!/bin/sh\necho {version}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    assert client.find_program(elsewhere, "rg") == programs / "rg"
    assert setup.is_usable("rg")
    assert setup.is_usable("opencode") is used
    assert setup.is_usable("opencode") is used


def test_bad_use_is_one_line() -> None:
    command = [sys.executable, str(ROOT / "tools" / "setup.py"), "--profile", "large"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("setup: ") and done.stderr.count("\n") == 1


# ---- the sandbox ---------------------------------------------------------------------------------

NOT_BOXED = "runs are not boxed: the record and the report say so"
FORBIDDEN = "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
# apt-get, which puts the package where it is called, and dpkg-deb, which unpacks a bwrap that works.
APT_GET = 'case "$*" in *download*) : >bubblewrap_1_amd64.deb ;; esac'
DPKG_DEB = 'mkdir -p "$3/usr/bin" && echo "#!/bin/sh" >"$3/usr/bin/bwrap" && chmod +x "$3/usr/bin/bwrap"'


class System:
    """A Linux where nothing is on PATH but what a test puts there, and a user who is not root."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs, self.kernel = place / "programs", place / "kernel"
        self.calls = self.programs / "calls"
        self.container, self.profile = place / "containerenv", place / "bwrap-userns-restrict"
        self.programs.mkdir()
        monkeypatch.setenv("PATH", str(self.programs))
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        monkeypatch.setattr(box, "_SYSTEM_PATH", "")
        monkeypatch.setattr(box, "failure_of", box.failure_of.__wrapped__)  # a program changes during a test
        monkeypatch.setattr(setup, "KERNEL", self.kernel)
        monkeypatch.setattr(setup, "CONTAINER_MARKS", (self.container,))
        monkeypatch.setattr(setup, "APPARMOR_PROFILE", self.profile)

    def has(self, name: str, script: str = "") -> Path:
        """A program that notes how it was called, then does `script`."""
        program = self.programs / name
        program.write_text(f'#!/bin/sh\nPATH=/bin:/usr/bin\necho "{name} $*" >>{self.calls}\n{script}\n')
        program.chmod(0o755)
        return program

    def called(self) -> list[str]:
        """What was called since last asked, apt-get without its options."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line.replace(f" {' '.join(setup.APT[1:])}", "") for line in lines]

    def forbids(self, setting: str, value: str) -> None:
        path = self.kernel / setting.replace(".", "/")
        path.parent.mkdir(parents=True)
        path.write_text(f"{value}\n")


@pytest.fixture
def system(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(elsewhere, monkeypatch)


def test_no_boxes_but_on_linux(system: System, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    system.has("apt-get")
    monkeypatch.setattr("sys.platform", "darwin")
    assert not setup.install_sandbox(try_again=True)
    assert capsys.readouterr().out == f"setup: sandbox: bubblewrap is for Linux alone; {NOT_BOXED}\n"
    assert not system.called()


@pytest.mark.parametrize("ours", [False, True])
def test_a_bubblewrap_that_works_is_left_as_it_is(ours: bool, system: System, capsys) -> None:
    program = system.has("bwrap")
    if ours:
        (setup.TOOLS / "bin").mkdir()
        program.rename(setup.TOOLS / "bin" / "bwrap")
    assert not setup.install_sandbox(try_again=True)
    assert capsys.readouterr().out == ""
    assert [line.split()[0] for line in system.called()] == ["bwrap"]


def test_the_systems_bubblewrap_comes_first(
    system: System, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert box.installed(elsewhere) is None
    setup.link_program("bwrap", system.has("other"))
    assert box.installed(elsewhere) == setup.TOOLS / "bin" / "bwrap"
    on_path = system.has("bwrap")
    assert box.installed(elsewhere) == on_path
    systems = on_path.rename(elsewhere / "bwrap")
    monkeypatch.setattr(box, "_SYSTEM_PATH", str(elsewhere))
    system.has("bwrap")
    assert box.installed(elsewhere) == systems


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", ""),
        ("echo a warning >&2", ""),
        ("echo one >&2; echo two >&2; exit 1", "two"),
        ("exit 3", "exit code 3"),
    ],
)
def test_what_a_bubblewrap_says(script: str, said: str, system: System) -> None:
    program = system.has("bwrap", script)
    assert box.failure_of(program) == said
    assert "--unshare-user" in system.called()[0]
    program.chmod(0o644)
    assert box.failure_of(program) == "Permission denied"


def test_the_systems_package_is_unpacked_into_tools(system: System, elsewhere: Path, capsys) -> None:
    system.has("apt-get", APT_GET)
    system.has("dpkg-deb", DPKG_DEB)
    assert setup.install_sandbox(try_again=True)
    assert box.installed(elsewhere) == setup.TOOLS / "bin" / "bwrap"
    assert str((setup.TOOLS / "bin" / "bwrap").readlink()) == "../bubblewrap/usr/bin/bwrap"
    assert capsys.readouterr().out.startswith(
        "setup: sandbox: bubblewrap, the system's package unpacked into .tools"
    )
    assert [line.split()[0:2] for line in system.called()] == [["apt-get", "download"], ["dpkg-deb", "-x"]]
    assert {path.name for path in setup.TOOLS.iterdir()} == {"bin", "bubblewrap", "setup.log"}
    assert not setup.install_sandbox(try_again=True)
    assert capsys.readouterr().out == "" and not system.called()


def test_root_updates_package_lists_that_are_empty(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    lists = system.programs / "lists"
    empty = f"[ -e {lists} ] || {{ echo 'E: Unable to locate package bubblewrap' >&2; exit 100; }}"
    system.has("apt-get", f'case "$*" in *update*) : >{lists}; exit 100 ;; esac\n{empty}\n{APT_GET}')
    system.has("dpkg-deb", DPKG_DEB)
    assert setup.install_sandbox(try_again=True)
    wanted = ["apt-get download bubblewrap", "apt-get update", "apt-get download bubblewrap"]
    assert system.called()[:3] == wanted  # one source of many may fail at that


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("E: Unable to locate package bubblewrap", "Unable to locate package bubblewrap"),
        (
            "E: Failed to fetch http://mirror/b.deb  Temporary failure resolving 'mirror'",
            "Temporary failure resolv",
        ),
        ("", "apt-get: failed"),
    ],
)
def test_a_package_that_cannot_be_fetched(said: str, told: str, system: System, capsys) -> None:
    system.has("apt-get", f'echo "{said}" >&2; exit 100')
    system.has("dpkg-deb")
    assert not setup.install_sandbox(try_again=True)
    assert system.called() == ["apt-get download bubblewrap"]  # an ordinary user cannot update
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(
        f"setup: sandbox: bubblewrap is not installed, and its package cannot be fetched ({told}"
    )
    assert line.endswith(f"; {NOT_BOXED}; to have them boxed: sudo apt update && sudo apt install bubblewrap")
    assert not setup.install_sandbox(try_again=False)  # as start.sh asks: the same line, without the wait
    assert capsys.readouterr().out == f"{line}\n" and not system.called()
    system.has("apt-get", APT_GET)
    system.has("dpkg-deb", DPKG_DEB)
    assert setup.install_sandbox(try_again=True)


def test_a_disk_that_cannot_be_written_is_not_fatal(system: System, monkeypatch, capsys) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(setup, "fetch_bubblewrap", full)
    monkeypatch.setattr(Path, "write_text", full)
    assert not setup.install_sandbox(try_again=True)
    assert "No space left on device; runs are not boxed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("manager", "told"),
    [
        ("dnf", "sudo dnf install bubblewrap"),
        ("pacman", "sudo pacman -S bubblewrap"),
        ("zypper", "sudo zypper install bubblewrap"),
        ("apk", "sudo apk add bubblewrap"),
        ("none", "install bubblewrap (github.com/containers/bubblewrap)"),
    ],
)
def test_other_systems_are_told_their_command(
    manager: str, told: str, system: System, monkeypatch, capsys
) -> None:
    system.has(manager)
    prefix = f"setup: sandbox: bubblewrap is not installed; {NOT_BOXED}; to have them boxed: "
    assert not setup.install_sandbox(try_again=True)
    assert capsys.readouterr().out == f"{prefix}{told}\n"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert not setup.install_sandbox(try_again=True)
    assert capsys.readouterr().out == f"{prefix}{told.removeprefix('sudo ')}\n"
    assert not system.called()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "sysctl -w {}=0"),
        ("kernel.unprivileged_userns_clone", "0", "sysctl -w {}=1"),
        ("user.max_user_namespaces", "0", "sysctl -w {}=15000"),
        ("user.max_user_namespaces", "96365", "whoever runs this machine"),
    ],
)
def test_a_system_that_forbids_boxes(setting: str, value: str, told: str, system: System, capsys) -> None:
    program = system.has("bwrap", FORBIDDEN)
    system.has("apt-get")
    system.forbids(setting, value)
    assert not setup.install_sandbox(try_again=True)
    line = capsys.readouterr().out
    assert f"{program} does not work here (bwrap: setting up uid map: Permission denied); {NOT_BOXED}; " in line
    assert told.format(setting) in line and line.count("\n") == 1
    assert not any("apt-get" in call for call in system.called())
    system.container.touch()
    assert not setup.install_sandbox(try_again=True)
    line = capsys.readouterr().out
    assert "to have them boxed: start this container with --security-opt" in line
    assert ("and on its host: sudo sysctl -w" in line) is ("sysctl" in told)


def test_ours_may_lack_what_the_systems_has(system: System, capsys) -> None:
    """An AppArmor profile that goes by the system's path, or a library."""
    system.has("apt-get")
    system.forbids("kernel.apparmor_restrict_unprivileged_userns", "1")
    setup.link_program("bwrap", system.has("other", FORBIDDEN))
    system.profile.touch()
    assert not setup.install_sandbox(try_again=True)
    assert "apt install bubblewrap" in capsys.readouterr().out
    system.profile.unlink()
    system.has("other", "echo 'error while loading shared libraries: libcap.so.2: …' >&2; exit 127")
    assert not setup.install_sandbox(try_again=True)
    assert "apt install bubblewrap" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["", "--no-sandbox"])
def test_where_the_sandbox_comes(argument: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def sandbox(*, try_again: bool) -> bool:
        steps.append(f"sandbox, try again: {try_again}")
        return False

    monkeypatch.setattr(setup, "environment", lambda: steps.append("environment"))
    monkeypatch.setattr(setup, "install_sandbox", sandbox)
    monkeypatch.setattr(setup, "install_client", lambda: steps.append("client"))
    monkeypatch.setattr(setup, "prepare_data", lambda profile: steps.append("data"))
    assert setup.body([argument] if argument else []) == 0
    middle = [] if argument else ["sandbox, try again: False"]
    assert steps == ["environment", *middle, "client", "data"]
    monkeypatch.setattr("sys.argv", ["setup.py"])
    assert setup.body() == 0  # scripts/setup.sh, by hand
    assert "sandbox, try again: True" in steps
