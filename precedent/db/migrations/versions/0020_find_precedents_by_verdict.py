"""Find the precedents of another verdict than the nearest has by an index: where they are few or none, a walk of the vectors' own index
would go to its end.
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

BEFORE = {
    384: "decision_embeddings_384_chain_id_model_id_scope_qualifi_b42f",
    1536: "decision_embeddings_1536_chain_id_model_id_scope_qualif_fc79",
}
AFTER = {
    384: "decision_embeddings_384_chain_id_model_id_scope_verdict_ab5a",
    1536: "decision_embeddings_1536_chain_id_model_id_scope_verdic_4fb1",
}


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    _replace(BEFORE, AFTER, ["chain_id", "model_id", "scope", "verdict", "qualified_at"])


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    _replace(AFTER, BEFORE, ["chain_id", "model_id", "scope", "qualified_at"])


def _replace(old: dict[int, str], new: dict[int, str], columns: list[str]) -> None:
    for dimension in old:
        table = f"decision_embeddings_{dimension}"
        op.create_index(new[dimension], table, columns, schema="precedent")
        op.drop_index(old[dimension], table_name=table, schema="precedent")
