"""The loop that drains by itself: it goes on through failures, and stops between two messages."""

from __future__ import annotations

import threading
from functools import partial
from uuid import UUID

import psycopg
import pytest
from sample_entries import append_all, decision

from precedent.clock import SystemClock
from precedent.db.engine import API, connect
from precedent.errors import DatabaseUnavailable
from precedent.ledger.store import chain_id_of
from precedent.people.notify import Connect
from precedent.people.outbox_loop import OutboxLoop
from precedent.people.store import Claimed

LONG = 60


@pytest.fixture
def connector(database_url: str) -> Connect:
    return partial(connect, database_url, API, autocommit=True)


@pytest.fixture
def chain_id(connector: Connect) -> UUID:
    with connector() as connection:
        return chain_id_of(connection, "main")


def test_what_is_appended_while_it_runs_is_delivered(database_url: str, connector: Connect, chain_id: UUID) -> None:
    delivered = threading.Semaphore(0)
    loop = OutboxLoop(connector, chain_id, lambda _: delivered.release(), SystemClock(), pause=lambda _: None)
    loop.start()
    try:
        for number in range(3):
            append_all(database_url, [decision(number)])
            assert delivered.acquire(timeout=LONG)
    finally:
        loop.stop()


def test_a_connection_that_was_cut_is_made_anew(database_url: str, connector: Connect, chain_id: UUID) -> None:
    delivered = threading.Semaphore(0)
    loop = OutboxLoop(connector, chain_id, lambda _: delivered.release(), SystemClock(), pause=lambda _: None)
    loop.start()
    try:
        for number in range(2):
            append_all(database_url, [decision(number)])
            assert delivered.acquire(timeout=LONG)
            with psycopg.connect(database_url, autocommit=True) as owner:
                cut = owner.execute(
                    "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity "
                    "where datname = current_database() and application_name = 'precedent'"
                ).fetchone()
            assert cut is not None
            assert cut[0] >= 1
        append_all(database_url, [decision(3)])
        assert delivered.acquire(timeout=LONG)
    finally:
        loop.stop()


def test_without_a_database_it_waits_longer_each_time_and_comes_back(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1)])
    pauses: list[float] = []
    messages: list[Claimed] = []

    def gone_for_seven_tries() -> object:
        if len(pauses) < 7:
            raise DatabaseUnavailable("planted")
        return connector()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if messages:
            loop.end()

    class Still(SystemClock):
        def random_bytes(self, count: int) -> bytes:
            return bytes(count)

    loop = OutboxLoop(gone_for_seven_tries, chain_id, messages.append, Still(), pause)  # type: ignore[arg-type]
    loop.run()
    assert len(messages) == 1
    assert pauses == [1, 2, 4, 8, 15, 15, 15, 1]


def test_stopping_waits_for_the_message_under_way_and_begins_no_other(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1), decision(2)])
    begun, let_go = threading.Event(), threading.Event()

    def deliver(_: Claimed) -> None:
        begun.set()
        assert let_go.wait(LONG)

    loop = OutboxLoop(connector, chain_id, deliver, SystemClock())
    loop.start()
    assert begun.wait(LONG)
    stopping = threading.Thread(target=loop.stop)
    stopping.start()
    loop.end()  # as `stop` does first; the thread above may not have come to it
    let_go.set()
    stopping.join(LONG)
    assert not stopping.is_alive()
    with psycopg.connect(database_url) as owner:
        rows = owner.execute("select attempts, delivered_at is not null from precedent.outbox order by id").fetchall()
    assert rows == [(1, True), (0, False)]
