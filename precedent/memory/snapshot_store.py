"""SQL of snapshots: the numbers of nodes and days, and the table that is only added to.

Each statement of `NUMBERS` reads a whole range of days for all nodes in one pass, cut at `size`, and sees of a day what was known
when it ended. A snapshot names each by its digest, so that a number leads back to the SQL that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from precedent.memory.embedding_store import on_table

_DECIDED = """
select node, (known_at at time zone 'UTC')::date as day, action, count(*) as decisions_count,
       count(*) filter (where verdict = 'approve') as approved_count, count(*) filter (where verdict = 'deny') as denied_count,
       count(*) filter (where verdict = 'escalate') as escalated_count, count(*) filter (where effective) as effective_count
from precedent.decisions
where chain_id = %(chain)s and seq < %(size)s and known_at >= %(first)s::timestamptz - interval '7 days' and known_at < %(after_last)s
group by 1, 2, 3 order by 1, 2, 4 desc, 3
"""
_RULES = """
select node, (known_at at time zone 'UTC')::date as day, action, rule, count(*) as decisions_count
from precedent.decisions
where chain_id = %(chain)s and seq < %(size)s and known_at >= %(first)s and known_at < %(after_last)s
group by 1, 2, 3, 4 order by 1, 2, 5 desc, 3, 4
"""
# Of what people said on the day: escalations, those with a recommendation and those answered otherwise than it; what was reversed
# within its window; audits, confirmed or reversed. Overridden is every answer against what the policy had recommended or decided.
_ANSWERED = """
select r.node, (r.closed_at at time zone 'UTC')::date as day,
       count(*) filter (where r.kind = 'escalation') as answered_count,
       count(*) filter (where r.status = 'approved') as approved_count, count(*) filter (where r.status = 'denied') as denied_count,
       count(*) filter (where a.recommended is not null) as advised_count,
       count(*) filter (where a.recommended <> r.answer) as against_advice_count,
       count(*) filter (where r.kind = 'reversible' and r.status = 'reversed') as reversed_count,
       count(*) filter (where r.kind = 'audit') as audited_count,
       count(*) filter (where r.kind = 'audit' and r.status = 'confirmed') as audit_confirmed_count,
       count(*) filter (where r.kind = 'audit' and r.status = 'reversed') as audit_reversed_count,
       count(*) filter (where a.recommended <> r.answer or r.status = 'reversed') as overridden_count
from precedent.reviews r join precedent.decisions d on d.chain_id = r.chain_id and d.id = r.decision_id
cross join lateral (select case when r.kind = 'escalation' then d.output -> 'recommendation' ->> 'verdict' end as recommended) a
where r.chain_id = %(chain)s and d.seq < %(size)s and r.reviewer is not null
  and r.closed_at >= %(first)s and r.closed_at < %(after_last)s
group by 1, 2
"""
# An outcome belongs to the day on which we knew its first revision, with the reward that was known when that day ended.
_FIRST_KNOWN = """
select d.node, k.day, d.action, d.verdict, d.id, d.seq, d.subject_id, o.reward
from precedent.outcomes f
cross join lateral (select (f.known_at at time zone 'UTC')::date as day) k
cross join lateral (
    select l.reward from precedent.outcomes l
    where l.chain_id = f.chain_id and l.decision_id = f.decision_id and l.seq < %(size)s
      and l.known_at < (k.day + 1)::timestamp at time zone 'UTC'
    order by l.revision desc limit 1
) o
join precedent.decisions d on d.chain_id = f.chain_id and d.id = f.decision_id
where f.chain_id = %(chain)s and f.revision = 1 and f.seq < %(size)s and f.known_at >= %(first)s and f.known_at < %(after_last)s
"""
_MATURED = f"""
select node, day, count(*) as matured_count, count(reward) as rewarded_count, round(10000 * avg(reward))::integer as reward_mean_bp
from ({_FIRST_KNOWN}) m group by 1, 2
"""
# Successes are those of a reward of one half or more, the highest first; of the failures the lowest. Nobody who was erased is named.
_EXAMPLES = f"""
select node, day, action, verdict, id, round(10000 * reward)::integer as reward_bp,
       reward >= 0.5 as is_success,
       row_number() over (partition by node, day, reward >= 0.5 order by abs(reward - 0.5) desc, seq) as place
