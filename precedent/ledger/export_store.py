"""SQL of the export: what it is of, and the entries that every export holds."""

from __future__ import annotations

from uuid import UUID

import psycopg

from precedent.ledger.entry import Kind

# They say what an absent section, a newer key or a decision's policy rests on, wherever they stand.
ALWAYS = (Kind.POLICY, Kind.ERASURE, Kind.KEY)

_ALWAYS = """
select seq, get_byte(envelope, 1) from ledger.entry
where chain_id = %s and seq < %s and get_byte(envelope, 1) = any(%s) order by seq
"""
_COVERING = "select size, note from ledger.checkpoint where chain_id = %s and size > %s order by size limit 1"


def read_always(connection: psycopg.Connection, chain_id: UUID, size: int) -> list[tuple[int, int]]:
    """(seq, kind) of policies, erasures and keys below `size`. One pass over all envelopes."""
    return connection.execute(_ALWAYS, (chain_id, size, [int(kind) for kind in ALWAYS])).fetchall()


def read_covering_checkpoint(connection: psycopg.Connection, chain_id: UUID, seq: int) -> tuple[int, str] | None:
    """(size, note) of the first checkpoint that covers an entry."""
    return connection.execute(_COVERING, (chain_id, seq)).fetchone()
