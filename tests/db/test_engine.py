"""Sessions of short transactions: bounded, and refused in one way whatever breaks."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from urllib.parse import unquote

import psycopg
import pytest
from deciding import size_of
from psycopg import sql
from stopping import stopped_backends

from precedent.db.engine import API, UTC, connect, transaction, with_options
from precedent.db.reads import Reads
from precedent.errors import DatabaseUnavailable
from precedent.guard.flags import set_flag
from precedent.settings import Settings

END_WAITING = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = 'precedent' and wait_event_type = 'Lock'
"""


def test_every_session_is_in_utc_whatever_the_database_says(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("alter database {} set timezone to 'Asia/Tokyo'").format(sql.Identifier(connection.info.dbname)))
    with psycopg.connect(database_url) as foreign, connect(database_url) as plain, connect(database_url, API) as limited:
        assert str(foreign.info.timezone) == "Asia/Tokyo"
        assert [str(one.info.timezone) for one in (plain, limited)] == ["UTC", "UTC"]

    async def read() -> str:
        reads = Reads(database_url, 1)
        await reads.open()
        try:
            (row,) = await reads.fetch("select current_setting('TimeZone')")
        finally:
            await reads.close()
        return str(row[0])

    assert asyncio.run(read()) == "UTC"


def test_options_are_added_to_those_that_stand_in_a_url() -> None:
    twice = with_options(with_options("postgres://h/d?options=-c%20work_mem%3D4MB", role="r"), statement_timeout="1")
    assert unquote(twice) == f"postgresql://h/d?options=-c work_mem=4MB {UTC} -crole=r -cstatement_timeout=1"


def test_a_connection_lost_in_an_append_is_an_outage_and_nothing_is_recorded(database_url: str, settings: Settings) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(database_url) as first,
        psycopg.connect(database_url, autocommit=True) as watch,
    ):
        first.execute("select 1 from ledger.chain for update")
        answer = pool.submit(set_flag, database_url, settings, "finance", "approve_discount", True, 1, "r", "tests")
        while not answer.done() and not watch.execute(END_WAITING).fetchall():
            pass
        assert isinstance(answer.exception(), DatabaseUnavailable)
    assert size_of(database_url) == 0


def test_a_connection_lost_before_the_commit_is_an_outage(database_url: str) -> None:
    def lose() -> None:
        with psycopg.connect(database_url, autocommit=True) as other, transaction(database_url, API) as connection:
            connection.execute("select 1")
            other.execute("select pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))

    with pytest.raises(DatabaseUnavailable):
        lose()


def test_a_server_that_does_not_answer_holds_a_transaction_for_its_time(database_url: str) -> None:
    def ask() -> None:
        with transaction(database_url, API, seconds=0.5) as connection:
            connection.execute("select 1")
            with stopped_backends(database_url, "precedent"):
                connection.execute("select 1")

    began = monotonic()
    with pytest.raises(DatabaseUnavailable):
        ask()
    assert 0.5 <= monotonic() - began < 4
