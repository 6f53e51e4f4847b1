"""Let a message be about something that is no entry: a run of the pipeline that failed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COMMENT = "null where a message is about no entry"


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.alter_column("outbox", "entry_id", existing_type=sa.UUID(), nullable=True, comment=COMMENT, schema="precedent")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    # Such messages can't be kept: what delivers them is gone with this version.
    op.execute("delete from precedent.outbox where entry_id is null")
    op.alter_column(
        "outbox", "entry_id", existing_type=sa.UUID(), nullable=False, comment=None, existing_comment=COMMENT, schema="precedent"
    )
