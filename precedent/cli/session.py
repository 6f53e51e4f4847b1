"""One run of everything: what starts in which order, when all of it stands, and what the person at the terminal is told."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

import typer

from precedent.cli import development, ports, programs, records
from precedent.cli.sample import SampleLoad
from precedent.cli.status import addresses_of
from precedent.cli.supervise import Supervisor, log_path, open_log
from precedent.clock import Clock, to_instant
from precedent.db import embedded
from precedent.errors import PrecedentError
from precedent.processes.child import identify
from precedent.settings import Settings

TICK_SECONDS = 0.05
START_LIMIT_SECONDS = 300
HOPELESS_AFTER_FAILURES = 4
FIRST_DECISION = (
    '{"action": "approve_discount", "facts": {"deal_value": 12000, "base_margin_pct": 0.31, '
    '"requested_discount_pct": 0.08, "customer_tier": "A"}}'
)


class StartFailed(PrecedentError):
    """Something does not come up."""

    code = "START_FAILED"


@dataclass(frozen=True, slots=True)
class Choice:
    """What to start besides PostgreSQL and the API."""

    has_dagster: bool = True
    has_docs: bool = True
    has_sample: bool = True
    has_reload: bool = False


@dataclass(slots=True)
class Session:
    """Everything that one `precedent up` runs; `start`, `run_until` as often as wanted, then `stop` in any case."""

    settings: Settings
    choice: Choice
    clock: Clock
    supervisor: Supervisor = field(init=False)
    sample: SampleLoad = field(init=False)
    began_ns: int = field(init=False)
    environment: dict[str, str] = field(default_factory=dict)
    token: str = ""
    has_announced: bool = False
    has_settled: bool = False

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.settings.home_dir, self.clock, tell)
        self.sample = SampleLoad(self.settings.home_dir, tell)
        self.began_ns = self.clock.monotonic_ns()

    def start(self) -> None:
        """Start all programs; the API first, since people wait for it, and the rest beside it.

        Raises: PortTaken; StartFailed, DatabaseUnavailable when the database does not come up.
        """
        settings, choice = self.settings, self.choice
        for name in records.end_leftovers(settings.home_dir):
            tell(f"ended {name}, left over from a run that was killed")
        ports.refuse_taken(ports.places(settings, with_dagster=choice.has_dagster, with_docs=choice.has_docs))
        self._record("starting")
        url = self._start_database()
        prepare_database(url)
        self.environment = programs.child_environment(settings, url, development.internal_token(settings, self.clock))
        if settings.signer == "process":
            self.supervisor.add(programs.signer_program(settings, self.environment))
            self.run_until(lambda: self.supervisor.is_ready("signer"))
        self.supervisor.add(programs.api_program(settings, self.environment, with_reload=choice.has_reload))
        if settings.mode == "development":
            self.token = development.development_token(settings, url)
            for line in development.publish_policies(settings, url):
                tell(line)
        if choice.has_dagster:
            programs.write_dagster_home(settings.home_dir)
            for program in programs.dagster_programs(settings, self.environment, self.clock.now_us()):
                self.supervisor.add(program)
        if choice.has_docs:
            self.supervisor.add(programs.docs_program(settings, self.environment))

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Keep everything running until `is_done`.

        Raises: StartFailed when, before all was ready once, that can no longer be hoped for.
        """
        while not is_done():
            self.supervisor.tick()
            self.sample.tick()
            if "api" in self.supervisor.slots and self.supervisor.is_ready("api") and not self.has_announced:
                self._announce_api()
            if not self.has_settled:
                self._give_up_when_hopeless()
            time.sleep(TICK_SECONDS)

    def is_settled(self) -> bool:
        """Whether all programs are ready and the sample data, where due, is loaded."""
        return self.has_announced and self.supervisor.is_ready() and not self.sample.is_running()

    def announce_settled(self) -> None:
        self.has_settled = True
        self._record("ready")
        tell(f"everything is ready after {self._seconds():.1f} s; Ctrl-C or `precedent down` stops it")

    def open_own_log(self) -> IO[bytes]:
        return open_log(log_path(self.settings.home_dir, "up"))

    def stop(self) -> None:
        """End everything, PostgreSQL last."""
        self.sample.stop()
        self.supervisor.stop()
        records.remove(self.settings.home_dir, records.SUPERVISOR)

    def _start_database(self) -> str:
        """The URL of a database that answers: the configured one, or the embedded one started here."""
        if self.settings.database_url is not None:
            return self.settings.database_url.get_secret_value()
        command = embedded.prepare_server(self.settings.home_dir)
        self.supervisor.add(programs.postgres_program(command))
        self.run_until(lambda: self.supervisor.is_ready("postgres"))
        return command.url

    def _give_up_when_hopeless(self) -> None:
        home = self.settings.home_dir
        for name, slot in self.supervisor.slots.items():
            if slot.failures_in_row >= HOPELESS_AFTER_FAILURES:
                raise StartFailed(f"couldn't start {name}: it ended {slot.failures_in_row} times in a row; see {log_path(home, name)}")
        if self._seconds() > START_LIMIT_SECONDS and not self.sample.is_running():
            late = ", ".join(name for name, slot in self.supervisor.slots.items() if slot.state != "ready")
            raise StartFailed(f"couldn't start {late} within {START_LIMIT_SECONDS} s; see {home / 'logs'}")

    def _announce_api(self) -> None:
        """Tell the addresses and a first call, and begin what needs the API."""
        self.has_announced = True
        addresses = addresses_of(self.settings)
        tell(f"the API is ready after {self._seconds():.1f} s")
        tell(f"  API      {addresses['api_url']}  (pages: /docs)")
        if self.choice.has_dagster:
            tell(f"  Dagster  {addresses['dagster_url']}")
        if self.choice.has_docs:
            tell(f"  dbt docs {addresses['docs_url']}")
        if self.token:
            tell(f"  token    {self.token}")
            tell("A first decision:")
            tell(first_call(addresses["api_url"], self.token))
        if self.choice.has_sample and self.token and self.sample.is_due():
            self.sample.start(self.environment, with_pipeline=self.choice.has_dagster)

    def _record(self, state: str) -> None:
        """Say in home/run that this process supervises the home, and where things are."""
        identity = identify(os.getpid())
        if identity is None:
            raise StartFailed("couldn't read this process's own start time")
        since = to_instant(self.clock.now_us())
        addresses = addresses_of(self.settings)
        record = records.Record(records.SUPERVISOR, state, identity.pid, identity.started_at, since, 0, 15, 60.0, addresses)
        records.write(self.settings.home_dir, record)

    def _seconds(self) -> float:
        return (self.clock.monotonic_ns() - self.began_ns) / 1e9


def prepare_database(url: str) -> None:
    """Migrations, roles, and the schema of Dagster's storage."""
    from precedent.db.engine import connect
    from precedent.db.migrate import upgrade
    from precedent.db.store import ensure_schema

    upgrade(url)
    with connect(url) as connection:
        ensure_schema(connection, programs.DAGSTER_SCHEMA)


def first_call(api_url: str, token: str) -> str:
    """A `curl` to paste: the finance decision of the README."""
    return (
        f"  curl -s {api_url}/decisions/finance -H 'Authorization: Bearer {token}' \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{FIRST_DECISION}'"
    )


def tell(line: str) -> None:
    """Show a line to the person at the terminal; a terminal that was closed must not keep us from stopping the programs."""
    with contextlib.suppress(OSError):
        typer.echo(line)
