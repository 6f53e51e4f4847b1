"""Children that can't outlive their parent, recognised by id and start time, ended with their group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from precedent.processes.child import Identity, end_group, identify, spawn

MARKER = {"PRECEDENT_HOME": "a-home-of-this-test"}
# Says when it stands, then waits for a signal.
STEADY = "import os, signal; os.write(1, b'%d\\n' % os.getpid()); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STEADY}"
PARENT_OF_ONE = f"import subprocess, sys, signal; subprocess.Popen([sys.executable, '-c', {STEADY!r}]); signal.pause()"


def start(code: str, tmp_path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A child that runs the code, and the process id that it, or its own child, said."""
    fifo = tmp_path / f"said-{len(list(tmp_path.iterdir()))}"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with fifo.open("wb", buffering=0) as output:
        child = spawn([sys.executable, "-c", code], environment=os.environ | MARKER, folder=tmp_path, output=output)
    os.set_blocking(reader, True)
    said = int(os.read(reader, 32))
    os.close(reader)
    return child, said


def test_a_child_is_the_program_itself_in_a_session_of_its_own(tmp_path: Path) -> None:
    child, said = start(STEADY, tmp_path)
    assert said == child.pid
    assert os.getsid(child.pid) == child.pid
    child.kill()
    assert child.wait() == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from precedent.processes.child import spawn\n"
        f"spawn([{sys.executable!r}, '-c', {STEADY!r}], environment=os.environ, folder=Path('/'), output=None); signal.pause()"
    )
    parent, grandchild = start(code, tmp_path)
    process = psutil.Process(grandchild)
    parent.kill()
    parent.wait()
    process.wait(timeout=10)


def test_a_group_ends_with_its_leader_also_members_that_the_leader_left(tmp_path: Path) -> None:
    leader, member = start(PARENT_OF_ONE, tmp_path)
    identity = identify(leader.pid)
    assert identity is not None
    leader.kill()
    leader.wait()
    process = psutil.Process(member)
    end_group(identity, signal.SIGTERM, 5.0, MARKER)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_members_without_the_marker_are_left_alone(tmp_path: Path) -> None:
    leader, member = start(PARENT_OF_ONE, tmp_path)
    identity = identify(leader.pid)
    assert identity is not None
    end_group(identity, signal.SIGTERM, 5.0, {"PRECEDENT_HOME": "another home"})
    leader.wait()
    process = psutil.Process(member)
    assert process.status() != psutil.STATUS_ZOMBIE
    process.kill()


def test_a_process_that_ignores_the_signal_is_killed_after_its_grace(tmp_path: Path) -> None:
    child, _ = start(STUBBORN, tmp_path)
    identity = identify(child.pid)
    assert identity is not None
    end_group(identity, signal.SIGTERM, 0.2, MARKER)
    assert not identity.is_alive()
    child.wait()


def test_another_process_that_took_over_the_id_is_neither_recognised_nor_ended(tmp_path: Path) -> None:
    child, _ = start(STEADY, tmp_path)
    identity = identify(child.pid)
    assert identity is not None
    older = Identity(identity.pid, identity.started_at - 60)
    assert not older.is_alive()
    end_group(older, signal.SIGTERM, 1.0, MARKER)
    assert identity.is_alive()
    child.kill()
    child.wait()


def test_a_process_that_is_not_there_has_no_identity() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert identify(child.pid) is None
