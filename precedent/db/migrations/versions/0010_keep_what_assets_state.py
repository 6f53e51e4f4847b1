"""Keep what materialisations state of their rows.

One projection, of entries of kind 10, of which there are none before this version, and two tables beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    _create_statements()
    op.create_table(
        "asset_leaves",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("entry_id", sa.UUID(), nullable=False),
        sa.Column(
            "leaves",
            sa.LargeBinary(),
            nullable=False,
            comment="32 bytes a row, ascending: they make the digest, and tell which row differs",
        ),
        sa.PrimaryKeyConstraint("chain_id", "entry_id", name=op.f("asset_leaves_pkey")),
        schema="precedent",
    )
    op.create_table(
        "asset_partitions",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("due_since", INSTANT, nullable=True, comment="a run is writing its rows, or ended before it had stated them"),
        sa.PrimaryKeyConstraint("chain_id", "asset", "partition", name=op.f("asset_partitions_pkey")),
        schema="precedent",
    )
    is_due = sa.text("due_since is not null")
    op.create_index("asset_partitions_due_idx", "asset_partitions", ["chain_id", "asset"], schema="precedent", postgresql_where=is_due)


def _create_statements() -> None:
    op.create_table(
        "asset_statements",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False, comment="of the entry"),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="of a partition, the highest is current"),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False, comment="a day, UTC"),
        sa.Column("digest", sa.Text(), nullable=False, comment="of the rows, in hex: the root over their leaves"),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("ledger_size", sa.BigInteger(), nullable=False, comment="of the prefix that the rows were computed from"),
        sa.Column("supersedes", sa.UUID(), nullable=True),
        sa.Column("statement", postgresql.JSONB(none_as_null=True), nullable=False, comment="the entry's core"),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("asset_statements_pkey")),
        schema="precedent",
    )
    columns = ["chain_id", "asset", "partition", "seq"]
    op.create_index(op.f("asset_statements_chain_id_asset_partition_seq_idx"), "asset_statements", columns, schema="precedent")


def downgrade() -> None:
    op.execute("drop function if exists precedent.asset_row(uuid, bigint, timestamptz, uuid, jsonb)")
    for table in ("asset_partitions", "asset_leaves", "asset_statements"):
        op.drop_table(table, schema="precedent")
