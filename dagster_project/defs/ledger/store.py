"""SQL of the shell: how far the ledger has come, and the lock under which one run at a time derives from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import psycopg

from precedent.db.engine import PIPELINE, connect
from precedent.errors import JobRunning
from precedent.lineage.state import read_prefix

HEADS = "select chain_id, chain, size, coalesce(encode(leaf, 'hex'), ''), recorded_at from precedent.ledger_heads order by chain"

# The number is arbitrary and ours; the migration's lock is another.
PIPELINE_LOCK = 0x70726570
LOCK_TIMEOUT_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Head:
    """How far one chain had come: entries 0 to size - 1, the last of which has this leaf (empty where there is none).

    `recorded_at` is the last one's. `root` is that of the tree over them, which a run states; whoever only watches the heads has none.
    """

    chain_id: UUID
    chain: str
    size: int
    leaf_hex: str
    recorded_at: datetime | None = None
    root: bytes = b""


def read_heads(url: str) -> list[Head]:
    """The heads of all chains at this moment.

    Raises: DatabaseUnavailable.
    """
    with connect(url, PIPELINE, autocommit=True) as connection:
        return _heads(connection)


def read_root(url: str, chain_id: UUID, size: int) -> bytes:
    """Of the tree over a chain's first entries. Raises: DatabaseUnavailable; LedgerBroken where tree and entries contradict."""
    with connect(url, PIPELINE) as connection:
        return read_prefix(connection, chain_id, size).root


@contextmanager
def ledger_cut(url: str) -> Iterator[list[Head]]:
    """The heads at which one run cuts the ledger; while it is held, no other run derives.

    The lock makes cuts grow: tables that have absorbed a later one cannot be taken back to an earlier. It is the session's, so
    a crash releases it, and outside a transaction, so that a long run keeps no snapshot open.

    Raises: JobRunning when another run holds it for longer than LOCK_TIMEOUT_SECONDS; LedgerBroken where a chain's tree
    contradicts its entries; DatabaseUnavailable.
    """
    with connect(url, PIPELINE, autocommit=True) as connection:
        connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
        try:
            connection.execute("select pg_advisory_lock(%s)", (PIPELINE_LOCK,))
        except psycopg.errors.LockNotAvailable as error:
            raise JobRunning(f"couldn't begin: another run has been deriving for {LOCK_TIMEOUT_SECONDS} s") from error
        yield [replace(head, root=read_prefix(connection, head.chain_id, head.size).root) for head in _heads(connection)]


def _heads(connection: psycopg.Connection) -> list[Head]:
    return [Head(*row) for row in connection.execute(HEADS)]
