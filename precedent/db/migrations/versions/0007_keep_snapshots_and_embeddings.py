"""Keep snapshots of days, models of embeddings and vectors of decisions.

New and empty tables: nothing waits, and nothing that was recorded changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
DIMENSIONS = (384, 1536)


def upgrade() -> None:
    _create_models()
    _create_snapshots()
    for dimension in DIMENSIONS:
        _create_decision_vectors(dimension)
        _create_snapshot_vectors(dimension)


def _create_models() -> None:
    op.create_table(
        "embedding_models",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(), nullable=False, comment="what the encoder is made again from"),
        sa.Column("status", sa.Text(), nullable=False, comment="filling, serving or retired"),
        sa.Column("registered_at", INSTANT, nullable=False),
        sa.Column("served_from", INSTANT, nullable=True),
        sa.CheckConstraint("dimension in (384, 1536)", name=op.f("embedding_models_dimension_check")),
        sa.CheckConstraint("status in ('filling', 'serving', 'retired')", name=op.f("embedding_models_status_check")),
        sa.PrimaryKeyConstraint("chain_id", "model_id", name=op.f("embedding_models_pkey")),
        schema="precedent",
    )
    is_serving = sa.text("status = 'serving'")
    op.create_index(
        "embedding_models_serving_key", "embedding_models", ["chain_id"], unique=True, schema="precedent", postgresql_where=is_serving
    )


def _create_snapshots() -> None:
    op.create_table(
        "knowledge_snapshots",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="node-daily"),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("period_start", INSTANT, nullable=False),
        sa.Column("period_end", INSTANT, nullable=False, comment="exclusive"),
        sa.Column("facts", postgresql.JSONB(), nullable=False, comment="the structure: numbers, and the name of the SQL that made them"),
        sa.Column("summary", sa.Text(), nullable=False, comment="words, which hold no number that the structure lacks"),
        sa.Column("written_by", sa.Text(), nullable=False, comment="template@1, or the model that put it into words"),
        sa.Column(
            "cites",
            postgresql.ARRAY(sa.UUID()),
            nullable=False,
            comment="decisions named in it; an erasure of one's subject deletes the row",
        ),
        sa.Column("summary_vec", Vector(384), nullable=False, comment="the structure as a point, by typed-384@1"),
        sa.Column("ledger_size", sa.BigInteger(), nullable=False, comment="entries of the chain that it was made from"),
        sa.Column("facts_digest", sa.LargeBinary(), nullable=False, comment="SHA256 of the canonical structure"),
        sa.Column("known_at", INSTANT, nullable=False, comment="when it was made: nothing decided before may read it"),
        sa.Column("supersedes", sa.UUID(), nullable=True, comment="the snapshot of the same day that this one corrects"),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("knowledge_snapshots_pkey")),
        sa.UniqueConstraint("chain_id", "supersedes", name=op.f("knowledge_snapshots_chain_id_supersedes_key")),
        schema="precedent",
    )
    table = "knowledge_snapshots"
    is_first = sa.text("supersedes is null")
    first = ["chain_id", "scope", "period_start"]
    op.create_index("knowledge_snapshots_first_key", table, first, unique=True, schema="precedent", postgresql_where=is_first)
    op.create_index(op.f("knowledge_snapshots_chain_id_scope_known_at_idx"), table, ["chain_id", "scope", "known_at"], schema="precedent")
    op.create_index(op.f("knowledge_snapshots_cites_idx"), table, ["cites"], schema="precedent", postgresql_using="gin")


def _create_decision_vectors(dimension: int) -> None:
    decisions = f"decision_embeddings_{dimension}"
    op.create_table(
        decisions,
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.UUID(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="node/action"),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="of the decision"),
        sa.Column("subject_id", sa.UUID(), nullable=True, comment="an erasure of the subject deletes the row"),
        sa.Column("verdict", sa.Text(), nullable=False, comment="the person's answer where a person decided, else that of the decision"),
        sa.Column("by_person", sa.Boolean(), nullable=False),
        sa.Column("qualified_at", INSTANT, nullable=False, comment="when we knew the first outcome, or the person's answer"),
        sa.Column("input_digest", sa.LargeBinary(), nullable=False, comment="SHA256 of what was encoded"),
        sa.Column("context_vec", Vector(dimension), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "model_id", "decision_id", name=op.f(f"{decisions}_pkey")),
        schema="precedent",
        comment="a row enters when its decision has an outcome or was decided by a person, and never changes",
    )
    by_scope = ["chain_id", "model_id", "scope", "qualified_at"]
    op.create_index(op.f(f"{decisions}_chain_id_model_id_scope_qualified_at_idx"), decisions, by_scope, schema="precedent")
    named = sa.text("subject_id is not null")
    by_subject = ["chain_id", "subject_id"]
    op.create_index(op.f(f"{decisions}_chain_id_subject_id_idx"), decisions, by_subject, schema="precedent", postgresql_where=named)
    op.create_index(
        f"{decisions}_hnsw_idx",
        decisions,
        ["context_vec"],
        schema="precedent",
        postgresql_using="hnsw",
        postgresql_ops={"context_vec": "vector_cosine_ops"},
    )


def _create_snapshot_vectors(dimension: int) -> None:
    snapshots = f"snapshot_embeddings_{dimension}"
    op.create_table(
        snapshots,
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.UUID(), nullable=False),
        sa.Column("input_digest", sa.LargeBinary(), nullable=False, comment="SHA256 of the redacted words"),
        sa.Column("summary_vec", Vector(dimension), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "model_id", "snapshot_id", name=op.f(f"{snapshots}_pkey")),
        schema="precedent",
    )


def downgrade() -> None:
    op.execute("drop function if exists precedent.forget_subject(uuid, uuid)")
    for dimension in DIMENSIONS:
        op.drop_table(f"snapshot_embeddings_{dimension}", schema="precedent")
        op.drop_table(f"decision_embeddings_{dimension}", schema="precedent")
    op.drop_table("knowledge_snapshots", schema="precedent")
    op.drop_table("embedding_models", schema="precedent")
