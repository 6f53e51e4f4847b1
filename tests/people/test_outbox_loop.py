"""The loop that drains by itself: it goes on through failures, and stops between two messages."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
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
from precedent.people.store import Claimed, forget_delivered

LONG = 60
AGE = """
update precedent.outbox set delivered_at = now() - %s * interval '1 day', dead_at = case when %s then now() end where id = %s
"""


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


def aged(url: str, *days: int | None, is_dead: bool = False) -> list[int]:
    """Messages that were delivered so many days ago, or not at all."""
    append_all(url, [decision(n + 1) for n in range(len(days))])
    with psycopg.connect(url) as owner:
        ids = [row[0] for row in owner.execute("select id from precedent.outbox order by id desc limit %s", (len(days),))][::-1]
        for message, age in zip(ids, days, strict=True):
            owner.execute(AGE, (age, is_dead, message))
    return ids


def test_what_was_delivered_long_ago_goes_in_batches_and_nothing_else(
    database_url: str, connector: Connect, chain_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("precedent.people.outbox_loop.FORGET_BATCH", 2)
    ids = aged(database_url, 31, 40, 35, 32, 33, 29, 1, None, 60)
    with psycopg.connect(database_url) as owner:
        owner.execute("update precedent.outbox set dead_at = now() where id in (%s, %s)", (ids[-1], ids[-2]))
    left: list[list[int]] = []

    def pause(_: float) -> None:
        with psycopg.connect(database_url) as owner:
            left.append([row[0] for row in owner.execute("select id from precedent.outbox order by id")])
        if len(left) == 5:
            loop.end()

    def refuse(_: Claimed) -> None:
        raise AssertionError("nothing is due")

    loop = OutboxLoop(connector, chain_id, refuse, SystemClock(), pause, keep_days=30)
    loop.run()
    oldest_first = [ids[n] for n in (1, 2, 4, 3, 0)]
    assert left == [[one for one in ids if one not in oldest_first[:gone]] for gone in (2, 4, 5, 5, 5)]


def test_whoever_may_remove_messages_may_not_remove_what_is_new_waits_or_is_dead(
    database_url: str, connector: Connect, chain_id: UUID
) -> None:
    ids = aged(database_url, 0, None, 2)
    dead = aged(database_url, 2, is_dead=True)
    with connector() as connection:
        assert forget_delivered(connection, chain_id, datetime(9999, 1, 1, tzinfo=UTC), 100) == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from precedent.outbox")
        rows = [row[0] for row in connection.execute("select id from precedent.outbox order by id")]
    assert rows == sorted([*ids[:2], *dead])


def test_without_a_time_to_keep_them_nothing_is_removed(database_url: str, connector: Connect, chain_id: UUID) -> None:
    aged(database_url, 4000)

    def pause(_: float) -> None:
        loop.end()

    loop = OutboxLoop(connector, chain_id, lambda _: None, SystemClock(), pause)
    loop.run()
    with psycopg.connect(database_url) as owner:
        assert owner.execute("select count(*) from precedent.outbox").fetchone() == (1,)
