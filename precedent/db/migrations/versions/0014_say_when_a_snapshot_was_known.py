"""Say rightly when a snapshot was known: the first of a day when that day ended, not when it was made."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BEFORE = "when it was made: nothing decided before may read it"
SINCE = "when its day ended; of one that supersedes another, when it was made: nothing decided before may read it"


def upgrade() -> None:
    op.alter_column("knowledge_snapshots", "known_at", comment=SINCE, existing_comment=BEFORE, schema="precedent")


def downgrade() -> None:
    op.alter_column("knowledge_snapshots", "known_at", comment=BEFORE, existing_comment=SINCE, schema="precedent")
