"""A database that restarts in the middle of a day, and a run that begins while another derives. Nothing is seen half done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import psycopg
import pytest
from running_api import wait_until
from sample_entries import append_all, decision, outcome

from dagster_project.defs.ledger.store import ledger_cut
from precedent.clock import to_instant
from precedent.db import migrate
from precedent.db.embedded import start_embedded

DAY = "2026-03-01"
NOON = to_instant(int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000)
MARTS = ("analytics.entity_features", "analytics.decision_daily")
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
SECONDS = 120.0


def waits(url: str) -> bool:
    """Whether a session of the database waits for a lock."""
    with psycopg.connect(url) as connection:
        return connection.execute(WAITING).fetchone() != (0,)


def rows(url: str) -> list[list[tuple[Any, ...]]]:
    with psycopg.connect(url) as connection:
        return [connection.execute(f"select * from {name} order by 1, 2, 3, 4, 5, 6".encode()).fetchall() for name in MARTS]


def record(url: str) -> None:
    made = decision(1, as_of=NOON)
    append_all(url, [made, outcome(made.entry_id, 500_000, as_of=NOON)])


def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def("aggregator").execute_in_process(instance=instance, partition_key=DAY, raise_on_error=False)


class Beside(threading.Thread):
    """Something that is done beside the test; what it came to, or its error, is told by `outcome`.

    The thread lives until then: a server that it started would end with it.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._is_done, self._is_heard = threading.Event(), threading.Event()
        self._work, self._result, self._error = work, None, None  # type: ignore[var-annotated]
        self.start()

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        self._is_done.set()
        self._is_heard.wait(SECONDS)

    def outcome(self, *, stays: bool = False) -> Any:
        assert self._is_done.wait(SECONDS)
        if not stays:
            self._is_heard.set()
        if self._error:
            raise self._error
        return self._result


def test_a_second_run_waits_until_the_first_has_ended_and_cuts_later(module_database_url: str) -> None:
    record(module_database_url)

    def cut() -> int:
        with ledger_cut(module_database_url) as heads:
            return heads[0].size

    with ledger_cut(module_database_url) as heads:
        second = Beside(cut)
        wait_until(lambda: waits(module_database_url), SECONDS, "the second run to wait")
        record(module_database_url)
        assert heads[0].size == 2
    assert second.outcome() == 4


class OwnServer:
    """A server that nobody else uses; started again, it has the same data at the same address."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.start()

    def start(self) -> None:
        self.running = start_embedded(self._home)
        self.url = self.running.url


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnServer]:
    with TemporaryDirectory(prefix="precedent-") as folder:
        server = OwnServer(Path(folder))
        try:
            monkeypatch.setenv("PRECEDENT_DATABASE_URL", server.url)
            migrate.upgrade(server.url)
            yield server
        finally:
            server.running.stop()


def restart_in_the_middle(own: OwnServer) -> list[tuple[Any, ...]]:
    """Restart the server once a run waits to write its last table; that table's rows, as they are seen then."""
    # The server ends this session too, before its transaction could be ended.
    with suppress(psycopg.OperationalError), psycopg.connect(own.url) as blocker:
        blocker.execute("lock table analytics.decision_daily in access exclusive mode")
        wait_until(lambda: waits(own.url), SECONDS, "dbt to write")
        own.running.stop()
    own.start()
    return rows(own.url)[1]


@pytest.mark.long
def test_a_database_that_restarts_in_the_middle_of_a_day_costs_a_repeat_and_nothing_else(
    definitions: dg.Definitions, own: OwnServer
) -> None:
    url = own.url
    record(url)
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(definitions, instance).success
        before = rows(url)
        record(url)
        restarting = Beside(lambda: restart_in_the_middle(own))
        result = run(definitions, instance)
        assert restarting.outcome(stays=True) == before[1], "a day is replaced whole"
        assert result.success
        assert [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
        after = rows(url)
        assert after != before
        assert run(definitions, instance).success
        assert rows(url) == after
