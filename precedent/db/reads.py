"""Reading from the API's hot way: a small pool under the API's role, and look-ups that share one round trip.

Requests in flight ask for rows by key; while one query is on its way, keys gather for the next. A saved round trip of the
driver is worth more than any saved millisecond of SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from precedent.db.engine import API, Deadline, with_options
from precedent.errors import DatabaseUnavailable, LedgerBroken

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WAIT_SECONDS = 2.0
STATEMENT_SECONDS = 5.0
# Past the server's own limit the server does not answer at all.
FETCH_SECONDS = STATEMENT_SECONDS + 1


class Reads:
    """A pool of reading connections; every failure to reach the database is DatabaseUnavailable."""

    def __init__(self, url: str, size: int, fetch_seconds: float = FETCH_SECONDS) -> None:
        self._size = size
        self._fetch_seconds = fetch_seconds
        # The role may not write where it matters; read-only besides, so that no read ever takes a lock by mistake.
        options = with_options(url, role=API, default_transaction_read_only="on", statement_timeout=f"{STATEMENT_SECONDS * 1000:.0f}")
        self._pool = AsyncConnectionPool(
            options,
            min_size=1,
            max_size=size,
            timeout=WAIT_SECONDS,
            kwargs={"autocommit": True, "application_name": "precedent reads", "connect_timeout": 3},
            open=False,
            reconnect_timeout=5,
        )

    async def open(self) -> None:
        """Start filling the pool; does not wait for the database."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    async def fetch(
        self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = (), *, prepare: bool | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows of one statement. A connection that died since its last use costs another try, never an error; one whose
        server does not answer costs `fetch_seconds` and is given up. With `prepare` False it is planned for these very parameters.

        Raises: DatabaseUnavailable; psycopg.Error where the database answers and refuses: a right or a table is missing.
        """
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + self._fetch_seconds
        for attempt in range(self._size + 1):
            try:
                async with self._pool.connection() as connection:
                    with Deadline(connection, give_up_at - clock()):
                        cursor = await connection.execute(statement.encode(), parameters, prepare=prepare)
                        return await cursor.fetchall()
            except PoolTimeout as error:
                raise DatabaseUnavailable("couldn't read: no connection to the database") from error
            except (psycopg.errors.QueryCanceled, psycopg.OperationalError) as error:
                if attempt == self._size or isinstance(error, psycopg.errors.QueryCanceled) or clock() >= give_up_at:
                    raise DatabaseUnavailable(f"couldn't read: {error}") from error
        raise AssertionError("unreachable")

    async def fetch_one(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> tuple[Any, ...] | None:
        """Raises: as `fetch`."""
        rows = await self.fetch(statement, parameters)
        return rows[0] if rows else None


class SharedLookup(Generic[K, V]):
    """`get(key)` for many requests at once by one `fetch(keys)` at a time; absent keys give None.

    A key whose row is broken has the fault in place of its value: it fails whoever asked for that key, and nobody beside them.
    """

    def __init__(self, fetch: Callable[[list[K]], Awaitable[Mapping[K, V | LedgerBroken]]]) -> None:
        self._fetch = fetch
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._is_running = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V | None:
        """Raises: what `fetch` raised, or has for this key."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
        if not self._is_running:
            self._is_running = True
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        # Shielded: a request that is cancelled must not take the answer from the others that wait for the same key.
        return await asyncio.shield(future)

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                found = await self._fetch(list(batch))
            except Exception as error:
                for future in batch.values():
                    _fail(future, error)
            else:
                for key, future in batch.items():
                    value = found.get(key)
                    if isinstance(value, LedgerBroken):
                        _fail(future, value)
                    else:
                        future.set_result(value)
        self._is_running = False


def _fail(future: asyncio.Future[V], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # whoever waited may be gone
