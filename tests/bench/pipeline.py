"""The morning's jobs over some days, in a process of their own, and what they took."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil
import psycopg

from tests.bench.cpu import cpu_seconds
from tests.bench.report import Goal, Part
from tests.bench.singles import LOG_CASES, import_rate
from tests.bench.stack import Api

SAMPLE_SECONDS = 0.05
DAYS = """
select min(known_at at time zone 'UTC')::date, max(known_at at time zone 'UTC')::date
from (select known_at from precedent.decisions where imported union all select known_at from precedent.outcomes where imported) k
"""
BACKFILL_NOTE = (
    f"*Backfill*: the {LOG_CASES:,} applications of the real loan log with their outcomes, imported through the API, then all their days "
    "as one run of the morning's jobs."
)


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """Seconds by asset, as Dagster timed its steps, in all, and the peak of memory; processor time is that of PostgreSQL besides."""

    steps: dict[str, float]
    seconds: float
    cpu_seconds: float
    peak_mb: float


def measure_backfill(api: Api, home: Path, postgres: psutil.Process) -> Part | None:
    """All days of the real log in one run; None where the log is absent."""
    if import_rate(api, LOG_CASES) is None:
        return None
    with psycopg.connect(api.database_url) as connection:
        row = connection.execute(DAYS).fetchone()
    assert row is not None
    first, last = row
    run = run_days(api.database_url, home, postgres, first, last)
    steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.steps.items())
    return Part(
        goals=(Goal(f"backfill of the loan log's {(last - first).days + 1} days", run.seconds / 60, 10, " min", at_least=False),),
        rows=(["backfill of the loan log", f"{steps}; {run.peak_mb:.0f} MB"],),
        note=BACKFILL_NOTE,
    )


def run_days(url: str, home: Path, postgres: psutil.Process, first: date, last: date) -> PipelineRun:
    """The jobs over these days in a process of their own. Whatever else uses this server meanwhile is counted too.

    Raises: subprocess.CalledProcessError where a step failed.
    """
    environment = os.environ | {
        **{"PRECEDENT_HOME": str(home / "pipeline"), "PRECEDENT_DATABASE_URL": url},
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "tests.bench.pipeline_run", first.isoformat(), last.isoformat()]
    began = _cpu_seconds(postgres)
    child = psutil.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = _Peak(child)
    peak.start()
    out, errors = child.communicate()
    peak.stop()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command, out, errors[-4000:])
    steps: dict[str, float] = json.loads(out.splitlines()[-1])
    spent = _cpu_seconds(postgres) - began
    return PipelineRun({name: seconds for name, seconds in steps.items() if name != "all"}, steps["all"], spent, peak.mb)


def _cpu_seconds(postgres: psutil.Process) -> float:
    """Of the server, and of what this process has started and waited for."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_seconds(postgres) + ended.ru_utime + ended.ru_stime


class _Peak(threading.Thread):
    """Looks at what a process and its children hold together, as long as it runs."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.mb = 0.0
        self._process = process
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            held = 0
            with suppress(psutil.Error):
                for process in [self._process, *self._process.children(recursive=True)]:
                    with suppress(psutil.Error):
                        held += process.memory_info().rss
            self.mb = max(self.mb, held / 1e6)

    def stop(self) -> None:
        self._ended.set()
        self.join()
