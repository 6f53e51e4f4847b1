"""The supervisor, over small real processes: start, probe, crash, backoff, stop."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from precedent.cli import records
from precedent.cli.secrets import read_secret, write_secret
from precedent.cli.supervise import Program, Supervisor, answers, last_lines, log_path
from precedent.clock import SystemClock

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
FAILING = "import sys; print('no such table: truth'); sys.exit(3)"


class LateClock(SystemClock):
    """A clock that a test moves on, so that no test waits for a backoff."""

    offset_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.offset_ns


class Stage:
    """A supervisor in a home of its own, with what it told."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.told: list[str] = []
        self.clock = LateClock()
        self.supervisor = Supervisor(home, self.clock, self.told.append)

    def server(self, name: str) -> Program:
        port = free_port()
        argv = (sys.executable, "-c", SERVER, str(port))
        return Program(name, argv, dict(os.environ), self.home, lambda: answers(f"http://127.0.0.1:{port}/"))

    def until(self, is_done: Callable[[], bool]) -> None:
        """Tick until it is so; 30 s are far more than any of this takes."""
        for _ in range(1500):
            self.supervisor.tick()
            if is_done():
                return
            Event().wait(0.02)
        pytest.fail(f"never came: {self.told}")

    def pid(self, name: str) -> int:
        child = self.supervisor.slots[name].child
        assert child is not None
        return child.pid


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    try:
        yield stage
    finally:
        stage.supervisor.stop()


def test_a_program_is_ready_when_it_answers_and_its_record_says_so(stage: Stage) -> None:
    stage.supervisor.add(stage.server("web"))
    assert not stage.supervisor.is_ready("web")
    stage.until(lambda: stage.supervisor.is_ready("web"))
    (record,) = records.read_all(stage.home)
    assert (record.name, record.state, record.pid, record.restarts) == ("web", "ready", stage.pid("web"), 0)
    assert record.identity.is_alive()
    assert "serving" in last_lines(log_path(stage.home, "web"), 2)


def test_a_killed_program_is_shown_and_comes_back(stage: Stage) -> None:
    stage.supervisor.add(stage.server("web"))
    stage.until(lambda: stage.supervisor.is_ready())
    first = stage.pid("web")
    os.kill(first, signal.SIGKILL)
    stage.until(lambda: stage.supervisor.slots["web"].state == "waiting")
    assert "web ended unexpectedly (killed by SIGKILL); starting it again in 1 s" in stage.told[0]
    stage.clock.offset_ns += 1_000_000_000
    stage.until(lambda: stage.supervisor.is_ready())
    assert stage.pid("web") != first
    assert stage.told[-1] == "web is back"
    assert records.read_all(stage.home)[0].restarts == 1


def test_a_program_that_never_comes_up_waits_longer_each_time_and_shows_its_last_words(stage: Stage) -> None:
    stage.supervisor.add(Program("broken", (sys.executable, "-c", FAILING), dict(os.environ), stage.home, lambda: False))
    for delay_seconds in (1, 2, 4, 8, 16, 30, 30):
        stage.until(lambda: stage.supervisor.slots["broken"].state == "waiting")
        assert f"(exit 3); starting it again in {delay_seconds} s" in stage.told[-1]
        assert "no such table: truth" in stage.told[-1]
        stage.supervisor.tick()
        assert stage.supervisor.slots["broken"].state == "waiting"
        stage.clock.offset_ns += delay_seconds * 1_000_000_000
        stage.until(lambda: stage.supervisor.slots["broken"].state != "waiting")


def test_a_crash_after_a_minute_of_service_starts_the_backoff_anew(stage: Stage) -> None:
    stage.supervisor.add(stage.server("web"))
    stage.supervisor.slots["web"].failures_in_row = 5
    stage.until(lambda: stage.supervisor.is_ready())
    stage.clock.offset_ns += 61 * 1_000_000_000
    os.kill(stage.pid("web"), signal.SIGKILL)
    stage.until(lambda: stage.supervisor.slots["web"].state == "waiting")
    assert "again in 1 s" in stage.told[0]


def test_stop_ends_all_in_reverse_and_leaves_no_record(stage: Stage) -> None:
    for name in ("first", "second"):
        stage.supervisor.add(stage.server(name))
    stage.until(lambda: stage.supervisor.is_ready())
    identities = [record.identity for record in records.read_all(stage.home)]
    stage.supervisor.stop()
    assert not any(identity.is_alive() for identity in identities)
    assert records.read_all(stage.home) == []


def test_the_last_one_added_stops_first(stage: Stage) -> None:
    marks = stage.home / "order"
    for name in ("first", "second"):
        code = (
            "import signal, sys; from pathlib import Path\n"
            f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(Path({str(marks)!r}).open('a').write({name + ' '!r}) and 0))\n"
            f"Path({str(stage.home / name)!r}).touch(); signal.pause()"
        )
        standing = stage.home / name
        stage.supervisor.add(Program(name, (sys.executable, "-c", code), dict(os.environ), stage.home, standing.exists))
    stage.until(lambda: stage.supervisor.is_ready())
    stage.supervisor.stop()
    assert marks.read_text() == "second first "


def test_leaves_stop_at_the_same_time_before_what_they_stand_on(stage: Stage) -> None:
    stage.supervisor.add(stage.server("base"))
    both = stage.home / "both"
    both.mkdir()
    for name, other in (("left", "right"), ("right", "left")):
        # Ends only once the other was asked to end as well: one after the other would use up a grace of 15 s and be killed.
        code = (
            "import signal, sys; from pathlib import Path; from threading import Event\n"
            "def leave(*_):\n"
            f"    Path({str(both / name)!r}).touch()\n"
            f"    while not Path({str(both / other)!r}).exists(): Event().wait(0.01)\n"
            f"    Path({str(both / name)!r} + '-left').touch(); sys.exit(0)\n"
            f"signal.signal(signal.SIGTERM, leave); Path({str(stage.home / name)!r}).touch(); signal.pause()"
        )
        standing = stage.home / name
        program = Program(name, (sys.executable, "-c", code), dict(os.environ), stage.home, standing.exists, is_leaf=True)
        stage.supervisor.add(program)
    stage.until(lambda: stage.supervisor.is_ready())
    stage.supervisor.stop()
    assert {path.name for path in both.iterdir()} == {"left", "right", "left-left", "right-left"}


def test_one_home_has_one_supervisor(tmp_path: Path) -> None:
    with records.exclusive(tmp_path), pytest.raises(records.AlreadyRunning, match=f"process {os.getpid()}"), records.exclusive(tmp_path):
        pass
    with records.exclusive(tmp_path):
        pass


def test_what_a_dead_supervisor_left_is_ended(stage: Stage) -> None:
    stage.supervisor.add(stage.server("web"))
    stage.until(lambda: stage.supervisor.is_ready())
    (record,) = records.read_all(stage.home)
    assert records.end_leftovers(stage.home) == ["web"]
    assert not record.identity.is_alive()
    assert records.end_leftovers(stage.home) == []


def test_a_record_that_a_crash_cut_short_is_skipped(tmp_path: Path) -> None:
    (records.run_dir(tmp_path) / "web.json").write_text('{"name": "we')
    assert records.read_all(tmp_path) == []


def test_a_secret_is_for_its_owner_alone_also_when_someone_widened_it(tmp_path: Path) -> None:
    path = tmp_path / "dev-token"
    assert read_secret(path) is None
    write_secret(path, "placeholder")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert read_secret(path) == "placeholder"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
