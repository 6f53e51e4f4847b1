"""Keeps programs running: starts each in a group of its own, probes it, shows a crash and starts it again, stops all in reverse.

One thread and no callbacks: whoever owns the supervisor calls `tick` until it is time to `stop`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal
from urllib.parse import urlsplit

from precedent.cli import records
from precedent.clock import Clock, to_instant
from precedent.processes.child import Identity, User, ask_to_stop, end_group, identify, spawn

State = Literal["starting", "ready", "waiting", "stopped"]

LONGEST_BACKOFF_SECONDS = 30
STABLE_AFTER_SECONDS = 60
PROBE_EVERY_SECONDS = 0.15
LOG_LIMIT_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `is_ready` answers within a second or so; `argv[0]` is an absolute path; nothing needs a leaf."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    is_ready: Callable[[], bool]
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 15.0
    user: User | None = None
    is_echoed: bool = False
    is_leaf: bool = False


@dataclass(slots=True)
class Slot:
    """One program and what became of it; owned by the supervisor."""

    program: Program
    child: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    state: State = "stopped"
    restarts: int = 0
    failures_in_row: int = 0
    changed_ns: int = 0
    next_step_ns: int = 0


@dataclass(slots=True)
class Supervisor:
    """The programs of one home, in the order they were added. `tell` receives lines for the person at the terminal."""

    home: Path
    clock: Clock
    tell: Callable[[str], None]
    slots: dict[str, Slot] = field(default_factory=dict)

    def add(self, program: Program) -> None:
        """Start a program and keep it running from now on."""
        slot = self.slots[program.name] = Slot(program)
        self._start(slot)

    def tick(self) -> None:
        """Look at every program once: notice a crash, probe what starts, start what waited long enough."""
        now = self.clock.monotonic_ns()
        for slot in self.slots.values():
            if slot.child is not None and slot.child.poll() is not None:
                self._note_crash(slot, slot.child.returncode)
            elif slot.state == "waiting" and now >= slot.next_step_ns:
                slot.restarts += 1
                self._start(slot)
            elif slot.state == "starting" and now >= slot.next_step_ns:
                slot.next_step_ns = now + int(PROBE_EVERY_SECONDS * 1e9)
                if slot.program.is_ready():
                    self._set(slot, "ready")
                    if slot.restarts:
                        self.tell(f"{slot.program.name} is back")

    def is_ready(self, *names: str) -> bool:
        """Whether the named programs, or all, are ready."""
        return all(self.slots[name].state == "ready" for name in names or self.slots)

    def stop(self) -> None:
        """End every program with all that it started: leaves at the same time, then the others, the last added first."""
        leaves = [slot for slot in self.slots.values() if slot.program.is_leaf]
        for slot in leaves:
            if slot.child is not None and slot.identity is not None:
                ask_to_stop(slot.identity, slot.program.stop_signal)
        for slot in (*leaves, *reversed([slot for slot in self.slots.values() if not slot.program.is_leaf])):
            self._end(slot, is_asked=slot.program.is_leaf)
            self._set(slot, "stopped")
            records.remove(self.home, slot.program.name)

    def _start(self, slot: Slot) -> None:
        program = slot.program
        with contextlib.ExitStack() as stack:
            output = None if program.is_echoed else stack.enter_context(open_log(log_path(self.home, program.name)))
            slot.child = spawn(
                program.argv,
                environment={**program.environment, **records.marker(self.home)},
                folder=program.folder,
                output=output,
                death_signal=program.stop_signal,
                user=program.user,
            )
        slot.identity = identify(slot.child.pid)
        slot.next_step_ns = 0
        self._set(slot, "starting")

    def _note_crash(self, slot: Slot, code: int) -> None:
        was_stable = slot.state == "ready" and self.clock.monotonic_ns() - slot.changed_ns > STABLE_AFTER_SECONDS * 1e9
        slot.failures_in_row = 1 if was_stable else slot.failures_in_row + 1
        delay_seconds = min(LONGEST_BACKOFF_SECONDS, 2 ** (slot.failures_in_row - 1))
        self._end(slot)
        slot.next_step_ns = self.clock.monotonic_ns() + delay_seconds * 1_000_000_000
        self._set(slot, "waiting")
        path = log_path(self.home, slot.program.name)
        tail = "".join(f"\n    {line}" for line in last_lines(path, 5))
        self.tell(
            f"{slot.program.name} ended unexpectedly ({describe_exit(code)}); starting it again in {delay_seconds} s. {path} ends:{tail}"
        )

    def _end(self, slot: Slot, *, is_asked: bool = False) -> None:
        if slot.child is None:
            return
        if slot.identity is not None:
            stop_signal = None if is_asked else slot.program.stop_signal
            end_group(slot.identity, stop_signal, slot.program.grace_seconds, records.marker(self.home))
        slot.child.wait()
        slot.child = None

    def _set(self, slot: Slot, state: State) -> None:
        slot.state = state
        slot.changed_ns = self.clock.monotonic_ns()
        if slot.identity is None:
            return
        record = records.Record(
            name=slot.program.name,
            state=state,
            pid=slot.identity.pid,
            started_at=slot.identity.started_at,
            since=to_instant(self.clock.now_us()),
            restarts=slot.restarts,
            stop_signal=int(slot.program.stop_signal),
            grace_seconds=slot.program.grace_seconds,
            addresses={},
        )
        records.write(self.home, record)


def answers(url: str, timeout_seconds: float = 1.0) -> bool:
    """Whether a GET of the address gives a 2xx; no proxy is asked."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_seconds)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        answer.read()
        return 200 <= answer.status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def log_path(home: Path, name: str) -> Path:
    return home / "logs" / f"{name}.log"


def open_log(path: Path) -> IO[bytes]:
    """The log, opened to append; past its limit the old one is kept beside it as `.1`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log, none where there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def describe_exit(code: int) -> str:
    """`exit 3`, or the signal's name."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
