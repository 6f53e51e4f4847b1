"""Keep proposals of policy changes, and which nodes ask for a second person.

Both are projections of policy entries, so that there is nothing to backfill: no such entry was recorded before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = TIMESTAMP(timezone=True)
BEFORE, NOW = "published, active, superseded or withdrawn", "published, active, superseded, deactivated or withdrawn"


def upgrade() -> None:
    op.create_table(
        "policy_proposals",
        sa.Column("chain_id", UUID, nullable=False),
        sa.Column("id", UUID, nullable=False, comment="of the entry that proposes"),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("op", sa.Text, nullable=False, comment="activate; relax: the node shall ask for one person alone"),
        sa.Column("name", sa.Text),
        sa.Column("version", sa.Text),
        sa.Column("replaces", sa.Text, comment="reference of the version that was active when it was proposed"),
        sa.Column("status", sa.Text, nullable=False, comment="open, approved, rejected or lapsed"),
        sa.Column("reason", sa.Text),
        sa.Column("proposed_by", sa.Text, nullable=False),
        sa.Column("proposed_at", INSTANT, nullable=False),
        sa.Column("closed_by", sa.Text),
        sa.Column("closed_at", INSTANT),
        sa.Column("closing_reason", sa.Text),
        sa.PrimaryKeyConstraint("chain_id", "id", name="policy_proposals_pkey"),
        sa.UniqueConstraint("chain_id", "seq", name="policy_proposals_chain_id_seq_key"),
        schema="precedent",
    )
    op.create_table(
        "change_control",
        sa.Column("chain_id", UUID, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("second_person", sa.Boolean, nullable=False, comment="whether an activation needs one who did not propose it"),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("updated_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "node", name="change_control_pkey"),
        schema="precedent",
        comment="absent means one person is enough",
    )
    op.alter_column("policy_versions", "status", comment=NOW, existing_comment=BEFORE, schema="precedent")


def downgrade() -> None:
    op.alter_column("policy_versions", "status", comment=BEFORE, existing_comment=NOW, schema="precedent")
    op.drop_table("change_control", schema="precedent")
    op.drop_table("policy_proposals", schema="precedent")
