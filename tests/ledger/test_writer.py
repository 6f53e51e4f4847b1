"""The micro-batching writer against a real database that refuses, goes away and comes back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sample_entries as sample
from stopping import stopped_backends

from precedent.db.engine import connect
from precedent.errors import DatabaseUnavailable, LedgerBroken, QueueFull
from precedent.ledger.entry import Appended, Claimed
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import ANSWERS_AT_ONCE, MAX_BATCH_ENTRIES, Writer


def with_writer(url: str, body: Callable[[Writer], Awaitable[None]], *, queue_limit: int = 2048, timeout_seconds: float = 10.0) -> None:
    async def run() -> None:
        with connect(url) as connection:
            writer = Writer(url, chain_id_of(connection, "main"), queue_limit=queue_limit, timeout_seconds=timeout_seconds)
        writer.start()
        try:
            await body(writer)
        finally:
            await writer.stop()

    asyncio.run(run())


def test_entries_stand_in_order_of_arrival(database_url: str) -> None:
    async def body(writer: Writer) -> None:
        answers = await asyncio.gather(*(writer.append(sample.event(n)) for n in range(600)))
        assert [answer.seq for answer in answers if isinstance(answer, Appended)] == list(range(600))

    with_writer(database_url, body)
    assert verify_database(database_url, processes=1).is_intact
    with connect(database_url) as connection:
        times = connection.execute("select count(distinct xmin::text) from ledger.entry").fetchone()
    assert times is not None
    assert 600 / MAX_BATCH_ENTRIES <= times[0] <= 10, "commits are shared"


def test_the_loop_turns_between_the_answers_of_one_commit(database_url: str) -> None:
    async def body(writer: Writer) -> None:
        turns = 0
        answered_in: list[int] = []

        def turn() -> None:
            nonlocal turns
            turns += 1
            asyncio.get_running_loop().call_soon(turn)

        async def one(number: int) -> None:
            await writer.append(sample.event(number))
            answered_in.append(turns)

        turn()
        await asyncio.gather(*(one(number) for number in range(MAX_BATCH_ENTRIES)))
        assert answered_in == sorted(answered_in)
        assert max(map(answered_in.count, set(answered_in))) == ANSWERS_AT_ONCE

    with_writer(database_url, body)


def test_whoever_comes_back_with_the_next_entry_finds_a_commit_that_is_worth_it(database_url: str) -> None:
    """Those who are answered first don't have theirs committed alone while the others are answered."""

    async def body(writer: Writer) -> None:
        async def produce(first: int) -> None:
            for number in range(first, first + 8):
                await writer.append(sample.event(number))

        await asyncio.gather(*(produce(8 * producer) for producer in range(MAX_BATCH_ENTRIES)))

    with_writer(database_url, body)
    with connect(database_url) as connection:
        rows = connection.execute("select count(*) from ledger.entry group by xmin::text order by max(seq)").fetchall()
    sizes = [size for (size,) in rows]
    assert sum(sizes) == 8 * MAX_BATCH_ENTRIES
    assert all(size >= MAX_BATCH_ENTRIES // 2 for size in sizes[:-2]), sizes


def test_a_refused_entry_does_not_take_its_neighbours_along(database_url: str) -> None:
    async def body(writer: Writer) -> None:
        known = sample.event(1)
        await writer.append(known)
        poison = replace(known, sections=tuple(part._replace(salt=bytes(32)) for part in known.sections))
        drafts = [sample.event(2), poison, sample.event(3), sample.policy("activate", "9.9.9"), sample.event(4)]
        answers = await asyncio.gather(*(writer.append(draft) for draft in drafts), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Appended, LedgerBroken, Appended, LedgerBroken, Appended]

    with_writer(database_url, body)
    report = verify_database(database_url, processes=1)
    assert (report.is_intact, report.size) == (True, 4)


def test_a_full_queue_refuses_at_once_and_takes_nothing(database_url: str) -> None:
    async def body(writer: Writer) -> None:
        waiting = asyncio.gather(*(writer.append(sample.event(n)) for n in range(4)))
        await asyncio.sleep(0)  # they are queued, and nothing is taken yet
        with pytest.raises(QueueFull):
            await writer.append(sample.event(5))
        assert len(await waiting) == 4
        assert isinstance(await writer.append(sample.event(7)), Appended)

    with_writer(database_url, body, queue_limit=4)
    assert verify_database(database_url, processes=1).size == 5


def test_a_connection_lost_in_flight_records_everything_once(database_url: str) -> None:
    async def body(writer: Writer) -> None:
        await writer.append(sample.event(0))
        blocker = connect(database_url)
        blocker.execute("select 1 from ledger.chain for update")
        waiting = asyncio.gather(*(writer.append(sample.event(n, claim=b"%d" % n, fingerprint=b"")) for n in range(20)))
        await terminate_blocked_writer(database_url)
        blocker.rollback()
        blocker.close()
        assert all(isinstance(answer, Appended) for answer in await waiting)

    with_writer(database_url, body)
    report = verify_database(database_url, processes=1)
    assert (report.is_intact, report.size) == (True, 21)


def test_a_commit_whose_answer_was_lost_is_found_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails, but persisted: the connection breaks after the commit, before the answer is read."""
    lost = []
    execute = psycopg.AsyncConnection.execute

    async def commit_and_break(self: psycopg.AsyncConnection, *arguments: object, **options: object) -> object:
        cursor = await execute(self, *arguments, **options)  # type: ignore[arg-type]
        if not lost:
            lost.append(cursor)
            raise psycopg.OperationalError("the connection broke after the commit")
        return cursor

    async def body(writer: Writer) -> None:
        monkeypatch.setattr(psycopg.AsyncConnection, "execute", commit_and_break)
        answers = await asyncio.gather(*(writer.append(sample.event(n, claim=b"%d" % n, fingerprint=b"")) for n in range(3)))
        assert [answer.seq for answer in answers if isinstance(answer, Appended)] == [0, 1, 2]

    with_writer(database_url, body)
    assert lost
    assert verify_database(database_url, processes=1).size == 3


def test_stopping_commits_what_waits_and_what_is_in_flight(database_url: str) -> None:
    async def body(writer: Writer) -> None:
        in_flight = asyncio.create_task(writer.append(sample.event(1)))
        while writer.queue_depth == 0:
            await asyncio.sleep(0)
        while writer.queue_depth:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(writer.append(sample.event(2)))
        await asyncio.sleep(0)
        await writer.stop()
        assert [type(answer) for answer in await asyncio.gather(in_flight, waiting)] == [Appended, Appended]
        with pytest.raises(DatabaseUnavailable, match="stopping"):
            await writer.append(sample.event(3))

    with_writer(database_url, body)
    assert verify_database(database_url, processes=1).size == 2


async def terminate_blocked_writer(url: str) -> None:
    """End the writer's session once it waits for the chain."""
    with connect(url, autocommit=True) as connection:
        while not connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'precedent writer' and wait_event_type = 'Lock'"
        ).fetchall():
            await asyncio.sleep(0)


