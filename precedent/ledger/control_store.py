"""SQL of the few entries that say how the record is kept: keys that followed each other, and recoveries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from precedent.errors import NotStrictJson
from precedent.ledger.canonical import parse_strict
from precedent.ledger.entry import Kind
from precedent.ledger.handover import Handover, handovers_of

# By a partial index: a handful among millions. Of an entry without a core nothing is said here; verification names it.
CONTROL = f"""
select e.seq, get_byte(e.envelope, 1), e.entry_id, s.stored[array_position(s.section_ids, 1::int2)]
from ledger.entry e
join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal
where e.chain_id = %s and get_byte(e.envelope, 1) in ({int(Kind.KEY)}, {int(Kind.RECOVERY)})
order by e.seq
"""


@dataclass(frozen=True, slots=True)
class ControlEntry:
    """A `key` or `recovery` entry; a core that can't be read is empty."""

    seq: int
    kind: int
    entry_id: UUID
    core: dict[str, Any]


def control_entries(rows: Iterable[tuple[Any, ...]]) -> Iterator[ControlEntry]:
    """The answer of `CONTROL`."""
    for seq, kind, entry_id, stored in rows:
        try:
            core = parse_strict(stored) if stored else {}
        except NotStrictJson:
            core = {}
        yield ControlEntry(seq, kind, entry_id, core if isinstance(core, dict) else {})


def read_control(connection: psycopg.Connection, chain_id: UUID) -> list[ControlEntry]:
    return list(control_entries(connection.execute(CONTROL, (chain_id,))))


def handovers_in(entries: Iterable[ControlEntry]) -> list[Handover]:
    return handovers_of((entry.seq, entry.core) for entry in entries)
