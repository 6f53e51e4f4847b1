"""Reading while backends stop answering."""

from __future__ import annotations

import asyncio

from stopping import stopped_backends

from precedent.db.reads import Reads
from precedent.errors import DatabaseUnavailable


def test_a_server_that_does_not_answer_costs_its_time_and_no_more(database_url: str) -> None:
    async def run() -> tuple[float, list[tuple[object, ...]]]:
        reads = Reads(database_url, 2, fetch_seconds=0.5)
        await reads.open()
        clock = asyncio.get_running_loop().time
        try:
            await asyncio.gather(*(reads.fetch("select pg_sleep(0.05)") for _ in range(2)))  # both connections stand
            began = clock()
            with stopped_backends(database_url, "precedent reads"):
                refused = await asyncio.gather(*(reads.fetch("select 1") for _ in range(2)), return_exceptions=True)
                took = clock() - began
                assert [type(one) for one in refused] == [DatabaseUnavailable] * 2
                return took, await reads.fetch("select 1")
        finally:
            await reads.close()

    took, rows = asyncio.run(run())
    # Cancelled, psycopg would wait for up to ten seconds more.
    assert 0.5 <= took < 3
    assert rows == [(1,)], "a new connection serves the next"
