"""Keep how precedents of each action are searched, and beyond which distance a case is novel.

A new and empty table: nothing waits, and nothing that was recorded changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLE = "recall_calibrations"


def upgrade() -> None:
    instant = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        TABLE,
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("measured_at", instant, nullable=False, comment="nothing decided before may use it; of those before, the newest counts"),
        sa.Column("rows_count", sa.BigInteger(), nullable=False, comment="vectors of the scope that it was measured over"),
        sa.Column("ef_search", sa.Integer(), nullable=True, comment="of the index; null where the exact search is to be used"),
        sa.Column("recall_at_10", sa.Numeric(5, 4), nullable=False, comment="share of the exact ten that this search found"),
        sa.Column(
            "novelty_distance",
            sa.Numeric(7, 6),
            nullable=True,
            comment="99 % of past cases had one at most so far away; null where too few tell",
        ),
        sa.CheckConstraint("ef_search between 1 and 1000", name=op.f(f"{TABLE}_ef_search_check")),
        sa.CheckConstraint("recall_at_10 between 0 and 1", name=op.f(f"{TABLE}_recall_at_10_check")),
        sa.CheckConstraint("novelty_distance between 0 and 2", name=op.f(f"{TABLE}_novelty_distance_check")),
        sa.PrimaryKeyConstraint("chain_id", "model_id", "node", "action", "measured_at", name=op.f(f"{TABLE}_pkey")),
        schema="precedent",
        comment="how precedents of a node's action are searched, and beyond which distance a case is novel; only added to",
    )


def downgrade() -> None:
    op.drop_table(TABLE, schema="precedent")
