"""Keep where webhooks go, and find what waits for them, for people, and what was given up, each without reading the rest.

The outbox gets a column that is null in every row there is: no row is written anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
WAITING = "delivered_at is null and dead_at is null"


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "webhook_endpoints",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("topics", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False, comment="active or disabled"),
        sa.Column("status_reason", sa.Text()),
        sa.Column(
            "secret_version", sa.Integer(), server_default="1", nullable=False, comment="the secret is derived from it and a key outside"
        ),
        sa.Column("previous_until", INSTANT, comment="until then the version before signs as well"),
        sa.Column("paused_until", INSTANT, comment="until then nothing is sent: it was not reached, or asked for patience"),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("webhook_endpoints_pkey")),
        sa.UniqueConstraint("chain_id", "name", name=op.f("webhook_endpoints_chain_id_name_key")),
        schema="precedent",
    )
    op.add_column("outbox", sa.Column("endpoint_id", sa.UUID(), comment="of a webhook; null: for people"), schema="precedent")
    op.drop_index("outbox_waiting_idx", table_name="outbox", schema="precedent")
    _create_index("outbox_people_idx", "next_attempt_at", f"{WAITING} and endpoint_id is null")
    _create_index("outbox_webhooks_idx", "next_attempt_at", f"{WAITING} and endpoint_id is not null")
    _create_index("outbox_dead_idx", "id", "dead_at is not null")


def downgrade() -> None:
    for name in ("outbox_people_idx", "outbox_webhooks_idx", "outbox_dead_idx"):
        op.drop_index(name, table_name="outbox", schema="precedent")
    # What waits for an endpoint has no way out any more, and would be taken for a message to people.
    op.execute("delete from precedent.outbox where endpoint_id is not null")
    op.drop_column("outbox", "endpoint_id", schema="precedent")
    _create_index("outbox_waiting_idx", "next_attempt_at", WAITING)
    op.drop_table("webhook_endpoints", schema="precedent")


def _create_index(name: str, column: str, condition: str) -> None:
    op.create_index(name, "outbox", [column], schema="precedent", postgresql_where=sa.text(condition))
