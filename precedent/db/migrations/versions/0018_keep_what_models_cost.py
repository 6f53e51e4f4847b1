"""Keep what calls of model servers used and cost. A new and empty table: nothing waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "model_calls",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False, comment="false: before the call; true: after it"),
        sa.Column("began_at", INSTANT, nullable=False, comment="the same in both rows; its UTC day is the day whose budget it uses"),
        sa.Column("model", sa.Text(), nullable=False, comment="as it was asked for"),
        sa.Column("purpose", sa.Text(), nullable=False, comment="embedding or words"),
        sa.Column("node", sa.Text(), comment="null where it is for no single one"),
        sa.Column("attempt", sa.SmallInteger(), nullable=False, comment="1, then one more for each retry, which is a call of its own"),
        sa.Column("outcome", sa.Text(), nullable=False, comment="open, done, failed; refused: no budget had room, and nothing was sent"),
        sa.Column("why", sa.Text(), comment="of a failure its kind, of a refusal the budget's name; never a server's words"),
        sa.Column(
            "counted",
            sa.Text(),
            nullable=False,
            comment="told by the server; bound: nobody told, the most it can be; none: nothing was used",
        ),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_cached", sa.BigInteger(), nullable=False, comment="of tokens_in"),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), comment="millionths of the currency, rounded up; null without a price"),
        sa.Column("currency", sa.Text(), comment="null without a price"),
        sa.Column("duration_ms", sa.BigInteger(), comment="of the call; null before it"),
        sa.CheckConstraint(
            "outcome in ('open', 'done', 'failed', 'refused') and is_final = (outcome <> 'open')", name=op.f("model_calls_outcome_check")
        ),
        sa.CheckConstraint("counted in ('told', 'bound', 'none')", name=op.f("model_calls_counted_check")),
        sa.CheckConstraint("tokens_in >= tokens_cached and tokens_cached >= 0 and tokens_out >= 0", name=op.f("model_calls_tokens_check")),
        sa.CheckConstraint("cost_micros >= 0 and (cost_micros is null) = (currency is null)", name=op.f("model_calls_cost_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", "is_final", name=op.f("model_calls_pkey")),
        schema="precedent",
        comment="counts and names of models alone; nothing of what was sent",
    )
    op.create_index(op.f("model_calls_chain_id_began_at_idx"), "model_calls", ["chain_id", "began_at"], schema="precedent")


def downgrade() -> None:
    op.drop_table("model_calls", schema="precedent")
