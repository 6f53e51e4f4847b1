"""Keep of reviews which kind they are, how far their deadlines have come, and which entry closed them.

Until here only escalations had a row. Decisions that can be reversed, and those that the draw picks for an audit, get theirs, as a
rebuild of the projections would make them. It reads all decisions once.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INSTANT = TIMESTAMP(timezone=True)
COMMENTS = {
    "status": ("open, then approved or denied", "open, then approved or denied, reversed or confirmed"),
    "due_at": (None, "of a reversible one: until when it can be reversed"),
    "reviewer": (None, "null while nobody answered, and where its deadline did"),
}
COLUMNS = ("kind", "reminded_at", "raised_at", "raised_to", "timed_out_at", "answer_id")

# As `precedent.review_row` says, on the decision's row: the functions are laid only after all migrations.
MISSING = """
insert into precedent.reviews (chain_id, decision_id, node, action, status, assigned_to, due_at, opened_at, kind)
select d.chain_id, d.id, d.node, d.action, 'open', d.output ->> 'notify',
       case k.kind when 'reversible' then d.recorded_at + (d.output ->> 'reversible_seconds')::bigint * interval '1 second' end,
       d.recorded_at, k.kind
from precedent.decisions d
cross join lateral (
    select case when (('x' || encode(substr(sha256('\\x13'::bytea || d.hash), 1, 7), 'hex'))::bit(56)::bigint % 1000000)
                     < (d.output ->> 'audit_ppm')::integer then 'audit'
                when d.output ->> 'reversible_seconds' is not null then 'reversible' end as kind
) k
where not d.imported and d.effective and d.verdict = 'approve' and k.kind is not null
"""


def upgrade() -> None:
    op.execute("set local lock_timeout = '10s'")
    op.add_column("reviews", sa.Column("kind", sa.Text, comment="escalation, reversible or audit"), schema="precedent")
    op.add_column("reviews", sa.Column("reminded_at", INSTANT), schema="precedent")
    op.add_column("reviews", sa.Column("raised_at", INSTANT), schema="precedent")
    op.add_column("reviews", sa.Column("raised_to", sa.Text, comment="whom it was raised to before its deadline"), schema="precedent")
    op.add_column("reviews", sa.Column("timed_out_at", INSTANT, comment="when its deadline acted"), schema="precedent")
    op.add_column("reviews", sa.Column("answer_id", UUID, comment="of the entry that closed it"), schema="precedent")
    for column, (_, comment) in COMMENTS.items():
        op.alter_column("reviews", column, comment=comment, schema="precedent")
    op.execute("update precedent.reviews set kind = 'escalation'")
    op.execute(MISSING)
    op.alter_column("reviews", "kind", nullable=False, schema="precedent")
    op.drop_index("reviews_status_due_at_idx", table_name="reviews", schema="precedent")
    due = sa.text("coalesce(due_at, 'infinity'::timestamptz)")
    op.create_index("reviews_queue_idx", "reviews", ["chain_id", "kind", "status", due, "decision_id"], schema="precedent")
    waiting = sa.text("status = 'open' and kind = 'escalation'")
    op.create_index("reviews_waiting_idx", "reviews", ["chain_id", "due_at"], schema="precedent", postgresql_where=waiting)
    closed = sa.text("closed_at is not null")
    op.create_index("reviews_chain_id_closed_at_idx", "reviews", ["chain_id", "closed_at"], schema="precedent", postgresql_where=closed)


def downgrade() -> None:
    op.execute("delete from precedent.reviews where kind <> 'escalation'")
    for name in ("reviews_chain_id_closed_at_idx", "reviews_waiting_idx", "reviews_queue_idx"):
        op.drop_index(name, table_name="reviews", schema="precedent")
    op.create_index("reviews_status_due_at_idx", "reviews", ["status", "due_at"], schema="precedent")
    for column, (comment, _) in COMMENTS.items():
        op.alter_column("reviews", column, comment=comment, schema="precedent")
    for column in reversed(COLUMNS):
        op.drop_column("reviews", column, schema="precedent")
