"""The course of a night, with a start.sh that is a few lines of shell."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.simulation import processes, schedule
from benchmarks.simulation.course import WISH, Diary, Night
from benchmarks.simulation.place import MARK, Place
from benchmarks.simulation.schedule import Blow
from benchmarks.simulation.weather import CALM
from benchmarks.simulation.wire import Endpoint, Reply, RequestLog

# Decides an experiment every tenth of a second, as many as it is told to, or until there is a STOP. Where there is
# a pipe, it has a client, which waits for a word from it.
START = """\
#!/bin/sh
rm -f STOP
echo "$@" >> told
[ -e pipe ] && { ./opencode run & trap 'kill $!' EXIT; }
for n in $(seq "$4"); do
    sleep 0.1
    [ -e STOP ] && { rm STOP; exit 0; }
    [ -e BREAK ] && { rm BREAK; exit 2; }
    count=$(find runs -name decision.json | wc -l)
    mkdir -p "runs/night/000$count-abc"
    echo '{}' > "runs/night/000$count-abc/decision.json"
done
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path, tmp_path, tmp_path)
    (place.repo / "scripts").mkdir(parents=True)
    start = place.repo / "scripts" / "start.sh"
    start.write_text(START)
    start.chmod(0o755)
    baseline = place.runs / "0000-abc"
    baseline.mkdir(parents=True)
    (baseline / "decision.json").write_text("{}")
    (place.repo / "program.md").write_text("# Program\n\n## Ideas\n\nnone\n")
    (place.repo / "opencode").symlink_to("/bin/sh")
    (place.repo / "run").write_text("read word < pipe\n")
    yield place
    processes.kill_all(place.mark)


@pytest.fixture
def endpoint(place: Place) -> Iterator[Endpoint]:
    endpoint = Endpoint(lambda *asked: Reply("none", "ok"), lambda number: CALM, RequestLog(place.requests))
    endpoint.open()
    yield endpoint
    endpoint.close()


def spend(place: Place, endpoint: Endpoint, experiments: int, *blows: Blow) -> Diary:
    environ = {"PATH": os.environ["PATH"], MARK: str(place.folder)}
    return Night(place, endpoint, environ, experiments, blows, lambda text: None).spend()


def told(place: Place) -> list[str]:
    """The arguments of each start."""
    return (place.repo / "told").read_text().splitlines()


def test_a_quiet_night(place: Place, endpoint: Endpoint) -> None:
    diary = spend(place, endpoint, 4)
    assert diary.troubles == [] and diary.blows.total() == 0
    assert told(place) == ["--headless night --experiments 4"]
    assert processes.left(place.mark, 5.0) == []


def test_after_a_stop_it_is_started_for_the_rest(place: Place, endpoint: Endpoint) -> None:
    os.mkfifo(place.repo / "pipe")
    diary = spend(place, endpoint, 6, Blow(schedule.STOP, 2, 0.0))
    assert diary.troubles == [] and diary.blows == {schedule.STOP: 1}
    assert len(told(place)) == 2 and told(place)[1] != told(place)[0]


def test_after_a_reboot_too(place: Place, endpoint: Endpoint) -> None:
    diary = spend(place, endpoint, 6, Blow(schedule.REBOOT, 2, 0.0))
    assert diary.troubles == [] and diary.blows == {schedule.REBOOT: 1} and len(told(place)) == 2


def test_an_end_that_nobody_asked_for_is_trouble(place: Place, endpoint: Endpoint) -> None:
    (place.repo / "BREAK").touch()
    diary = spend(place, endpoint, 2)
    assert diary.troubles == ["scripts/start.sh ended by itself with exit code 2 after 0 experiments"]
    assert len(told(place)) == 2


def test_the_endpoint_goes_away_and_comes_back(place: Place, endpoint: Endpoint) -> None:
    diary = spend(place, endpoint, 10, Blow(schedule.OUTAGE, 1, 0.0, 0.3), Blow(schedule.OUTAGE, 3, 0.0, 0.3))
    assert diary.blows[schedule.OUTAGE] == 2
    assert endpoint._server is not None


def test_program_md_is_changed_once(place: Place, endpoint: Endpoint) -> None:
    before = time.time()
    diary = spend(place, endpoint, 4, Blow(schedule.STEER, 1, 0.0))
    assert (place.repo / "program.md").read_text() == f"# Program\n\n## Ideas\n\n{WISH}\n\nnone\n"
    assert before <= diary.steered <= time.time()


@pytest.mark.parametrize("there", [False, True])
def test_a_client_that_is_there_is_killed(place: Place, endpoint: Endpoint, there: bool) -> None:
    if there:
        os.mkfifo(place.repo / "pipe")
    assert spend(place, endpoint, 3, Blow(schedule.KILL, 0, 0.0)).blows[schedule.KILL] == there


def test_a_client_is_known_by_its_turn(place: Place, tmp_path: Path) -> None:
    program = tmp_path / "opencode"
    program.symlink_to("/bin/sh")
    started = []
    for word in ("run", "models"):
        (tmp_path / word).write_text("sleep 30; exit\n")
        for more in ([], ["--agent", "probe"]):
            environ = {**os.environ, MARK: str(place.folder)}
            started.append(subprocess.Popen([str(program), word, *more], cwd=tmp_path, env=environ))
    try:
        deadline = time.monotonic() + 10
        while len(processes.marked(place.mark)) < 8 and time.monotonic() < deadline:  # four shells, four sleeps
            time.sleep(0.02)
        assert processes.clients(place.mark) == [started[0].pid]
    finally:
        processes.kill_all(place.mark)
        for process in started:
            process.wait()


def test_a_mark_is_a_whole_one(tmp_path: Path) -> None:
    assert processes.marked(f"{MARK}={tmp_path}") == {}
