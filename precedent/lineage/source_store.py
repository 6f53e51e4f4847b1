"""SQL of the way back from a partition to the entries that its rows were made from: by seq, and by decision.

Each statement reads what the asset's own SQL reads, cut at the same prefix and the same days, and answers (kind, seq, decision id).
`key` narrows it to one row's. Decisions have no index by the time they were known, which every append would pay for: a scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from precedent.lineage.statement import Statement

_START = "(%(first)s::date)::timestamp at time zone 'UTC'"
_END = "(%(last)s::date + 1)::timestamp at time zone 'UTC'"
_KNOWN = f"d.chain_id = %(chain)s and d.seq < %(size)s and d.known_at >= {_START} and d.known_at < {_END}"
# Outcomes by the day on which their first revision was known.
_MATURED = f"""
precedent.outcomes o
join precedent.outcomes f on f.chain_id = o.chain_id and f.decision_id = o.decision_id and f.revision = 1
join precedent.decisions d on d.chain_id = o.chain_id and d.id = o.decision_id
where o.chain_id = %(chain)s and o.seq < %(size)s and f.known_at >= {_START} and f.known_at < {_END}"""
_IS_ENTITY = """(%(key)s::text[] is null or d.entities ->> (%(key)s::text[])[1] = (%(key)s::text[])[2]
    or (%(key)s::text[])[1] = 'node' and d.node = (%(key)s::text[])[2])"""
_IS_GROUP = "(%(key)s::text[] is null or array[d.node, d.action, d.policy_version] = (%(key)s::text[])[1:3])"
_IS_SCOPE = "(%(key)s::text[] is null or d.node || '-daily' = (%(key)s::text[])[1])"

_ACTIVITY = f"""
select 'decision', d.seq, d.id from precedent.decisions d where {_KNOWN} and {_IS_ENTITY}
union all select 'outcome', o.seq, d.id from {_MATURED} and {_IS_ENTITY}
order by 2
"""
_FEATURES = f"""
select 'decision', d.seq, d.id from precedent.decisions d where {_KNOWN} and {_IS_ENTITY}
union all select 'outcome', o.seq, d.id from {_MATURED} and o.known_at < {_END} and {_IS_ENTITY}
order by 2
"""
_DAILY = f"""
select 'decision', d.seq, d.id from precedent.decisions d where {_KNOWN} and {_IS_GROUP}
union all select 'outcome', o.seq, d.id from precedent.decisions d
    join precedent.outcomes o on o.chain_id = d.chain_id and o.decision_id = d.id and o.seq < %(size)s where {_KNOWN} and {_IS_GROUP}
order by 2
"""
# The day, and the same weekday before, against which it is compared.
_SNAPSHOTS = f"""
select 'decision', d.seq, d.id from precedent.decisions d
where d.chain_id = %(chain)s and d.seq < %(size)s and {_IS_SCOPE}
  and (d.known_at at time zone 'UTC')::date in (%(last)s::date, %(last)s::date - 7)
union all select 'outcome', o.seq, d.id from {_MATURED} and o.known_at < {_END} and {_IS_SCOPE}
union all select 'review', e.seq, d.id from precedent.reviews r
    join precedent.decisions d on d.chain_id = r.chain_id and d.id = r.decision_id
    join ledger.entry e on e.chain_id = r.chain_id and e.entry_id = r.answer_id
    where r.chain_id = %(chain)s and d.seq < %(size)s and r.reviewer is not null and {_IS_SCOPE}
      and (r.closed_at at time zone 'UTC')::date = %(last)s::date
order by 2
"""
_VECTORS = f"""
    select v.decision_id, v.seq, v.qualified_at from precedent.{{vectors}} v
    where v.chain_id = %(chain)s and v.model_id = %(model)s and v.qualified_at >= {_START} and v.qualified_at < {_END}
    and (%(key)s::text[] is null or v.decision_id::text = (%(key)s::text[])[1])"""
# All that a calibration of the day, or one by its key, was measured over: what the prefix lets qualify, and no history that came later.
_SEARCHED = """
    select distinct v.decision_id, v.seq, v.qualified_at from precedent.recall_calibrations c
    join precedent.{vectors} v on v.chain_id = c.chain_id and v.model_id = c.model_id and v.scope = c.node || '/' || c.action
        and v.qualified_at <= c.measured_at
    left join precedent.outcomes o on o.chain_id = v.chain_id and o.decision_id = v.decision_id and o.revision = 1
        and o.known_at = v.qualified_at
    left join precedent.reviews r on r.chain_id = v.chain_id and r.decision_id = v.decision_id and r.closed_at = v.qualified_at
    left join ledger.entry e on e.chain_id = r.chain_id and e.entry_id = r.answer_id
    where c.chain_id = %(chain)s and (c.measured_at at time zone 'UTC')::date = %(last)s::date and least(o.seq, e.seq) < %(size)s
    and (%(key)s::text[] is null or array[c.node, c.action, c.model_id, c.measured_at::text] = %(key)s::text[])"""
# A decision, and the outcome or the answer by which it qualified, if it was one.
_QUALIFIED = """
select 'decision', q.seq, q.decision_id from q
union all select 'outcome', o.seq, o.decision_id from precedent.outcomes o
    join q on q.decision_id = o.decision_id and q.qualified_at = o.known_at
    where o.chain_id = %(chain)s and o.revision = 1
union all select 'review', e.seq, r.decision_id from precedent.reviews r
    join ledger.entry e on e.chain_id = r.chain_id and e.entry_id = r.answer_id
    join q on q.decision_id = r.decision_id and q.qualified_at = r.closed_at
    where r.chain_id = %(chain)s
