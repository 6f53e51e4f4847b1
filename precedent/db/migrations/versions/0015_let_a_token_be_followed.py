"""Let a token be followed by another of its name.

The name is the principal, so a successor must have it from its first moment, while the token before it works on for a time. One token
of a name is current; those before it carry the instant at which they were followed. Going back revokes them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INDEX = "api_tokens_name_key"


def upgrade() -> None:
    told = "when another of its name took its place; it works until it expires"
    op.add_column("api_tokens", sa.Column("followed_at", sa.TIMESTAMP(timezone=True), comment=told), schema="precedent")
    _index("revoked_at is null and followed_at is null")


def downgrade() -> None:
    op.execute("update precedent.api_tokens set revoked_at = now() where followed_at is not null and revoked_at is null")
    _index("revoked_at is null")
    op.drop_column("api_tokens", "followed_at", schema="precedent")


def _index(which: str) -> None:
    op.drop_index(INDEX, table_name="api_tokens", schema="precedent")
    op.create_index(INDEX, "api_tokens", ["name"], unique=True, schema="precedent", postgresql_where=sa.text(which))
