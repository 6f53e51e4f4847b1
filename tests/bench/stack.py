"""What is measured, started for real: PostgreSQL with its durable settings, the API as `python -m api`, the no-op beside it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from precedent.cli.development import publish_policies
from precedent.db import migrate
from precedent.db.embedded import DATABASE, EmbeddedPostgres
from precedent.guard.access import SCOPES, create_token
from precedent.processes.child import spawn
from precedent.settings import load_settings, project_root

START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers at `url`."""

    url: str
    process: psutil.Process


@dataclass(frozen=True, slots=True)
class Api:
    """The API with all it needs: published policies, enabled actions, a token of every scope."""

    served: Served
    token: str
    database_url: str
    home: Path


def fresh_database(server: EmbeddedPostgres, name: str) -> str:
    """URL of a new database of that name, migrated."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = server.url.replace(f"/{DATABASE}?", f"/{name}?", 1)
    migrate.upgrade(url)
    return url


def settle_disk() -> None:
    """Have the dirty pages of earlier measurements written: they would go out in portions of a hundred MB, and a commit
    behind one of them waits 50 to 120 ms."""
    os.sync()


@contextmanager
def running_api(home: Path, database_url: str) -> Iterator[Api]:
    """Default settings but for home, database, port and a token's rate."""
    publish_policies(load_settings(home=home, database_url=database_url), database_url)
    token = create_token(database_url, "bench", sorted(SCOPES))
    with _serving_api(home, database_url) as served:
        yield Api(served, token, database_url, home)


def another_process(api: Api) -> AbstractContextManager[Served]:
    """One more process of the same API: the same database, chain and keys."""
    return _serving_api(api.home, api.database_url, "second.log")


def _serving_api(home: Path, database_url: str, log_name: str = "") -> AbstractContextManager[Served]:
    port = free_port()
    environment = clean_environment(home) | {"PRECEDENT_DATABASE_URL": database_url, "PRECEDENT_API_PORT": str(port)}
    # One token asks for all: its rate is not what is measured, what counting it costs is.
    return _serving("api", port, environment | {"PRECEDENT_RATE_PER_SECOND": "1000000"}, home, log_name)


@contextmanager
def running_noop(home: Path) -> Iterator[Served]:
    port = free_port()
    with _serving("tests.bench.noop", port, clean_environment(home) | {"PRECEDENT_API_PORT": str(port)}, home) as served:
        yield served


@contextmanager
def _serving(module: str, port: int, environment: dict[str, str], home: Path, log_name: str = "") -> Iterator[Served]:
    log = home / (log_name or f"{module}.log")
    with log.open("wb") as output:
        child = spawn([sys.executable, "-m", module], environment=environment, folder=home, output=output)
    try:
        url = f"http://127.0.0.1:{port}"
        _await_ready(child, f"{url}/ready", log)
        yield Served(url, psutil.Process(child.pid))
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _await_ready(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < give_up_at:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} never answered: {log.read_text(errors='replace')[-2000:]}")


def clean_environment(home: Path) -> dict[str, str]:
    """The caller's, without what would bend the settings; no `.env` is read either, as processes start in `home`."""
    bending = {"DATABASE_URL", "PORT", "INTERNAL_JOB_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL", "SLACK_BOT_TOKEN"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRECEDENT_") and name not in bending}
    return kept | {"PRECEDENT_HOME": str(home), "PRECEDENT_ROOT": str(project_root()), "PYTHONPATH": str(project_root())}


def free_port() -> int:
    for port in random.sample(range(20_000, 60_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port among a hundred")
