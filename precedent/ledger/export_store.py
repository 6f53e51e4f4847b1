"""SQL of the export: what it is of, and the entries that every export holds."""

from __future__ import annotations

from uuid import UUID

import psycopg

from precedent.ledger.entry import Kind

# They say what an absent section, a newer key or a decision's policy rests on, wherever they stand.
ALWAYS = (Kind.POLICY, Kind.ERASURE, Kind.KEY)

_ALWAYS = "select seq from ledger.entry where chain_id = %s and seq < %s and get_byte(envelope, 1) = any(%s) order by seq"


def read_always(connection: psycopg.Connection, chain_id: UUID, size: int) -> list[int]:
    """The seqs of policies, erasures and keys below `size`. One pass over all envelopes."""
    return [seq for (seq,) in connection.execute(_ALWAYS, (chain_id, size, [int(kind) for kind in ALWAYS]))]
