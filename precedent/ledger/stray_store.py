"""SQL that finds rows of the record, and of what was derived from it, that no entry, chain or subject accounts for."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg

from precedent.ledger.projection_store import TABLES

_CHAINS = """
with recursive c as (
    (select chain_id from {table} order by chain_id limit 1)
    union all
    select (select t.chain_id from {table} t where t.chain_id > c.chain_id order by t.chain_id limit 1) from c where c.chain_id is not null
)
select chain_id from c where chain_id is not null and not exists (select 1 from ledger.chain where id = c.chain_id)
"""
CHAINED = (
    "ledger.entry",
    "ledger.section",
    "ledger.subject_key",
    "ledger.tile",
    "ledger.checkpoint",
    "precedent.subjects",
    *(f"precedent.{table}" for table in TABLES),
)


def stray_chains(connection: psycopg.Connection) -> Iterator[tuple[str, UUID]]:
    """(table, chain id) of rows that stand under a chain which does not exist; a few look-ups in an index each."""
    for table in CHAINED:
        for (chain_id,) in connection.execute(_CHAINS.format(table=table).encode()):
            yield table, chain_id


_STRAY_SECTIONS = """
select s.seq, s.is_personal, count(*) over () from ledger.section s
where s.chain_id = %(chain)s and s.seq >= %(from)s and s.seq < %(to)s
  and not exists (select 1 from ledger.entry e where e.chain_id = s.chain_id and e.seq = s.seq)
limit 100
"""


def stray_sections(connection: psycopg.Connection, chain_id: UUID, from_seq: int, to_seq: int) -> list[tuple[int, bool, int]]:
    """(seq, is_personal, total) of sections without an entry."""
    return connection.execute(_STRAY_SECTIONS, {"chain": chain_id, "from": from_seq, "to": to_seq}).fetchall()


def personal_sections(connection: psycopg.Connection, chain_id: UUID, seqs: list[int]) -> list[int]:
    """Which of `seqs` have a personal section."""
    query = "select seq from ledger.section where chain_id = %s and is_personal and seq = any (%s::bigint[]) order by seq"
    return [seq for (seq,) in connection.execute(query, (chain_id, seqs))]


# Both are written in one statement's transaction and deleted in one: either alone is a sign of another hand.
_STRAY_SUBJECTS = """
select coalesce(s.subject_id, k.subject_id), s.subject_id is null, count(*) over ()
from (select subject_id from precedent.subjects where chain_id = %(chain)s) s
full join (select subject_id from ledger.subject_key where chain_id = %(chain)s) k using (subject_id)
where s.subject_id is null or k.subject_id is null
limit 100
"""


def stray_subjects(connection: psycopg.Connection, chain_id: UUID) -> list[tuple[UUID, bool, int]]:
    """(subject id, whether the mapping is what lacks, total) of subjects with a key alone or a mapping alone."""
    return connection.execute(_STRAY_SUBJECTS, {"chain": chain_id}).fetchall()
