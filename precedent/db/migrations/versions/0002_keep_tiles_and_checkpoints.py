"""Keep tiles and checkpoints.

Both are new and empty: the tree over entries that stand already is built by the integrator, in batches, after the start.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tile",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False, comment="hashes number*256 … number*256 + 255 of tree level 8*level"),
        sa.Column("root", sa.LargeBinary(), nullable=False, comment="the hash at the top of the tile"),
        sa.CheckConstraint("octet_length(hashes) = 8192", name=op.f("tile_hashes_check")),
        sa.CheckConstraint("octet_length(root) = 32", name=op.f("tile_root_check")),
        sa.PrimaryKeyConstraint("chain_id", "level", "number", name=op.f("tile_pkey")),
        schema="ledger",
    )
    op.create_table(
        "checkpoint",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False, comment="C2SP tlog-checkpoint, signed"),
        sa.CheckConstraint("octet_length(root) = 32", name=op.f("checkpoint_root_check")),
        sa.CheckConstraint("size > 0", name=op.f("checkpoint_size_check")),
        sa.PrimaryKeyConstraint("chain_id", "size", name=op.f("checkpoint_pkey")),
        schema="ledger",
    )


def downgrade() -> None:
    op.execute("drop function if exists ledger.integrate(uuid, smallint[], bigint[], bytea[], bytea[], bigint, bytea, text)")
    op.drop_table("checkpoint", schema="ledger")
    op.drop_table("tile", schema="ledger")
