"""Find delivered messages by their age: those that are old enough are removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

INDEX = "outbox_delivered_idx"


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    where = sa.text("delivered_at is not null")
    op.create_index(INDEX, "outbox", ["chain_id", "delivered_at"], schema="precedent", postgresql_where=where)


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.execute("drop function if exists precedent.forget_delivered(uuid, timestamptz, integer)")
    op.drop_index(INDEX, table_name="outbox", schema="precedent")
