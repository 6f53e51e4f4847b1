"""SQL of calibrations: the actions that have vectors, past cases with what they asked when, and the index of an action's vectors."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg
from pgvector.psycopg import register_vector
from psycopg.rows import class_row

SCOPES = """
select e.model_id, e.scope as name, count(*) as rows_count, max(c.cases_count) as cases_count
from precedent.decision_embeddings_384 e join (
    select scope, count(*) as cases_count from precedent.case_vectors_384 where chain_id = %(chain)s and model_id = %(model)s group by 1
) c using (scope)
where e.chain_id = %(chain)s and e.model_id = %(model)s group by 1, 2 order by 2
"""
# Of the cases that qualified last, so that what they could find is what there is; as many of them as are wanted, evenly.
PAST = """
with newest as (
    select e.decision_id, e.context_vec, row_number() over (order by e.qualified_at desc, e.seq desc) as place
    from precedent.decision_embeddings_384 e
    where e.chain_id = %(chain)s and e.model_id = %(model)s and e.scope = %(scope)s
    order by e.qualified_at desc, e.seq desc limit 5 * %(count)s::int8
)
select n.context_vec as vector, (extract(epoch from d.known_at) * 1000000)::int8 as decided_us
from newest n join precedent.decisions d on d.chain_id = %(chain)s and d.id = n.decision_id
where (n.place - 1) %% greatest(1, (select max(place) from newest) / %(count)s) = 0 order by n.place limit %(count)s
"""
INDEX = "select precedent.index_scope(%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Scope:
    """An action's vectors of one model, and how many of them are different; `name` is `node/action`."""

    model_id: str
    name: str
    rows_count: int
    cases_count: int

    @property
    def node(self) -> str:
        return self.name.partition("/")[0]

    @property
    def action(self) -> str:
        return self.name.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Past:
    """What a decision asked, and when, in µs since 1970."""

    vector: list[float]
    decided_us: int


def read_scopes(connection: psycopg.Connection, chain_id: UUID, model_id: str) -> list[Scope]:
    with connection.cursor(row_factory=class_row(Scope)) as cursor:
        return cursor.execute(SCOPES, {"chain": chain_id, "model": model_id}).fetchall()


def read_past(connection: psycopg.Connection, chain_id: UUID, scope: Scope, count: int) -> list[Past]:
    """At most so many, the newest first; the same ones while no row is added."""
    register_vector(connection)
    rows = connection.execute(PAST, {"chain": chain_id, "model": scope.model_id, "scope": scope.name, "count": count})
    return [Past(vector.to_list(), decided_us) for vector, decided_us in rows]


def index_scope(connection: psycopg.Connection, chain_id: UUID, scope: Scope) -> bool:
    """The scope's different cases have an index afterwards; whether it is new. Raises: psycopg.errors.InvalidParameterValue below 1,000."""
    row = connection.execute(INDEX, (chain_id, scope.model_id, scope.name)).fetchone()
    return bool(row and row[0])
