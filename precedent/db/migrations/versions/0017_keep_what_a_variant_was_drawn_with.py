"""Keep the probabilities that a decision's variant was drawn with, for whoever weighs its outcome.

No row has to be filled: no decision was drawn before this version.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COMMENT = "variant to its probability in ppm when this one was drawn; null where nothing was drawn"


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    column = sa.Column("probabilities", postgresql.JSONB(none_as_null=True), nullable=True, comment=COMMENT)
    op.add_column("decisions", column, schema="precedent")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_column("decisions", "probabilities", schema="precedent")
