"""What runs under a home, one file a process in home/run, so that another command can show it or clean up after a crash.

A record is a claim, not a fact: it counts only while the process of that id and start time is alive.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from precedent.errors import PrecedentError
from precedent.processes.child import Identity, end_group

SUPERVISOR = "supervisor"


class AlreadyRunning(PrecedentError):
    """Another supervisor holds this home."""

    code = "ALREADY_RUNNING"


@dataclass(frozen=True, slots=True)
class Record:
    """One process. `since` is the instant of the last change of `state`; `addresses` is filled for the supervisor alone."""

    name: str
    state: str
    pid: int
    started_at: float
    since: str
    restarts: int
    stop_signal: int
    grace_seconds: float
    addresses: dict[str, str]

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.started_at)


def run_dir(home: Path) -> Path:
    """Folder of the records; made where absent."""
    folder = home / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(home: Path, record: Record) -> None:
    """Put the record in place of an older one, whole or not at all."""
    path = run_dir(home) / f"{record.name}.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(record)))
    fresh.replace(path)


def remove(home: Path, name: str) -> None:
    (run_dir(home) / f"{name}.json").unlink(missing_ok=True)


def read_all(home: Path) -> list[Record]:
    """Every record, oldest process first; one that can't be read is skipped, as a crash may leave it."""
    records = []
    for path in (home / "run").glob("*.json"):
        try:
            records.append(Record(**json.loads(path.read_text())))
        except (FileNotFoundError, ValueError, TypeError):
            continue
    return sorted(records, key=lambda record: record.started_at)


def supervisor_of(home: Path) -> Record | None:
    """The supervisor that runs this home now."""
    return next((record for record in read_all(home) if record.name == SUPERVISOR and record.identity.is_alive()), None)


def end_leftovers(home: Path) -> list[str]:
    """End what a dead supervisor left under this home, youngest first; the names of what still ran."""
    ended = []
    for record in reversed(read_all(home)):
        if record.name != SUPERVISOR:
            if record.identity.is_alive():
                ended.append(record.name)
            end_group(record.identity, signal.Signals(record.stop_signal), record.grace_seconds, marker(home))
        remove(home, record.name)
    return ended


def marker(home: Path) -> dict[str, str]:
    """The variable by which processes of this home are told from others."""
    return {"PRECEDENT_HOME": str(home)}


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Held by the one supervisor of a home; the kernel lets go of it when that process dies.

    Raises: AlreadyRunning.
    """
    with (run_dir(home) / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise AlreadyRunning(
                f"precedent already runs from {home} (process {file.read().strip()}): `precedent down` stops it"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
