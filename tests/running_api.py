"""A real API for tests: an installation that is ready to decide, and processes of `python -m api` that serve it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import orjson
from pydantic import SecretStr

from precedent.guard.access import SCOPES, create_token
from precedent.guard.flags import set_flag
from precedent.policy.registry import publish_folder
from precedent.settings import Settings, load_settings, project_root

INTERNAL_TOKEN = "internal-token-of-the-tests"
FINANCE_REF = "finance-constitution@1.1.0"  # what the shipped policies leave active for discounts
START_SECONDS = 60.0
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing answers there


@dataclass(frozen=True, slots=True)
class Installation:
    """A migrated database with the shipped policies active, their actions enabled, and a token with every right."""

    settings: Settings
    database_url: str
    token: str


def install(database_url: str, home: Path, **overrides: object) -> Installation:
    """Make a migrated database ready to decide. Its Dagster is nowhere: the default address may be somebody's running one."""
    fixed: dict[str, object] = {"dagster_url": NOWHERE, "internal_job_token": SecretStr(INTERNAL_TOKEN)}
    settings = load_settings(database_url=SecretStr(database_url), home=home, **fixed | overrides)
    published = publish_folder(database_url, settings, project_root() / "policies", "tests")
    for node, action in sorted({(one.node, action) for one in published for action in one.actions}):
        set_flag(database_url, settings, node, action, True, 3, "tests", "tests")
    return Installation(settings, database_url, create_token(database_url, "tests", sorted(SCOPES)))


class ApiProcess:
    """One running process; its log lines are kept in `log`."""

    def __init__(self, installation: Installation, log: Path, port: int, *program: str, **environment: str) -> None:
        """`program` is what Python runs in place of the API, with `environment` besides."""
        self.settings = installation.settings
        self.database_url = installation.database_url
        self.token = installation.token
        self.log = log
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.start(*program, **environment)

    def start(self, *program: str, **environment: str) -> None:
        """Begin, or begin anew at the same address after the end of the process before."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *(program or ("-m", "api"))],
                cwd=project_root(),
                env=environment_of(self.settings, self.port) | environment,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
            )

    def client(self, **headers: str) -> httpx2.Client:
        """A client with the token of every right."""
        return httpx2.Client(base_url=self.url, headers={"authorization": f"Bearer {self.token}", **headers}, timeout=30, trust_env=False)

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the API ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
        try:
            return httpx2.get(f"{self.url}/ready", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def drain(self) -> int:
        """SIGTERM; the exit status once it has ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def log_lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines()]


def environment_of(settings: Settings, port: int) -> dict[str, str]:
    """What an API process with these settings reads; nothing of the caller's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRECEDENT_") and name not in {"DATABASE_URL", "PORT"}}
    given = {
        f"PRECEDENT_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in settings
        if value is not None and name in settings.model_fields_set
    }
    return kept | given | {"PRECEDENT_API_PORT": str(port)}


@contextmanager
def serve(installation: Installation, folder: Path, count: int = 1) -> Iterator[list[ApiProcess]]:
    """So many ready API processes on one database; killed at the end, if they still run."""
    serving: list[ApiProcess] = []
    try:
        for port in free_ports(count):
            serving.append(ApiProcess(installation, folder / f"api-{port}.log", port))
        for one in serving:
            wait_until(one.is_ready, START_SECONDS, f"{one.url} to be ready")
        yield serving
    finally:
        for one in serving:
            one.kill()


def free_ports(count: int) -> Sequence[int]:
    """Ports that nobody listens on, away from those that installations use by default and that outgoing connections are given."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once `condition` holds; an AssertionError when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    pause = Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        pause.wait(0.02)
