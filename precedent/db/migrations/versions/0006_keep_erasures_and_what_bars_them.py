"""Keep erasures, what bars them, and epochs of keys.

Projections of entries of kind 8 and 9, of which there are none before this version; and the way from a subject to its entries.
Appends wait while the two indexes are built: some seconds for each million rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
IS_NAMED = sa.text("subject_id is not null")


def upgrade() -> None:
    op.execute("set local lock_timeout = '30s'")
    _create_erasures()
    _create_bars()
    op.create_table(
        "key_epochs",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("opened_seq", sa.BigInteger(), nullable=True, comment="null: from before the first rotation"),
        sa.Column("destroyed_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "epoch", name=op.f("key_epochs_pkey")),
        schema="precedent",
    )
    for table in ("events", "decisions"):
        name = f"{table}_chain_id_subject_id_idx"
        op.create_index(name, table, ["chain_id", "subject_id"], schema="precedent", postgresql_where=IS_NAMED)


def _create_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.UUID(), nullable=False),
        sa.Column("subject_id", sa.UUID(), nullable=False),
        sa.Column("section_count", sa.Integer(), nullable=False, comment="how many personal sections it destroyed"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("erased_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "seq", name=op.f("erasures_pkey")),
        schema="precedent",
    )
    op.create_index(op.f("erasures_chain_id_subject_id_idx"), "erasures", ["chain_id", "subject_id"], schema="precedent")


def _create_bars() -> None:
    op.create_table(
        "legal_holds",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("subject_id", sa.UUID(), nullable=True),
        sa.Column("node", sa.Text(), nullable=True, comment="every subject that this node decided about"),
        sa.Column("until", INSTANT, nullable=True, comment="null: until it is lifted"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_at", INSTANT, nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("lifted_at", INSTANT, nullable=True),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("legal_holds_pkey")),
        schema="precedent",
    )
    op.create_table(
        "retention_rules",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False, comment="a node; of events: events"),
        sa.Column("action", sa.Text(), nullable=False, comment="an action, or the type of an event; * is any"),
        sa.Column("days", sa.Integer(), nullable=False, comment="from when it happened; 0 keeps nothing"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "node", "action", name=op.f("retention_rules_pkey")),
        schema="precedent",
    )


def downgrade() -> None:
    op.execute("drop function if exists ledger.erase(uuid, uuid, bytea, bytea)")
    op.execute("drop function if exists ledger.bar_erasure(uuid, uuid, bytea, bytea)")
    op.execute("drop function if exists ledger.rewrap(uuid, uuid, bytea, bytea, uuid[], text[], bytea[], bytea[])")
    op.execute("drop function if exists precedent.erasure_row(uuid, bigint, timestamptz, uuid, jsonb)")
    for table in ("decisions", "events"):
        op.drop_index(f"{table}_chain_id_subject_id_idx", table_name=table, schema="precedent")
    for table in ("key_epochs", "retention_rules", "legal_holds", "erasures"):
        op.drop_table(table, schema="precedent")
