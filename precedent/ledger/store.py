"""SQL that reads the ledger; writing is `append.sql`'s alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from precedent.errors import SettingsInvalid
from precedent.ledger.canonical import parse_strict
from precedent.ledger.entry import Section

CHAIN = "select id from ledger.chain where name = %s"

ENTRY = """
select e.seq, e.envelope, e.leaf, s.section_ids, s.stored, p.stored[1]
from ledger.entry e
join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal
left join ledger.section p on p.chain_id = e.chain_id and p.seq = e.seq and p.is_personal
where e.chain_id = %s and e.entry_id = %s
"""

SUBJECT = """
select s.subject_id, k.epoch_key, k.wrapped
from precedent.subjects s join ledger.subject_key k using (chain_id, subject_id)
where s.chain_id = %s and s.lookup_hash = %s
"""

SUBJECT_KEY = "select epoch_key, wrapped from ledger.subject_key where chain_id = %s and subject_id = %s"


def chain_id_of(connection: psycopg.Connection, name: str) -> UUID:
    """Raises: SettingsInvalid where no chain has that name."""
    row = connection.execute(CHAIN, (name,)).fetchone()
    if row is None:
        raise SettingsInvalid(f"no chain is named '{name}'")
    found: UUID = row[0]
    return found


def sections_of(section_ids: list[int], stored: list[bytes]) -> dict[Section, Any]:
    """The non-personal sections of one row, parsed."""
    return {Section(section_id): parse_strict(text) for section_id, text in zip(section_ids, stored, strict=True)}
