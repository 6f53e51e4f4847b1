"""Keep the rate of a token that has one of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

COMMENT = "requests it may make on one API process; null: what the setting says"


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.add_column("api_tokens", sa.Column("rate_per_second", sa.Double(), nullable=True, comment=COMMENT), schema="precedent")
    op.create_check_constraint("api_tokens_rate_per_second_check", "api_tokens", "rate_per_second > 0", schema="precedent")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_column("api_tokens", "rate_per_second", schema="precedent")
