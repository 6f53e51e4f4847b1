"""SQL that reads stored entries for verification: a stream in order of seq, as the bytes that stand there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from precedent.ledger.entry import ENVELOPE, ENVELOPE_BYTES, leaf_of
from precedent.ledger.rows import Before, EntryRow, SectionsRow, witness_of

_ENTRIES = sql.SQL("""
copy (
    select e.seq, uuid_send(e.entry_id), e.envelope, e.leaf, e.commits,
           s.section_ids, s.salts, s.stored, p.section_ids, p.salts, p.stored
    from ledger.entry e
    left join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal and s.seq between {first} and {last}
    left join ledger.section p on p.chain_id = e.chain_id and p.seq = e.seq and p.is_personal and p.seq between {first} and {last}
    where e.chain_id = {chain} and e.seq between {first} and {last}
    order by e.seq
) to stdout (format binary)
""")
# All but a merge in the order of the keys.
_OTHER_WAYS: tuple[LiteralString, ...] = ("enable_sort", "enable_hashjoin", "enable_nestloop")
_TYPES = ["int8", "bytea", "bytea", "bytea", "bytea", "int2[]", "bytea[]", "bytea[]", "int2[]", "bytea[]", "bytea[]"]


def read_head(connection: psycopg.Connection, chain_id: UUID) -> tuple[int, bytes] | None:
    """(seq, stored leaf) of the last entry."""
    return connection.execute("select seq, leaf from ledger.entry where chain_id = %s order by seq desc limit 1", (chain_id,)).fetchone()


def first_seq_from(connection: psycopg.Connection, chain_id: UUID, seq: int) -> int:
    """The seq of the first entry at `seq` or after it; `seq` where there is none."""
    row = connection.execute(
        "select seq from ledger.entry where chain_id = %s and seq >= %s order by seq limit 1", (chain_id, seq)
    ).fetchone()
    return int(row[0]) if row else seq


def read_entries(connection: psycopg.Connection, chain_id: UUID, first: int, last: int) -> Iterator[EntryRow]:
    """The entries `first` … `last` that exist, in order of seq, one in memory at a time."""
    # Sorting a segment's bodies would spill them to disk; by the keys' indexes they come in order. The bounds stand at the
    # sections too: without them a merge reads those of all earlier segments first. Where a table was just filled and has no statistics,
    # a loop would seem cheap that reads all sections of the segment for each entry.
    for way in _OTHER_WAYS:
        connection.execute(f"set local {way} = off")
    query = _ENTRIES.format(chain=sql.Literal(chain_id), first=sql.Literal(first), last=sql.Literal(last))
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types(_TYPES)
        for seq, entry_id, envelope, leaf, commits, ids, salts, stored, own_ids, own_salts, own_stored in copy.rows():
            plain = None if ids is None else SectionsRow(ids, salts, stored)
            personal = None if own_ids is None else SectionsRow(own_ids, own_salts, own_stored)
            yield EntryRow(seq, entry_id, envelope, leaf, commits, plain, personal)
    for way in _OTHER_WAYS:
        connection.execute(f"reset {way}")


def before_at(connection: psycopg.Connection, chain_id: UUID, seq: int) -> Before | None:
    """What the entry after `seq` must continue; None where the one at `seq` is missing or no witness."""
    row = connection.execute("select envelope, leaf from ledger.entry where chain_id = %s and seq = %s", (chain_id, seq)).fetchone()
    if row is None or len(row[0]) != ENVELOPE_BYTES:
        return None
    _, _, chain_bytes, own_seq, at_us, *_ = ENVELOPE.unpack(row[0])
    return witness_of(row[1], leaf_of(row[0]), at_us) if (own_seq, chain_bytes) == (seq, chain_id.bytes) else None


def prev_leaf_at(connection: psycopg.Connection, chain_id: UUID, seq: int) -> bytes | None:
    """The leaf that the entry at `seq` continues, as its envelope says; None where there is none."""
    row = connection.execute(
        "select substr(envelope, 51, 32) from ledger.entry where chain_id = %s and seq = %s", (chain_id, seq)
    ).fetchone()
    return row[0] if row else None
