"""Index decisions by time and events by type.

The last day's decisions were counted by reading all that there ever were, and the newest events of a rare type found by walking
back through all others. Appends wait while the indexes are built: some seconds for each million rows.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("decisions_chain_id_recorded_at_idx", "decisions", ["chain_id", "recorded_at"], schema="precedent")
    op.create_index("events_chain_id_type_seq_idx", "events", ["chain_id", "type", "seq"], schema="precedent")


def downgrade() -> None:
    op.drop_index("events_chain_id_type_seq_idx", table_name="events", schema="precedent")
    op.drop_index("decisions_chain_id_recorded_at_idx", table_name="decisions", schema="precedent")
