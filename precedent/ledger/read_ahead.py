"""Reads the next block of leaves while the one before is hashed: the server's processor works beside ours."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import psycopg

from precedent.ledger import tile_store
from precedent.ledger.leaves import LeafBlock


class ReadAhead:
    """For one chain and one thread. What stands in the ledger never changes, so a block read early is as good as one read late."""

    def __init__(self, chain_id: UUID) -> None:
        self._chain_id = chain_id
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ledger-read-ahead")
        self._next: tuple[tuple[int, int], Future[LeafBlock]] | None = None

    def take(self, connection: psycopg.Connection, first: int, count: int) -> LeafBlock:
        """The entries from `first` on, `count` at most; behind a full block the next is being read from now on.

        The same connection serves both: psycopg lets one statement follow the other. Raises: psycopg.Error.
        """
        ahead, self._next = self._next, None
        is_wanted = ahead is not None and ahead[0] == (first, count)
        block = ahead[1].result() if ahead and is_wanted else tile_store.read_leaves(connection, self._chain_id, first, count)
        if block.count == count:
            future = self._pool.submit(tile_store.read_leaves, connection, self._chain_id, first + count, count)
            self._next = ((first + count, count), future)
        return block

    def forget(self) -> None:
        """The connection is given up; a read that is under way ends with it."""
        self._next = None
