"""SQL of models and vectors. Rows are added and never changed; what is there already stays, so a repeat gives the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from precedent.db.memory_tables import DIMENSIONS
from precedent.errors import EmbeddingRefused, FieldInvalid
from precedent.memory.embed import vector_text

REGISTER = """
insert into precedent.embedding_models (chain_id, model_id, dimension, parameters, status, registered_at)
values (%s, %s, %s, %s, 'filling', now()) on conflict do nothing
"""
MODELS = """
select model_id, dimension, parameters, status, served_from from precedent.embedding_models where chain_id = %s
order by registered_at, model_id
"""
# In this order: at no instant do two serve, and no reader finds none, for it is one transaction.
RETIRE = "update precedent.embedding_models set status = 'retired' where chain_id = %s and status = 'serving' and model_id <> %s"
SERVE = """
update precedent.embedding_models set status = 'serving', served_from = now()
where chain_id = %s and model_id = %s and status <> 'serving'
"""

# A decision qualifies when we know its first outcome, or when a person answered, whichever came first; nothing that came
# later changes the row. Of an erased subject nothing is derived again.
_QUALIFIED = """
select d.id as decision_id, d.seq, d.node || '/' || d.action as scope, d.subject_id, d.inputs,
       case when not p.decided then d.verdict when r.status in ('approved', 'confirmed') then 'approve' else 'deny' end as verdict,
       p.decided as by_person, q.at as qualified_at
from precedent.decisions d
left join precedent.outcomes o on o.chain_id = d.chain_id and o.decision_id = d.id and o.revision = 1 and o.seq < %(size)s
left join precedent.reviews r
    on r.chain_id = d.chain_id and r.decision_id = d.id and r.reviewer is not null and r.closed_at is not null
cross join lateral (select least(o.known_at, r.closed_at) as at) q
cross join lateral (select coalesce(r.closed_at <= q.at, false) as decided) p
where d.chain_id = %(chain)s and d.seq < %(size)s and q.at is not null
  and not exists (select 1 from precedent.erasures x where x.chain_id = d.chain_id and x.subject_id = d.subject_id)
"""
BETWEEN = (
    _QUALIFIED
    + """
  and q.at >= %(first)s and q.at < %(after_last)s
  and d.id in (select c.decision_id from precedent.outcomes c
               where c.chain_id = %(chain)s and c.known_at >= %(first)s and c.known_at < %(after_last)s
               union select c.decision_id from precedent.reviews c
               where c.chain_id = %(chain)s and c.closed_at >= %(first)s and c.closed_at < %(after_last)s)
order by d.seq
"""
)
LAST = "select * from (" + _QUALIFIED + " order by q.at desc, d.seq desc limit %(last)s) n order by n.seq"

PRESENT = "select decision_id from precedent.{table} where chain_id = %s and model_id = %s and decision_id = any (%s)"
# All of a batch in one statement: what is different in it is then kept in one order, and two batches never wait for each other.
ADD = """
insert into precedent.{table} (
    chain_id, model_id, decision_id, scope, seq, subject_id, verdict, by_person, qualified_at, input_digest, context_vec
)
select %(chain)s, %(model)s, a.decision_id, a.scope, a.seq, a.subject_id, a.verdict, a.by_person, a.qualified_at, a.input_digest,
       a.point::vector
from unnest(%(ids)s::uuid[], %(scopes)s::text[], %(seqs)s::int8[], %(subjects)s::uuid[], %(verdicts)s::text[], %(persons)s::bool[],
            %(ats)s::timestamptz[], %(digests)s::bytea[], %(points)s::text[])
    a (decision_id, scope, seq, subject_id, verdict, by_person, qualified_at, input_digest, point)
where not exists (select 1 from precedent.erasures x where x.chain_id = %(chain)s and x.subject_id = a.subject_id)
on conflict do nothing
"""
COUNT = "select count(*) from precedent.{table} where chain_id = %s and model_id = %s and qualified_at < %s"

UNPLACED = (
    "select count(*) from ("
    + _QUALIFIED
    + """) q where q.inputs <> '{{}}' and not exists (
    select 1 from precedent.{table} e where e.chain_id = %(chain)s and e.model_id = %(model)s and e.decision_id = q.decision_id)"""
)


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the registry; `status` is filling, serving or retired."""

    model_id: str
    dimension: int
    parameters: dict[str, Any]
    status: str
    served_from: datetime | None


@dataclass(frozen=True, slots=True)
class Qualified:
    """A decision that may be a precedent from `qualified_at` on; `verdict` is the person's answer where one decided."""

    decision_id: UUID
    seq: int
    scope: str
    subject_id: UUID | None
    inputs: dict[str, Any]
    verdict: str
    by_person: bool
    qualified_at: datetime


