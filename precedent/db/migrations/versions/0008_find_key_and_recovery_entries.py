"""Find the entries of keys, erasures and recoveries without reading all others.

They are a handful among millions; the index holds them alone, and costs an append of anything else nothing but its condition.
Appends wait while it is built: some seconds for each million entries.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "entry_control_idx", "entry", ["chain_id", "seq"], schema="ledger", postgresql_where=text("get_byte(envelope, 1) in (8, 9, 11)")
    )


def downgrade() -> None:
    op.drop_index("entry_control_idx", table_name="entry", schema="ledger")
