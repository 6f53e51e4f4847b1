"""The machine, as far as it explains the numbers: no names, no addresses, no paths."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil
import psycopg

# Above this share of its cores in use before anything was started, a machine is not ours alone.
QUIET_LOAD_PER_CORE = 0.25
_FLUSHES = 100


def describe_machine(url: str, folder: Path, load_average: tuple[float, float, float], client: str) -> dict[str, str]:
    """What to print, in order; `folder` is on the disk that the database uses."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')"
        ).fetchone()
    assert row is not None
    cores = os.cpu_count() or 1
    return {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Processor": f"{_processor()}, {cores} cores, shared by client, API and database",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version() + (", the distribution's build" if sys.base_prefix == "/usr" else ""),
        "PostgreSQL": f"{row[0]}, fsync {row[1]}, synchronous_commit {row[2]}",
        "Flush to disk": f"{_flush_ms(folder):.2f} ms (median of {_FLUSHES} writes of 8 KiB, each with fdatasync)",
        "Load from": client,
        "Load average at start": " ".join(f"{value:.2f}" for value in load_average),
    }


def is_quiet(load_average: tuple[float, float, float]) -> bool:
    return load_average[0] <= QUIET_LOAD_PER_CORE * (os.cpu_count() or 1)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _flush_ms(folder: Path) -> float:
    """What a commit can't be faster than: it tells a disk from a memory that calls itself one."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FLUSHES):
            began = perf_counter()
            os.pwrite(file.fileno(), bytes(8192), 0)
            os.fsync(file.fileno()) if not hasattr(os, "fdatasync") else os.fdatasync(file.fileno())
            took.append(perf_counter() - began)
    return median(took) * 1000
