"""SQL of replay: decisions streamed from the entries of the ledger, and the policies that they name.

The projection of decisions says where to start and nothing else; what is replayed are the entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import psycopg

from precedent.ledger.entry import Kind, Section

# The bounds stand at the sections too: without them a merge reads those of all earlier entries first.
DECISIONS = f"""
select e.seq, uuid_send(e.entry_id),
       s.stored[array_position(s.section_ids, {int(Section.CORE)}::int2)],
       s.stored[array_position(s.section_ids, {int(Section.FACTS)}::int2)],
       s.stored[array_position(s.section_ids, {int(Section.MEMORY)}::int2)]
from ledger.entry e
left join ledger.section s
    on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal and s.seq between %(first)s and %(last)s
where e.chain_id = %(chain)s and e.seq between %(first)s and %(last)s and get_byte(e.envelope, 1) = {int(Kind.DECISION)}
order by e.seq
"""
BATCH_ROWS = 500

HEAD = "select coalesce(max(seq), -1) from ledger.entry where chain_id = %s"

# Of all decisions, by the entries alone.
FIRST_OF_LAST = """
select seq from ledger.entry where chain_id = %(chain)s and seq <= %(head)s and get_byte(envelope, 1) = %(kind)s
order by seq desc offset %(last)s - 1 limit 1
"""

FIRST_OF_LAST_ASKED = """
select seq from precedent.decisions
where chain_id = %(chain)s and seq <= %(head)s and node = %(node)s and action = any(%(actions)s)
order by seq desc offset %(last)s - 1 limit 1
"""

BETWEEN = """
select coalesce(min(seq), 0), coalesce(max(seq), -1) from precedent.decisions
where chain_id = %(chain)s and seq <= %(head)s and node = %(node)s and action = any(%(actions)s)
    and ts >= ledger.instant(%(from_us)s) and ts < ledger.instant(%(to_us)s)
"""

# Whether a window holds more than `most`; counting on beyond that would tell nothing.
COUNT_UP_TO = """
select count(*) from (
    select from precedent.decisions
    where chain_id = %(chain)s and node = %(node)s and ts >= ledger.instant(%(from_us)s) and ts < ledger.instant(%(to_us)s)
    limit %(most)s + 1
) held
"""

SOURCES = "select name || '@' || version, digest, source from precedent.policy_versions where chain_id = %s and digest = any(%s)"

ACTIVE = "select name || '@' || version, source from precedent.policy_versions where chain_id = %s and name = %s and status = 'active'"

ONE = "select source from precedent.policy_versions where chain_id = %s and name = %s and version = %s"

Row = tuple[int, bytes, bytes | None, bytes | None, bytes | None]


def read_head(connection: psycopg.Connection, chain_id: UUID) -> int:
    """The seq of the last entry, -1 where there is none."""
    row = connection.execute(HEAD, (chain_id,)).fetchone()
    return int(row[0]) if row else -1


def read_decisions(connection: psycopg.Connection, chain_id: UUID, first: int, last: int) -> Iterator[Row]:
    """(seq, id, core, facts, memory) of the decisions among entries `first` … `last`, in order; one batch in memory at a time."""
    # By the keys' indexes they come in order; sorted, a span's bodies would spill to disk. Where a table was just filled and has no
    # statistics, a loop would seem cheap that reads all sections of the span for each decision.
    connection.execute("set local enable_sort = off")
    connection.execute("set local enable_hashjoin = off")
    connection.execute("set local enable_nestloop = off")
    with connection.cursor("decisions", binary=True) as cursor:
        cursor.execute(DECISIONS, {"chain": chain_id, "first": first, "last": last})
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield from rows


def read_sources(connection: psycopg.Connection, chain_id: UUID, digests: Sequence[str]) -> list[tuple[str, str, str]]:
    """(reference, digest, text) of published versions with these digests."""
    return connection.execute(SOURCES, (chain_id, list(digests))).fetchall()
