"""Keep the scorecards of each day, so that they can be stated in the ledger and compared with the next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SHARE = sa.Numeric(7, 6)


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "variant_scorecards",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("computed_on", sa.Date(), nullable=False, comment="UTC; computed again on the same day, its rows are written over"),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False, comment="full policy reference"),
        sa.Column("matured_count", sa.BigInteger(), nullable=False, comment="decisions of which an outcome is known"),
        sa.Column("rewarded_count", sa.BigInteger(), nullable=False, comment="those whose reward variants may learn from"),
        sa.Column("reward_sum", sa.Numeric(20, 6), nullable=False),
        sa.Column("reward_mean", SHARE, nullable=True, comment="null, as what follows, where none counts"),
        sa.Column("low", SHARE, nullable=True, comment="Wilson interval of 95 %"),
        sa.Column("high", SHARE, nullable=True),
        sa.Column("is_best", SHARE, nullable=True, comment="probability that its rate is the highest of the experiment"),
        sa.Column("ledger_size", sa.BigInteger(), nullable=False, comment="entries of the chain that they were computed from"),
        sa.CheckConstraint("rewarded_count <= matured_count", name=op.f("variant_scorecards_rewarded_count_check")),
        sa.PrimaryKeyConstraint(*("chain_id", "computed_on", "node", "action", "policy_version"), name=op.f("variant_scorecards_pkey")),
        schema="precedent",
        comment="how the outcomes of each version came out, as the panel of the day had them; descriptive",
    )


def downgrade() -> None:
    op.drop_table("variant_scorecards", schema="precedent")
