"""Start a child that ends with its parent; recognise a process again; end its whole group.

A process is known by its id and its start time: an id alone is given to another process sooner or later.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

LAUNCH = Path(__file__).with_name("launch.py")

# psutil derives a start time from clock ticks and the machine's boot time, which moves a little when the clock is set.
START_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class User:
    """The system user that a child runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Identity:
    """A process id and its start time in seconds since 1970."""

    pid: int
    started_at: float

    def is_alive(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            is_same = bool(abs(process.create_time() - self.started_at) <= START_TOLERANCE_SECONDS)
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def identify(pid: int) -> Identity | None:
    """The identity of a running process, None when there is none of that id."""
    try:
        return Identity(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    output: IO[bytes] | None,
    death_signal: signal.Signals = signal.SIGTERM,
    user: User | None = None,
) -> subprocess.Popen[bytes]:
    """A child in a session of its own, so that Ctrl-C reaches the parent alone; `output` None shares the parent's.

    On Linux it receives `death_signal` when the *thread* that called this ends, so call it from the main thread.
    `argv[0]` is an absolute path.
    """
    uid, gid = (user.uid, user.gid) if user else (-1, -1)
    launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(death_signal)), str(uid), str(gid)]
    return subprocess.Popen(
        [*launch, *argv],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        start_new_session=True,
    )


def ask_to_stop(leader: Identity, stop_signal: signal.Signals) -> None:
    """Send the signal, and don't wait: for processes that may end at the same time. `end_group` follows, with None for its signal."""
    _signal(leader, stop_signal, wait_seconds=None)


def end_group(leader: Identity, stop_signal: signal.Signals | None, grace_seconds: float, marker: Mapping[str, str]) -> None:
    """End a process that leads a group, and what is left of its group: `stop_signal` to the leader, SIGTERM to the rest, then SIGKILL.

    `marker` are variables that our processes carry: members are ended only when theirs match, as a group's id may have been given away.
    """
    _signal(leader, stop_signal, wait_seconds=grace_seconds)
    for step in (signal.SIGTERM, signal.SIGKILL):
        members = _members(leader, marker)
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(step)
        psutil.wait_procs(members, timeout=2.0)
    _signal(leader, signal.SIGKILL, wait_seconds=5.0)


def _signal(leader: Identity, number: signal.Signals | None, wait_seconds: float | None) -> None:
    """Where the process still runs, send the signal, and wait for its end where a time is given."""
    if leader.is_alive():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process = psutil.Process(leader.pid)
            if number is not None:
                process.send_signal(number)
            if wait_seconds is not None:
                process.wait(wait_seconds)


def _members(leader: Identity, marker: Mapping[str, str]) -> list[psutil.Process]:
    """The processes of the leader's group that carry the marker, without the leader."""
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if process.pid == leader.pid or os.getpgid(process.pid) != leader.pid:
                continue
            carried = process.environ()
            if all(carried.get(name) == value for name, value in marker.items()):
                members.append(process)
    return members
