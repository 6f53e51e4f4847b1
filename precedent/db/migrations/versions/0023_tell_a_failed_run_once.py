"""Tell of a failed run once, however often it is looked at: to people, and to each endpoint that asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# Of a run that was told to people twice, the first message stays.
FORGET_REPEATS = """
delete from precedent.outbox later using precedent.outbox first
where later.entry_id is null and first.entry_id is null and later.id > first.id and later.chain_id = first.chain_id
  and later.topic = first.topic and later.payload ->> 'run_id' = first.payload ->> 'run_id'
"""


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.execute(FORGET_REPEATS)
    op.create_index(
        "outbox_run_idx",
        "outbox",
        ["chain_id", sa.text("(payload ->> 'run_id')"), "topic", "endpoint_id"],
        unique=True,
        schema="precedent",
        postgresql_where=sa.text("entry_id is null and payload ->> 'run_id' is not null"),
        postgresql_nulls_not_distinct=True,
    )


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    # Such messages can't be kept: what delivers them is gone with this version.
    op.execute("delete from precedent.outbox where entry_id is null and endpoint_id is not null")
    op.drop_index("outbox_run_idx", table_name="outbox", schema="precedent")
