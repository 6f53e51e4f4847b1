"""The sample data of a fresh home: `precedent simulate`, then `precedent backfill`, beside the programs, on the terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from precedent.cli import records
from precedent.cli.supervise import describe_exit
from precedent.processes.child import Identity, end_group, identify, spawn

DAYS = "30"
LOAD = ("simulate", "--seed", "7", "--days", DAYS, "--rate", "40")
AGGREGATE = ("backfill", "--days", DAYS)


@dataclass(slots=True)
class SampleLoad:
    """Loads once a home: a stamp says that it was done. An interrupted load starts over at the next start, without doubles."""

    home: Path
    tell: Callable[[str], None]
    waiting: list[tuple[str, ...]] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    child: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None

    @property
    def stamp(self) -> Path:
        return self.home / "sample-loaded"

    def is_due(self) -> bool:
        return not self.stamp.exists()

    def is_running(self) -> bool:
        return self.child is not None

    def start(self, environment: Mapping[str, str], *, with_pipeline: bool) -> None:
        self.tell(f"loading sample data: {DAYS} days of a deal desk that never was")
        self.environment = environment
        self.waiting = [LOAD, AGGREGATE] if with_pipeline else [LOAD]
        self._start_next()

    def tick(self) -> None:
        """Notice the end of a step, and begin the next."""
        if self.child is None or (code := self.child.poll()) is None:
            return
        self.child = None
        if code != 0:
            self.tell(f"couldn't load the sample data ({describe_exit(code)}); the next start tries again, --no-sample goes without")
        elif self.waiting:
            self.tell("computing features and daily figures from it")
            self._start_next()
        else:
            self.stamp.touch()

    def _start_next(self) -> None:
        argv = (sys.executable, "-m", "precedent.cli.main", *self.waiting.pop(0))
        self.child = spawn(argv, environment=self.environment, folder=Path(os.curdir).resolve(), output=None)
        self.identity = identify(self.child.pid)

    def stop(self) -> None:
        if self.child is not None and self.identity is not None:
            end_group(self.identity, signal.SIGTERM, 5.0, records.marker(self.home))
            self.child.wait()