from ({_FIRST_KNOWN}) m
where reward is not null and not exists (
    select 1 from precedent.erasures x where x.chain_id = %(chain)s and x.subject_id = m.subject_id
)
"""
_NAMED = f"select * from ({_EXAMPLES}) n where place <= 3 order by node, day, is_success, place"

NUMBERS = {"decided": _DECIDED, "rules": _RULES, "answered": _ANSWERED, "matured": _MATURED, "examples": _NAMED}
SOURCES = {name: sha256(statement.encode()).hexdigest()[:16] for name, statement in NUMBERS.items()}

# What nothing supersedes; where an erasure took a row, the newest that is left.
CURRENT = """
select distinct on (scope, period_start) scope, period_start, id, facts_digest
from precedent.knowledge_snapshots
where chain_id = %(chain)s and period_start >= %(first)s and period_start < %(after_last)s
order by scope, period_start, known_at desc, id
"""
ADD = """
insert into precedent.knowledge_snapshots (
    chain_id, id, scope, node, period_start, period_end, facts, summary, written_by, cites, summary_vec, ledger_size, facts_digest,
    known_at, supersedes
) values (
    %(chain)s, %(id)s, %(scope)s, %(node)s, %(period_start)s, %(period_end)s, %(facts)s, %(summary)s, %(written_by)s, %(cites)s,
    %(summary_vec)s, %(ledger_size)s, %(facts_digest)s, %(known_at)s, %(supersedes)s
)
"""
KNOWN = """
select distinct on (period_start) id, scope, node, period_start, period_end, facts, summary, written_by, known_at, supersedes
from precedent.knowledge_snapshots
where chain_id = %s and scope = %s and known_at <= %s
order by period_start desc, known_at desc, id limit %s
"""
# Of each (scope, instant): place, id, scope, day, and the digest of the structure, as text; what was known then of the newest day.
NEWEST_KNOWN = """
select k.place, s.id::text, s.scope, to_char(s.period_start at time zone 'UTC', 'YYYY-MM-DD'), encode(s.facts_digest, 'hex')
from unnest(%s::text[], %s::int8[]) with ordinality k (scope, at_us, place)
cross join lateral (
    select s.* from precedent.knowledge_snapshots s
    where s.chain_id = %s and s.scope = k.scope and s.known_at <= ledger.instant(k.at_us)
    order by s.period_start desc, s.known_at desc, s.id limit 1
) s
"""
WORDS = "select id, summary, facts from precedent.knowledge_snapshots where chain_id = %s order by period_start, id"
WITHOUT_VECTOR = """
select s.id, s.summary, s.node from precedent.knowledge_snapshots s
where s.chain_id = %s and s.period_start >= %s and s.period_start < %s
  and not exists (select 1 from precedent.{table} v where v.chain_id = s.chain_id and v.model_id = %s and v.snapshot_id = s.id)
order by s.period_start, s.id
"""
ADD_VECTOR = """
insert into precedent.{table} (chain_id, model_id, snapshot_id, input_digest, summary_vec)
select s.chain_id, %s, s.id, %s, %s from precedent.knowledge_snapshots s where s.chain_id = %s and s.id = %s
on conflict do nothing
"""

Numbers = dict[tuple[str, date], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One row, of `scope` `<node>-daily`; `summary_vec` is left in the table."""

    id: UUID
    scope: str
    node: str
    period_start: datetime
    period_end: datetime
    facts: dict[str, Any]
    summary: str
    written_by: str
    known_at: datetime
    supersedes: UUID | None


def read_numbers(connection: psycopg.Connection, chain_id: UUID, size: int, first: datetime, after_last: datetime) -> dict[str, Numbers]:
    """By name of the statement: rows by node and day. `decided` begins a week earlier, to be compared with."""
    parameters = {"chain": chain_id, "size": size, "first": first, "after_last": after_last}
    found: dict[str, Numbers] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for name, statement in NUMBERS.items():
            by_day: Numbers = {}
            for row in cursor.execute(statement.encode(), parameters):
                by_day.setdefault((row.pop("node"), row.pop("day")), []).append(row)
            found[name] = by_day
    return found


def read_current(
    connection: psycopg.Connection, chain_id: UUID, first: datetime, after_last: datetime
) -> dict[tuple[str, datetime], tuple[UUID, bytes]]:
    """Of each scope and day: the snapshot that nothing supersedes, and the digest of its structure."""
    rows = connection.execute(CURRENT, {"chain": chain_id, "first": first, "after_last": after_last})
    return {(scope, start): (snapshot_id, digest) for scope, start, snapshot_id, digest in rows}


def add_snapshot(connection: psycopg.Connection, row: Mapping[str, Any]) -> None:
    register_vector(connection)
    connection.execute(ADD, {**row, "facts": Jsonb(row["facts"]), "summary_vec": Vector(row["summary_vec"])})


def read_known(connection: psycopg.Connection, chain_id: UUID, scope: str, at: datetime, limit: int = 1) -> list[Snapshot]:
    """The newest days' snapshots of the scope that were known at that instant, each as it stood then; newest first."""
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        return cursor.execute(KNOWN, (chain_id, scope, at, limit)).fetchall()


def read_words(connection: psycopg.Connection, chain_id: UUID) -> list[tuple[UUID, str, dict[str, Any]]]:
    """Of every snapshot: id, words, structure."""
    return connection.execute(WORDS, (chain_id,)).fetchall()


def read_without_vector(
    connection: psycopg.Connection, chain_id: UUID, model_id: str, dimension: int, first: datetime, after_last: datetime
) -> list[tuple[UUID, str, str]]:
    """Snapshots of these days, with their words and node, that the model has not placed."""
    return connection.execute(on_table(WITHOUT_VECTOR, "snapshot", dimension), (chain_id, first, after_last, model_id)).fetchall()


def add_snapshot_vectors(
    connection: psycopg.Connection, chain_id: UUID, model_id: str, dimension: int, rows: list[tuple[UUID, bytes, list[float]]]
) -> None:
    """A snapshot that an erasure took meanwhile gets none."""
    register_vector(connection)
    with connection.cursor() as cursor:
        cursor.executemany(
            on_table(ADD_VECTOR, "snapshot", dimension),
            [(model_id, digest, Vector(vector), chain_id, snapshot_id) for snapshot_id, digest, vector in rows],
        )
