"""What the command line asks the database about itself."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql


@dataclass(frozen=True, slots=True)
class Versions:
    """`server` as PostgreSQL counts (180004); `vector` of the extension that is or could be installed, None without it."""

    server: int
    vector: str | None


def ensure_schema(connection: psycopg.Connection, name: str) -> None:
    """The schema exists afterwards."""
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(name)))


def read_versions(connection: psycopg.Connection) -> Versions:
    row = connection.execute(
        "select coalesce(installed_version, default_version) from pg_available_extensions where name = 'vector'"
    ).fetchone()
    return Versions(connection.info.server_version, row[0] if row else None)


def read_ledger_size(connection: psycopg.Connection, chain: str) -> int:
    """How many entries the chain has; 0 for a chain without any.

    Raises: psycopg.Error where the view can't be read.
    """
    row = connection.execute("select size from precedent.ledger_heads where chain = %s", (chain,)).fetchone()
    return int(row[0]) if row else 0