order by 2
"""
_PLACED = f"with q as materialized ({_VECTORS}) {_QUALIFIED}"
_PROBED = f"with q as materialized ({_SEARCHED}) {_QUALIFIED}"
_SCORED = f"""
with s as materialized (
    select o.seq as outcome_seq, d.seq, d.id from precedent.outcomes o
    join precedent.decisions d on d.chain_id = o.chain_id and d.id = o.decision_id
    where o.chain_id = %(chain)s and o.seq < %(size)s and {_IS_GROUP}
)
select distinct 'decision', s.seq, s.id from s
union all select 'outcome', s.outcome_seq, s.id from s
order by 2
"""
SOURCES: dict[str, LiteralString] = {
    "int_entities_daily_activity": _ACTIVITY,
    "entity_features": _FEATURES,
    "decision_daily": _DAILY,
    "knowledge_snapshots": _SNAPSHOTS,
    "decision_embeddings": _PLACED,
    "snapshot_embeddings": _SNAPSHOTS,
    "recall_probe": _PROBED,
    "variant_scorecards": _SCORED,
}

# As `int_entities_daily_activity` counts: a decision on the day we knew it; an outcome on the day we knew its first revision, with
# what the last one said that was known by the end of the row's day.
_COUNTED_DECISIONS = f"select d.* from precedent.decisions d where {_KNOWN} and {_IS_ENTITY}"
_COUNTED_OUTCOMES = f"""
select distinct on (d.id) d.*, o.metrics, o.reward from (
    select o.*, max(o.known_at) over (partition by o.decision_id order by o.revision) as effective_at
    from precedent.outcomes o where o.chain_id = %(chain)s and o.seq < %(size)s
) o
join precedent.outcomes f on f.chain_id = o.chain_id and f.decision_id = o.decision_id and f.revision = 1
join precedent.decisions d on d.chain_id = o.chain_id and d.id = o.decision_id
where f.known_at >= {_START} and f.known_at < {_END} and o.effective_at < {_END} and {_IS_ENTITY}
order by d.id, o.revision desc
"""
COUNTED: dict[str, LiteralString] = {"decisions": _COUNTED_DECISIONS, "outcomes": _COUNTED_OUTCOMES}

# The last revision of the prefix, as the panel has it.
_COUNTED_SCORES = f"""
select coalesce(array_agg(c.id order by c.seq), '{{}}'), coalesce(array_agg(c.id order by c.seq) filter (where c.counts), '{{}}'),
       coalesce(sum(c.reward * 1000000) filter (where c.counts), 0)::bigint
from (
    select distinct on (d.id) d.id, d.seq, o.reward, o.counted and o.reward is not null as counts from precedent.outcomes o
    join precedent.decisions d on d.chain_id = o.chain_id and d.id = o.decision_id
    where o.chain_id = %(chain)s and o.seq < %(size)s and {_IS_GROUP} order by d.id, o.revision desc
) c
"""


@dataclass(frozen=True, slots=True)
class Source:
    """One entry that went into the rows: its kind, its seq, and the decision that it is or is about."""

    kind: str
    seq: int
    decision_id: UUID


def read_sources(
    connection: psycopg.Connection, chain_id: UUID, statement: Statement, first: date, key: Sequence[str] | None
) -> list[Source]:
    """The entries of the stated prefix that went into the rows of its day, from `first` on where they look back; of one row by `key`."""
    # A vector of a snapshot's words comes from all that the snapshots of the day do.
    chosen = None if key is None or statement.asset == "snapshot_embeddings" else list(key)
    parameters = {
        **{"chain": chain_id, "size": statement.ledger_size, "first": first, "last": statement.day, "key": chosen},
        "model": statement.parameters.get("model"),
    }
    vectors = sql.Identifier(f"decision_embeddings_{statement.parameters.get('dimension', 384)}")
    return [Source(*row) for row in connection.execute(sql.SQL(SOURCES[statement.asset]).format(vectors=vectors), parameters)]


def count_feature(
    connection: psycopg.Connection, feature: dict[str, Any], chain_id: UUID, size: int, first: date, last: date, key: Sequence[str]
) -> tuple[int | None, list[UUID]]:
    """A feature's value, counted from the ledger's own rows, and the decisions that it counts. `feature` is as declared in dbt:
    its `where` and `mean` are SQL of this project.
    """
    chosen = COUNTED[feature["from"]]
    mean = feature.get("mean")
    where = f"({feature.get('where', 'true')})" + (f" and ({mean}) is not null" if mean else "")
    value = f"round(10000 * avg(({mean})::numeric))::bigint" if mean else "count(*)"
    statement = f"select {value}, coalesce(array_agg(c.id order by c.seq), '{{}}') from ({chosen}) c where {where}"
    parameters = {"chain": chain_id, "size": size, "first": first, "last": last, "key": list(key)}
    row = connection.execute(statement.encode(), parameters).fetchone()
    return (row[0], row[1]) if row else (None, [])


def count_scored(
    connection: psycopg.Connection, chain_id: UUID, size: int, key: Sequence[str]
) -> tuple[tuple[UUID, ...], tuple[UUID, ...], int]:
    """Of a version by (node, action, reference): decisions with an outcome, those whose reward counts, and the sum of these in ppm."""
    row = connection.execute(_COUNTED_SCORES, {"chain": chain_id, "size": size, "key": list(key)}).fetchone()
    return (tuple(row[0]), tuple(row[1]), row[2]) if row else ((), (), 0)