def register_model(connection: psycopg.Connection, chain_id: UUID, model_id: str, dimension: int, parameters: dict[str, Any]) -> None:
    """The model is in the registry afterwards, being filled where it is new.

    Raises: EmbeddingRefused for a dimension that has no table, or another than it was registered with.
    """
    if dimension not in DIMENSIONS:
        raise EmbeddingRefused(f"couldn't register '{model_id}': there is no table of dimension {dimension}, only of {DIMENSIONS}")
    connection.execute(REGISTER, (chain_id, model_id, dimension, Jsonb(parameters)))
    held = next(model for model in read_models(connection, chain_id) if model.model_id == model_id)
    if (held.dimension, held.parameters) != (dimension, parameters):
        raise EmbeddingRefused(f"couldn't register '{model_id}': it is known with dimension {held.dimension} and {held.parameters}")


def read_models(connection: psycopg.Connection, chain_id: UUID) -> list[Model]:
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(MODELS, (chain_id,)).fetchall()


def read_serving(connection: psycopg.Connection, chain_id: UUID) -> Model | None:
    """The model by whose vectors precedents are found; None before the first."""
    return next((model for model in read_models(connection, chain_id) if model.status == "serving"), None)


def serve_model(connection: psycopg.Connection, chain_id: UUID, model_id: str) -> None:
    """From the commit on this model serves, and the one before it is retired; its rows stay.

    Raises: FieldInvalid for a model that is not registered.
    """
    if model_id not in {model.model_id for model in read_models(connection, chain_id)}:
        raise FieldInvalid(f"couldn't serve '{model_id}': no such model is registered")
    connection.execute(RETIRE, (chain_id, model_id))
    connection.execute(SERVE, (chain_id, model_id))


def read_qualified(connection: psycopg.Connection, chain_id: UUID, size: int, first: datetime, after_last: datetime) -> list[Qualified]:
    """Decisions that qualified in [first, after_last), of the ledger's first `size` entries, in order of seq."""
    return _qualified(connection, BETWEEN, {"chain": chain_id, "size": size, "first": first, "after_last": after_last})


def read_last_qualified(connection: psycopg.Connection, chain_id: UUID, size: int, last: int) -> list[Qualified]:
    """The `last` decisions that qualified latest, in order of seq."""
    return _qualified(connection, LAST, {"chain": chain_id, "size": size, "last": last})


def read_present(connection: psycopg.Connection, chain_id: UUID, model: Model, decision_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the decisions that have a vector of the model."""
    rows = connection.execute(on_table(PRESENT, "decision", model.dimension), (chain_id, model.model_id, list(decision_ids)))
    return {decision_id for (decision_id,) in rows}


def add_vectors(connection: psycopg.Connection, chain_id: UUID, model: Model, rows: Sequence[tuple[Qualified, bytes, list[float]]]) -> None:
    """Add what is not there; a subject that was erased since it was read adds nothing."""
    columns = {
        "ids": [one.decision_id for one, _, _ in rows],
        "scopes": [one.scope for one, _, _ in rows],
        "seqs": [one.seq for one, _, _ in rows],
        "subjects": [one.subject_id for one, _, _ in rows],
        "verdicts": [one.verdict for one, _, _ in rows],
        "persons": [one.by_person for one, _, _ in rows],
        "ats": [one.qualified_at for one, _, _ in rows],
        "digests": [digest for _, digest, _ in rows],
        "points": [vector_text(vector) for _, _, vector in rows],
    }
    connection.execute(on_table(ADD, "decision", model.dimension), {"chain": chain_id, "model": model.model_id, **columns})


def count_vectors(connection: psycopg.Connection, chain_id: UUID, model: Model, before: datetime) -> int:
    """How many decisions that qualified before then have a vector of the model."""
    row = connection.execute(on_table(COUNT, "decision", model.dimension), (chain_id, model.model_id, before)).fetchone()
    return int(row[0]) if row else 0


def count_unplaced(connection: psycopg.Connection, chain_id: UUID, model: Model, size: int) -> int:
    """Decisions of the ledger's first `size` entries that qualify and have no vector of the model."""
    parameters = {"chain": chain_id, "size": size, "model": model.model_id}
    row = connection.execute(on_table(UNPLACED, "decision", model.dimension), parameters).fetchone()
    return int(row[0]) if row else 0


def on_table(statement: LiteralString, kind: str, dimension: int) -> sql.Composed:
    """The statement on the table of that kind (decision, snapshot) and dimension."""
    return sql.SQL(statement).format(table=sql.Identifier(f"{kind}_embeddings_{dimension}"))


def _qualified(connection: psycopg.Connection, statement: str, parameters: dict[str, Any]) -> list[Qualified]:
    with connection.cursor(row_factory=class_row(Qualified)) as cursor:
        return cursor.execute(statement.encode(), parameters).fetchall()
