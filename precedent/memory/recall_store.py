"""SQL of precedents: the nearest vectors of an action that qualified by a moment, with what had come of them by then.

One statement answers for many vectors of one scope, so that requests in flight share it and a calibration measures the very search
that decisions use. Of what became known after a moment nothing enters: neither rows, nor outcomes, nor calibrations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg

from precedent.memory.embed import vector_text

# Exact up to so many different cases: 1 ms at 1,000 of 384 numbers, 3 to 4 at 3,000 and 22 at 20,000; by the index 1 to 3 ms at any size.
EXACT_ROWS = 1000
MAX_K = 10

# Each vector is read from its text once, and fenced: else the cast is repeated for each row. `set_config` is volatile and stands in the
# same row, so it is done before the scan that this row feeds; `true` ends it with the statement.
_ASKED = """
from unnest(%(vectors)s::text[], %(ats)s::int8[]) with ordinality q (vector, at_us, place)
cross join lateral (select q.vector::vector(384) as point, ledger.instant(q.at_us) as at{settings} offset 0) p
"""
_BY_INDEX = ", set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', %(ef_search)s::text, true)"
_VERDICTS = ("approve", "deny", "escalate")
_SCOPE = "{0}.chain_id = %(chain)s and {0}.model_id = %(model)s and {0}.scope = %(scope)s"
_ORDER = "order by distance_ppm, seq desc"
_FIRST = f"(select verdict from nearest {_ORDER} limit 1)"

# A case, each different one once: how far it lies, when it was known, and when with another verdict than the nearest has.
_CASES = f"from precedent.case_vectors_384 c where {_SCOPE.format('c')}"
_DISTANCE = "round(1000000::float8 * ({0}.context_vec <=> p.point))::integer as distance_ppm"
_CASE = f"select c.vector_digest, {_DISTANCE.format('c')}"
_KNOWN = "least(c.approve_at, c.deny_at, c.escalate_at) <= p.at"
_KNOWN_OTHERWISE = " or ".join(f"({_FIRST} <> '{verdict}' and c.{verdict}_at <= p.at)" for verdict in _VERDICTS)

# The decisions on a case, the newest first.
_DECISION = "e.decision_id, e.seq, e.verdict, e.by_person"
_DECISIONS = f"from precedent.decision_embeddings_384 e where {_SCOPE.format('e')} and e.qualified_at <= p.at"
_OF_CASE = f"select {_DECISION}, n.distance_ppm {_DECISIONS} and e.vector_digest = n.vector_digest"
_NEAREST = f"""
    nearest as materialized (
        select m.* from near n cross join lateral ({_OF_CASE} order by e.seq desc limit %(k)s) m {_ORDER} limit %(k)s
    )"""
_OTHER = f"cross join lateral ({_OF_CASE} and e.verdict <> {_FIRST} order by e.seq desc limit 1) m"

# All of the scope once, in no index's order: what is rounded can't be asked of it. Cases as near as the last may have newer decisions.
_EXACT = f"""
    with measured as materialized ({_CASE}, c.approve_at, c.deny_at, c.escalate_at {_CASES} and {_KNOWN}),
    near as (
        select * from measured
        where distance_ppm <= (select max(distance_ppm) from (select distance_ppm from measured order by 1 limit %(k)s) far)
    ), {_NEAREST},
    otherwise as (select * from measured c where {_KNOWN_OTHERWISE}),
    other as (
        select m.* from otherwise n {_OTHER} where n.distance_ppm = (select min(distance_ppm) from otherwise) {_ORDER} limit 1
    )
"""
# The index gives nearly the order (relaxed), which is put right outside. Of another verdict there may be few, or none: a walk of the index
# would go to its end to find that out. Few are found by their verdict, named so that the planner knows how many to expect (where it did
# not, it read the whole table), and compared one by one.
_OTHERS = " union all ".join(
    f"""
        (select e.ctid as held {_DECISIONS} and e.verdict = '{verdict}' and {_FIRST} <> '{verdict}' limit {EXACT_ROWS} + 1)"""
    for verdict in _VERDICTS
)
_INDEXED = f"""
    with near as materialized ({_CASE} {_CASES} and {_KNOWN} order by c.context_vec <=> p.point limit %(k)s), {_NEAREST},
    others as materialized ({_OTHERS}
    ), other as (
        (select {_DECISION}, {_DISTANCE.format("e")} from precedent.decision_embeddings_384 e
         where e.ctid = any (array(select held from others)) and (select count(*) <= {EXACT_ROWS} from others) {_ORDER} limit 1)
        union all
        (select m.* from (
            {_CASE} {_CASES} and ({_KNOWN_OTHERWISE}) and (select count(*) > {EXACT_ROWS} from others)
            order by c.context_vec <=> p.point limit 1
        ) n {_OTHER})
    )
