"""Alembic's entry: migrates on the connection that `precedent.db.migrate` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from precedent.db.tables import metadata

OURS = {"ledger", "precedent"}


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    # Indexes of one action's vectors come with the data: `precedent.index_scope` makes them.
    is_of_data = kind == "index" and (name or "").startswith("case_vectors_384_hnsw_")
    return name in OURS if kind == "schema" else not is_of_data


connection = context.config.attributes["connection"]
connection.exec_driver_sql("set local lock_timeout = '10s'")
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_schemas=True,
    include_name=_is_ours,
    compare_type=True,
    compare_server_default=True,
    version_table="schema_version",
)
context.run_migrations()