def test_two_writers_share_a_chain_and_its_keys(database_url: str) -> None:
    async def body(first: Writer) -> None:
        async def other(second: Writer) -> None:
            drafts = [(writer, sample.event(n, claim=b"%d" % n, fingerprint=b"")) for n in range(100) for writer in (first, second)]
            answers = await asyncio.gather(*(writer.append(draft) for writer, draft in drafts))
            kinds = [type(answer) for answer in answers]
            assert (kinds.count(Appended), kinds.count(Claimed)) == (100, 100)

        with connect(database_url) as connection:
            second = Writer(database_url, chain_id_of(connection, "main"), queue_limit=1000, timeout_seconds=10)
        second.start()
        try:
            await other(second)
        finally:
            await second.stop()

    with_writer(database_url, body)
    report = verify_database(database_url, processes=1)
    assert (report.is_intact, report.size) == (True, 100)


def test_without_a_database_everyone_who_waits_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        writer = Writer(f"postgresql://nobody@/none?host={tmp_path}", uuid.uuid4(), queue_limit=10, timeout_seconds=0.2)
        writer.start()
        answers = await asyncio.gather(*(writer.append(sample.event(n)) for n in range(3)), return_exceptions=True)
        await writer.stop()
        assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 3

    asyncio.run(run())


def test_a_server_that_does_not_answer_refuses_in_time_and_the_next_goes_on(database_url: str) -> None:
    async def body(writer: Writer) -> None:
        clock = asyncio.get_running_loop().time
        await writer.append(sample.event(1))
        began = clock()
        with stopped_backends(database_url, "precedent writer"):
            with pytest.raises(DatabaseUnavailable):
                await writer.append(sample.event(2))
            took = clock() - began
            assert isinstance(await writer.append(sample.event(3)), Appended)
        # Half a second, and one of grace. Cancelled, psycopg would wait for up to ten more.
        assert 1.0 <= took < 5.0

    with_writer(database_url, body, timeout_seconds=0.5)
    # What was refused may stand there: the stopped session finds it in its socket when it goes on.
    assert verify_database(database_url, processes=1).is_intact


def test_a_long_queue_is_refused_together_when_the_database_is_away(tmp_path: Path) -> None:
    async def run() -> None:
        clock = asyncio.get_running_loop().time
        writer = Writer(f"postgresql://nobody@/none?host={tmp_path}", uuid.uuid4(), queue_limit=2048, timeout_seconds=0.5)
        writer.start()
        began = clock()
        answers = await asyncio.gather(*(writer.append(sample.event(n)) for n in range(6 * MAX_BATCH_ENTRIES)), return_exceptions=True)
        took = clock() - began
        await writer.stop()
        assert {type(answer) for answer in answers} == {DatabaseUnavailable}
        assert took < 2.0, "six batches, not one after the other"

    asyncio.run(run())
