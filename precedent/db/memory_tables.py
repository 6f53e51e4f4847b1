"""Tables of memory: models of embeddings, vectors of decisions, snapshots of days. Derived, not projections; part of `tables.py`.

The pipeline adds rows and changes none, so whoever read one can read it again. An erasure takes away what names the subject.
One table per dimension, for a column of vectors has an index only where its dimension is fixed; rows are keyed by the model.
"""

from __future__ import annotations

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.schema import CheckConstraint, SchemaItem

from precedent.db.columns import INSTANT, JSON, chain_column, metadata

DIMENSIONS = (384, 1536)
KNOWN_AT = "when its day ended; of one that supersedes another, when it was made: nothing decided before may read it"

embedding_models = Table(
    "embedding_models",
    metadata,
    chain_column(primary_key=True),
    Column("model_id", Text, primary_key=True),
    Column("dimension", Integer, nullable=False),
    Column("parameters", JSON, nullable=False, comment="what the encoder is made again from"),
    Column("status", Text, nullable=False, comment="filling, serving or retired"),
    Column("registered_at", INSTANT, nullable=False),
    Column("served_from", INSTANT),
    CheckConstraint("dimension in (384, 1536)", name="dimension"),
    CheckConstraint("status in ('filling', 'serving', 'retired')", name="status"),
    Index("embedding_models_serving_key", "chain_id", unique=True, postgresql_where=text("status = 'serving'")),
    schema="precedent",
)


def _decision_embeddings(dimension: int, *searched: SchemaItem) -> Table:
    return Table(
        f"decision_embeddings_{dimension}",
        metadata,
        chain_column(primary_key=True),
        Column("model_id", Text, primary_key=True),
        Column("decision_id", UUID, primary_key=True),
        Column("scope", Text, nullable=False, comment="node/action"),
        Column("seq", BigInteger, nullable=False, comment="of the decision"),
        Column("subject_id", UUID, comment="an erasure of the subject deletes the row"),
        Column("verdict", Text, nullable=False, comment="the person's answer where a person decided, else that of the decision"),
        Column("by_person", Boolean, nullable=False),
        Column("qualified_at", INSTANT, nullable=False, comment="when we knew the first outcome, or the person's answer"),
        Column("input_digest", LargeBinary, nullable=False, comment="SHA256 of what was encoded"),
        Column("context_vec", Vector(dimension), nullable=False),
        *searched,
        Index(None, "chain_id", "model_id", "scope", "verdict", "qualified_at"),
        Index(None, "chain_id", "subject_id", postgresql_where=text("subject_id is not null")),
        schema="precedent",
        comment="a row enters when its decision has an outcome or was decided by a person, and never changes",
    )


# Precedents are found among those of 384 numbers, since no decision waits for a server.
decision_embeddings = {
    384: _decision_embeddings(
        384,
        Column("vector_digest", LargeBinary, Computed("sha256(vector_send(context_vec))", persisted=True), nullable=False),
        Index("decision_embeddings_384_case_idx", "chain_id", "model_id", "scope", "vector_digest", "seq"),
    ),
    1536: _decision_embeddings(1536),
}

case_vectors = Table(
    "case_vectors_384",
    metadata,
    chain_column(primary_key=True),
    Column("model_id", Text, primary_key=True),
    Column("scope", Text, primary_key=True, comment="node/action"),
    Column("vector_digest", LargeBinary, primary_key=True),
    *(
        Column(f"{verdict}_at", INSTANT, comment="when the first such decision qualified; null while none has")
        for verdict in ("approve", "deny", "escalate")
    ),
    Column("context_vec", Vector(384), nullable=False),
    # No index of vectors over all actions: of one action's, where it has many, `precedent.index_scope` makes one.
    schema="precedent",
    comment="what is different in decision_embeddings_384, kept by its triggers: each vector of an action once",
)

recall_calibrations = Table(
    "recall_calibrations",
    metadata,
    chain_column(primary_key=True),
    Column("model_id", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("measured_at", INSTANT, primary_key=True, comment="nothing decided before may use it; of those before, the newest counts"),
    Column("rows_count", BigInteger, nullable=False, comment="vectors of the scope that it was measured over"),
    Column("ef_search", Integer, comment="of the index; null where the exact search is to be used"),
    Column("recall_at_10", Numeric(5, 4), nullable=False, comment="share of the exact ten that this search found"),
    Column("novelty_distance", Numeric(7, 6), comment="99 % of past cases had one at most so far away; null where too few tell"),
    CheckConstraint("ef_search between 1 and 1000", name="ef_search"),  # the bounds of pgvector
    CheckConstraint("recall_at_10 between 0 and 1", name="recall_at_10"),
    CheckConstraint("novelty_distance between 0 and 2", name="novelty_distance"),
    schema="precedent",
    comment="how precedents of a node's action are searched, and beyond which distance a case is novel; only added to",
)

knowledge_snapshots = Table(
    "knowledge_snapshots",
    metadata,
    chain_column(primary_key=True),
    Column("id", UUID, primary_key=True),
    Column("scope", Text, nullable=False, comment="node-daily"),
    Column("node", Text, nullable=False),
    Column("period_start", INSTANT, nullable=False),
    Column("period_end", INSTANT, nullable=False, comment="exclusive"),
    Column("facts", JSON, nullable=False, comment="the structure: numbers, and the name of the SQL that made them"),
    Column("summary", Text, nullable=False, comment="words, which hold no number that the structure lacks"),
    Column("written_by", Text, nullable=False, comment="template@1, or the model that put it into words"),
    Column("cites", ARRAY(UUID), nullable=False, comment="decisions named in it; an erasure of one's subject deletes the row"),
    Column("summary_vec", Vector(384), nullable=False, comment="the structure as a point, by typed-384@1"),
    Column("ledger_size", BigInteger, nullable=False, comment="entries of the chain that it was made from"),
    Column("facts_digest", LargeBinary, nullable=False, comment="SHA256 of the canonical structure"),
    Column("known_at", INSTANT, nullable=False, comment=KNOWN_AT),
    Column("supersedes", UUID, comment="the snapshot of the same day that this one corrects"),
    UniqueConstraint("chain_id", "supersedes"),
    Index("knowledge_snapshots_first_key", "chain_id", "scope", "period_start", unique=True, postgresql_where=text("supersedes is null")),
    Index(None, "chain_id", "scope", "known_at"),
    Index(None, "cites", postgresql_using="gin"),
    schema="precedent",
)


def _snapshot_embeddings(dimension: int) -> Table:
    return Table(
        f"snapshot_embeddings_{dimension}",
        metadata,
        chain_column(primary_key=True),
        Column("model_id", Text, primary_key=True),
        Column("snapshot_id", UUID, primary_key=True),
        Column("input_digest", LargeBinary, nullable=False, comment="SHA256 of the redacted words"),
        Column("summary_vec", Vector(dimension), nullable=False),
        schema="precedent",
    )


snapshot_embeddings = {dimension: _snapshot_embeddings(dimension) for dimension in DIMENSIONS}
