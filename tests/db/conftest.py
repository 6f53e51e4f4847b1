"""A filled database, an administrator in it, and a login for each role."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sample_entries as sample
from allowed_rights import ROLES

from precedent.db.embedded import EmbeddedPostgres
from precedent.db.engine import connect


def login_of(role: str) -> str:
    return f"login_{role}"


@pytest.fixture(scope="module")
def filled_url(server: EmbeddedPostgres, module_database_url: str) -> Iterator[str]:
    """A ledger with a row in every table of the record, and a login for each role."""
    sample.fill(module_database_url)
    with connect(module_database_url) as connection:  # row triggers speak of rows only
        connection.execute(
            r"""
            insert into ledger.tile select id, 0, 0, decode(repeat('00', 8192), 'hex'), decode(repeat('00', 32), 'hex') from ledger.chain;
            insert into ledger.checkpoint select id, 1, decode(repeat('00', 32), 'hex'), '' from ledger.chain
            """
        )
    with psycopg.connect(server.url, autocommit=True) as connection:
        for role in ROLES:
            connection.execute(f"create role {login_of(role)} login in role {role}".encode())
        try:
            yield module_database_url
        finally:
            for role in ROLES:
                connection.execute(f"drop role {login_of(role)}".encode())


@pytest.fixture
def administrator(filled_url: str) -> Iterator[psycopg.Connection]:
    with connect(filled_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def as_role(filled_url: str, role: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(filled_url, user=login_of(role)) as connection:
        yield connection
        connection.rollback()
