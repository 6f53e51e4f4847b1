"""SQL of statements, of the leaves beside them, and of partitions that owe one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

import psycopg

from precedent.lineage.statement import Statement, statement_of

NEWEST = """
select distinct on (partition) id, seq, recorded_at, statement from precedent.asset_statements
where chain_id = %(chain)s and asset = %(asset)s and partition >= %(first)s and partition <= %(last)s and seq < %(below)s
order by partition, seq desc
"""
COUNT = "select count(*) from precedent.asset_statements where chain_id = %s and asset = %s and partition = %s"
LAST_SIZE = "select coalesce(max(ledger_size), 0) from precedent.asset_statements where chain_id = %s and asset = %s"
NOTE = """
insert into precedent.asset_partitions (chain_id, asset, partition, due_since)
select %s, a.asset, p.partition, now() from unnest(%s::text[]) a (asset) cross join unnest(%s::text[]) p (partition)
on conflict (chain_id, asset, partition) do update set due_since = coalesce(asset_partitions.due_since, excluded.due_since)
"""
DUE = "select partition from precedent.asset_partitions where chain_id = %s and asset = %s and due_since is not null order by partition"
DUE_SINCE = "select due_since from precedent.asset_partitions where chain_id = %s and asset = %s and partition = %s"
SETTLE = "update precedent.asset_partitions set due_since = null where chain_id = %s and asset = %s and partition = any (%s)"
ADD_LEAVES = "insert into precedent.asset_leaves (chain_id, entry_id, leaves) values (%s, %s, %s)"
LEAVES = "select leaves from precedent.asset_leaves where chain_id = %s and entry_id = %s"
ERASURES_SINCE = "select count(*) from precedent.erasures where chain_id = %s and seq > %s"
EVER = 2**62


def read_newest(
    connection: psycopg.Connection, chain_id: UUID, asset: str, first: str, last: str, below: int = EVER
) -> dict[str, Statement]:
    """By partition, from `first` to `last`: the newest statement among the entries below `below`."""
    parameters = {"chain": chain_id, "asset": asset, "first": first, "last": last, "below": below}
    found = (statement_of(*row) for row in connection.execute(NEWEST, parameters))
    return {one.partition: one for one in found}


def count_statements(connection: psycopg.Connection, chain_id: UUID, asset: str, partition: str) -> int:
    row = connection.execute(COUNT, (chain_id, asset, partition)).fetchone()
    return int(row[0]) if row else 0


def read_last_size(connection: psycopg.Connection, chain_id: UUID, asset: str) -> int:
    """The longest prefix that anything was stated of; 0 before the first."""
    row = connection.execute(LAST_SIZE, (chain_id, asset)).fetchone()
    return int(row[0]) if row else 0


def note_partitions(connection: psycopg.Connection, chain_id: UUID, assets: Sequence[str], days: Iterable[date]) -> None:
    """These owe a statement from now on."""
    connection.execute(NOTE, (chain_id, list(assets), [day.isoformat() for day in days]))


def read_due(connection: psycopg.Connection, chain_id: UUID, asset: str) -> list[str]:
    return [partition for (partition,) in connection.execute(DUE, (chain_id, asset))]


def read_due_since(connection: psycopg.Connection, chain_id: UUID, asset: str, partition: str) -> datetime | None:
    row = connection.execute(DUE_SINCE, (chain_id, asset, partition)).fetchone()
    return row[0] if row else None


def settle(connection: psycopg.Connection, chain_id: UUID, asset: str, partitions: Sequence[str]) -> None:
    connection.execute(SETTLE, (chain_id, asset, list(partitions)))


def add_leaves(connection: psycopg.Connection, chain_id: UUID, rows: Iterable[tuple[UUID, bytes]]) -> None:
    """By entry, beside the statement: in the transaction that appends it."""
    with connection.cursor() as cursor:
        cursor.executemany(ADD_LEAVES, [(chain_id, entry_id, leaves) for entry_id, leaves in rows])


def read_stated_leaves(connection: psycopg.Connection, chain_id: UUID, entry_id: UUID) -> bytes | None:
    row = connection.execute(LEAVES, (chain_id, entry_id)).fetchone()
    return bytes(row[0]) if row else None


def count_erasures_since(connection: psycopg.Connection, chain_id: UUID, seq: int) -> int:
    row = connection.execute(ERASURES_SINCE, (chain_id, seq)).fetchone()
    return int(row[0]) if row else 0
