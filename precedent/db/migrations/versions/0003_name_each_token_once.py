"""Name each token once.

A token's name is the principal that entries and idempotency keys are recorded under. Of several that stand under one name, all
but the first get their id behind it: they work on, and are told apart from now on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "update precedent.api_tokens t set name = t.name || '-' || t.id::text"
        " where t.revoked_at is null and exists (select 1 from precedent.api_tokens o where o.name = t.name and o.revoked_at is null"
        " and (o.created_at, o.id) < (t.created_at, t.id))"
    )
    op.create_index(
        "api_tokens_name_key",
        "api_tokens",
        ["name"],
        unique=True,
        schema="precedent",
        postgresql_where=sa.text("revoked_at is null"),
    )


def downgrade() -> None:
    op.drop_index("api_tokens_name_key", table_name="api_tokens", schema="precedent")
