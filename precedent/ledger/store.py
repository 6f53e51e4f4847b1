"""SQL that reads the ledger; writing is `append.sql`'s alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from precedent.db.reads import Reads, SharedLookup
from precedent.errors import LedgerBroken, NotStrictJson, SettingsInvalid
from precedent.ledger.canonical import parse_strict
from precedent.ledger.entry import Appended, Claimed, Section

CHAIN = "select id from ledger.chain where name = %s"

ENTRIES = """
select e.entry_id, e.seq, e.envelope, e.leaf, s.section_ids, s.stored
from unnest(%s::uuid[]) i (id)
cross join lateral (select * from ledger.entry e where e.chain_id = %s and e.entry_id = i.id offset 0) e
cross join lateral (select * from ledger.section s where s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal offset 0) s
"""

PERSONAL = """
select p.stored[1], k.epoch_key, k.wrapped
from ledger.section p join ledger.subject_key k on k.chain_id = p.chain_id and k.subject_id = %s
where p.chain_id = %s and p.seq = %s and p.is_personal
"""

CLAIMED = "select entry_id, fingerprint from precedent.idempotency where chain_id = %s and claim = %s"

# Under the places of one key. An erasure empties the fingerprint: that is told of the place alone.
CLAIMED_BY_OTHERS = """
select 1 from precedent.idempotency
where chain_id = %s and claim between %s and %s and fingerprint <> %s and octet_length(fingerprint) > 0 limit 1
"""

REVISIONS = """
select o.seq, o.revision from unnest(%s::int8[]) s (seq)
cross join lateral (select * from precedent.outcomes o where o.chain_id = %s and o.seq = s.seq offset 0) o
"""

REVERSED = "select 1 from precedent.reviews where chain_id = %s and decision_id = %s and status = 'reversed'"

SUBJECTS = """
select s.lookup_hash, s.subject_id, k.epoch_key, k.wrapped
from unnest(%s::bytea[]) h (hash)
cross join lateral (select * from precedent.subjects s where s.chain_id = %s and s.lookup_hash = h.hash offset 0) s
join ledger.subject_key k on k.chain_id = s.chain_id and k.subject_id = s.subject_id
"""


def chain_id_of(connection: psycopg.Connection, name: str) -> UUID:
    """Raises: SettingsInvalid where no chain has that name."""
    row = connection.execute(CHAIN, (name,)).fetchone()
    if row is None:
        raise SettingsInvalid(f"no chain is named '{name}'")
    found: UUID = row[0]
    return found


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it stands, its sections parsed; the personal one is not among them."""

    place: Appended
    core: dict[str, Any]
    facts: dict[str, Any]
    memory: dict[str, Any]


class Entries:
    """Reads entries by id; requests in flight share one round trip."""

    def __init__(self, reads: Reads, chain_id: UUID) -> None:
        self._reads = reads
        self._chain_id = chain_id
        self._lookup: SharedLookup[UUID, StoredEntry] = SharedLookup(self._fetch)
        self._revisions: SharedLookup[int, int] = SharedLookup(self._fetch_revisions)

    async def find(self, entry_id: UUID) -> StoredEntry | None:
        """Raises: DatabaseUnavailable; LedgerBroken where what stands there is no entry."""
        return await self._lookup.get(entry_id)

    async def find_claimed(self, claim: bytes) -> Claimed | None:
        """What an idempotency key stands for; None where nothing that was recorded has claimed it.

        Raises: DatabaseUnavailable.
        """
        row = await self._reads.fetch_one(CLAIMED, (self._chain_id, claim))
        return Claimed(*row) if row else None

    async def revision_at(self, seq: int) -> int | None:
        """Which revision the outcome at `seq` is.

        Raises: DatabaseUnavailable.
        """
        return await self._revisions.get(seq)

    async def is_reversed(self, decision_id: UUID) -> bool:
        """Whether a person took the decision back.

        Raises: DatabaseUnavailable.
        """
        return await self._reads.fetch_one(REVERSED, (self._chain_id, decision_id)) is not None

    async def _fetch_revisions(self, seqs: list[int]) -> dict[int, int]:
        return dict(await self._reads.fetch(REVISIONS, (seqs, self._chain_id)))

    async def _fetch(self, entry_ids: list[UUID]) -> dict[UUID, StoredEntry | LedgerBroken]:
        found: dict[UUID, StoredEntry | LedgerBroken] = {}
        for entry_id, seq, envelope, leaf, section_ids, stored in await self._reads.fetch(ENTRIES, (entry_ids, self._chain_id)):
            try:
                found[entry_id] = _entry_of(Appended(entry_id, seq, envelope, leaf), section_ids, stored)
            except LedgerBroken as broken:
                found[entry_id] = broken
        return found


def _entry_of(place: Appended, section_ids: list[int], stored: list[bytes]) -> StoredEntry:
    """Raises: LedgerBroken. That its bytes are JSON is the ledger's promise, not the caller's fault."""
    try:
        sections = {Section(section_id): parse_strict(text) for section_id, text in zip(section_ids, stored, strict=True)}
        return StoredEntry(place, sections[Section.CORE], sections.get(Section.FACTS, {}), sections.get(Section.MEMORY, {}))
    except (NotStrictJson, ValueError, KeyError) as error:
        raise LedgerBroken(f"couldn't read entry {place.seq}: {error}") from error
