"""Drop the indexes of vectors over all actions: each action that has many gets its own (`precedent.index_scope`).

Filtered to one action in thirty-three they took 9 ms, and to what was known at an early moment up to 270 ms and a quarter of the
answers. Precedents are found exactly, only slower, until the next `recall_probe`.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

DIMENSIONS = (384, 1536)


def upgrade() -> None:
    for dimension in DIMENSIONS:
        op.drop_index(f"decision_embeddings_{dimension}_hnsw_idx", f"decision_embeddings_{dimension}", schema="precedent")


def downgrade() -> None:
    op.execute("drop function if exists precedent.index_scope(uuid, text, text)")
    for dimension in DIMENSIONS:
        op.create_index(
            f"decision_embeddings_{dimension}_hnsw_idx",
            f"decision_embeddings_{dimension}",
            ["context_vec"],
            schema="precedent",
            postgresql_using="hnsw",
            postgresql_ops={"context_vec": "vector_cosine_ops"},
        )
