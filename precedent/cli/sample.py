"""The sample data of a fresh home: one run of `precedent simulate` beside the programs, its progress bar on the terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from precedent.cli import records
from precedent.cli.supervise import describe_exit
from precedent.processes.child import Identity, end_group, identify, spawn

ARGUMENTS = ("simulate", "--seed", "7", "--days", "30", "--rate", "40")


@dataclass(slots=True)
class SampleLoad:
    """Loads once a home: a stamp says that it was done. An interrupted load starts over at the next start, without doubles."""

    home: Path
    tell: Callable[[str], None]
    child: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None

    @property
    def stamp(self) -> Path:
        return self.home / "sample-loaded"

    def is_due(self) -> bool:
        return not self.stamp.exists()

    def is_running(self) -> bool:
        return self.child is not None

    def start(self, environment: Mapping[str, str]) -> None:
        self.tell("loading sample data: 30 days of a deal desk that never was")
        argv = (sys.executable, "-m", "precedent.cli.main", *ARGUMENTS)
        self.child = spawn(argv, environment=environment, folder=Path(os.curdir).resolve(), output=None)
        self.identity = identify(self.child.pid)

    def tick(self) -> None:
        """Notice the end of the load."""
        if self.child is None or (code := self.child.poll()) is None:
            return
        self.child = None
        if code == 0:
            self.stamp.touch()
        else:
            self.tell(f"couldn't load the sample data ({describe_exit(code)}); the next start tries again, --no-sample goes without")

    def stop(self) -> None:
        if self.child is not None and self.identity is not None:
            end_group(self.identity, signal.SIGTERM, 5.0, records.marker(self.home))
            self.child.wait()