"""
_FOUND = f"""
select q.place, n.is_other, n.decision_id, n.verdict, n.by_person, n.distance_ppm, (o.reward * 1000000)::integer
{{asked}}
cross join lateral (
    {{search}}
    select *, false as is_other from nearest union all select *, true from other
) n
left join lateral (
    select o.reward from precedent.outcomes o
    where o.chain_id = %(chain)s and o.decision_id = n.decision_id and o.known_at <= p.at order by o.revision desc limit 1
) o on true
{_ORDER.replace("order by", "order by q.place, n.is_other,")}
"""
# Never to be prepared: from its tenth use on a connection, a prepared statement may be planned for any action at once, and then no action's
# own index fits. Every search was exact from there on, 90 ms instead of 2 among 60,000 cases.
SEARCH_EXACT = _FOUND.format(asked=_ASKED.format(settings=""), search=_EXACT)
SEARCH_INDEX = _FOUND.format(asked=_ASKED.format(settings=_BY_INDEX), search=_INDEXED)
# What a calibration is measured with, by digest.
SOURCE = f"recall:{sha256((SEARCH_EXACT + SEARCH_INDEX).encode()).hexdigest()[:16]}"

# The model by whose vectors precedents are found, and what its encoder is made again from.
SERVING = "select model_id, parameters from precedent.embedding_models where chain_id = %s and status = 'serving' and dimension = 384"

CALIBRATED = """
select k.place, c.ef_search, c.rows_count, (c.novelty_distance * 1000000)::integer
from unnest(%(models)s::text[], %(nodes)s::text[], %(actions)s::text[], %(ats)s::int8[])
    with ordinality k (model, node, action, at_us, place)
cross join lateral (
    select c.ef_search, c.rows_count, c.novelty_distance from precedent.recall_calibrations c
    where c.chain_id = %(chain)s and c.model_id = k.model and c.node = k.node and c.action = k.action
      and c.measured_at <= ledger.instant(k.at_us)
    order by c.measured_at desc limit 1
) c
"""
ADD = """
insert into precedent.recall_calibrations (
    chain_id, model_id, node, action, measured_at, rows_count, ef_search, recall_at_10, novelty_distance
) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
NEWEST = """
select model_id, node, action, measured_at, rows_count, ef_search, recall_at_10, novelty_distance from precedent.recall_calibrations
where chain_id = %s and model_id = %s and node = %s and action = %s and measured_at <= %s order by measured_at desc limit 1
"""


@dataclass(frozen=True, slots=True)
class Calibration:
    """One row: how an action's precedents are searched from `measured_at` on. `ef_search` None means exactly; distances are in [0, 2]."""

    model_id: str
    node: str
    action: str
    measured_at: datetime
    rows_count: int
    ef_search: int | None
    recall_at_10: Decimal
    novelty_distance: Decimal | None


@dataclass(frozen=True, slots=True)
class Found:
    """A past decision. `reward_ppm` is that of its outcome as known then; None where none was, or it had no reward."""

    decision_id: UUID
    verdict: str
    by_person: bool
    distance_ppm: int
    reward_ppm: int | None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest, nearest first (the newer of two as near), and the nearest whose verdict is another than the first one's."""

    nearest: tuple[Found, ...] = ()
    other: Found | None = None


def search_parameters(
    chain_id: UUID, model_id: str, scope: str, vectors: Sequence[str], ats_us: Sequence[int], k: int, ef_search: int | None
) -> dict[str, Any]:
    """For SEARCH_EXACT, or with an `ef_search` for SEARCH_INDEX; `vectors` as `vector_text` writes them."""
    return {
        "chain": chain_id,
        "model": model_id,
        "scope": scope,
        "vectors": list(vectors),
        "ats": list(ats_us),
        "k": k,
        "ef_search": ef_search,
    }


def neighbours_of(rows: Sequence[tuple[Any, ...]]) -> Mapping[int, Neighbours]:
    """By place of the vector, from 0: what the search found."""
    nearest: dict[int, list[Found]] = {}
    other: dict[int, Found] = {}
    for place, is_other, *found in rows:
        if is_other:
            other[place - 1] = Found(*found)
        else:
            nearest.setdefault(place - 1, []).append(Found(*found))
    return {place: Neighbours(tuple(held), other.get(place)) for place, held in nearest.items()}


def search(
    connection: psycopg.Connection,
    chain_id: UUID,
    model_id: str,
    scope: str,
    asked: Sequence[tuple[Sequence[float], int]],
    k: int = MAX_K,
    ef_search: int | None = None,
) -> list[Neighbours]:
    """For each (vector, instant in µs since 1970) its neighbours as decisions find them; exactly, or by the index with `ef_search`."""
    vectors, ats = [vector_text(vector) for vector, _ in asked], [at_us for _, at_us in asked]
    statement = SEARCH_EXACT if ef_search is None else SEARCH_INDEX
    parameters = search_parameters(chain_id, model_id, scope, vectors, ats, k, ef_search)
    rows = connection.execute(statement.encode(), parameters, prepare=False).fetchall()
    found = neighbours_of(rows)
    return [found.get(place, Neighbours()) for place in range(len(asked))]


def add_calibration(connection: psycopg.Connection, chain_id: UUID, one: Calibration) -> None:
    """Raises: psycopg.errors.UniqueViolation for a second one of the same instant."""
    place = (chain_id, one.model_id, one.node, one.action, one.measured_at)
    connection.execute(ADD, (*place, one.rows_count, one.ef_search, one.recall_at_10, one.novelty_distance))


def newest_calibration(
    connection: psycopg.Connection, chain_id: UUID, model_id: str, node: str, action: str, at: datetime
) -> Calibration | None:
    """The one that a decision of this action uses at that instant; None before the first."""
    row = connection.execute(NEWEST, (chain_id, model_id, node, action, at)).fetchone()
    return Calibration(*row) if row else None
