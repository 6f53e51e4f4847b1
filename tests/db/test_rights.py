"""Every forbidden statement is tried as every role, on every table; what is not allowed by name is forbidden."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sample_entries as sample
from psycopg import sql

from precedent.db.engine import ANALYST, API, ERASER, OWNER, PIPELINE, connect
from precedent.db.tables import metadata

RECORD = ("ledger.chain", "ledger.entry", "ledger.section", "ledger.subject_key", "ledger.tile", "ledger.checkpoint")
TABLES = tuple(sorted(metadata.tables))
ROLES = (API, PIPELINE, ERASER, ANALYST)
DERIVED = {
    f"precedent.{name}" for name in ("events", "decisions", "outcomes", "reviews", "policy_versions", "node_flags", "policy_variants_stats")
}

MAY_READ = {
    API: set(TABLES),
    PIPELINE: {"ledger.chain", "ledger.entry", "ledger.section", "precedent.outbox"} | DERIVED,
    ERASER: {name for name in TABLES if name.startswith("ledger.")} | {"precedent.subjects"},
    ANALYST: {"ledger.chain", "ledger.entry"} | DERIVED,
}
MAY_UPDATE = {(API, "precedent.outbox", column) for column in ("attempts", "next_attempt_at", "delivered_at", "dead_at", "last_error")}


@pytest.fixture(scope="module")
def filled_url(module_database_url: str) -> str:
    sample.fill(module_database_url)
    with connect(module_database_url) as connection:  # row triggers speak of rows only
        connection.execute(
            r"""
            insert into ledger.tile select id, 0, 0, decode(repeat('00', 8192), 'hex'), decode(repeat('00', 32), 'hex') from ledger.chain;
            insert into ledger.checkpoint select id, 1, decode(repeat('00', 32), 'hex'), '' from ledger.chain
            """
        )
    return module_database_url


@pytest.fixture
def as_role(filled_url: str, role: str) -> Iterator[psycopg.Connection]:
    with connect(filled_url, role) as connection:
        yield connection
        connection.rollback()


def statement(words: str, table: str, column: str = "") -> sql.Composed:
    return sql.SQL(words).format(table=sql.Identifier(*table.split(".")), column=sql.Identifier(column))  # type: ignore[arg-type]


def is_refused(connection: psycopg.Connection, query: sql.Composed) -> bool:
    """Whether the statement failed for want of a right; nothing it did remains."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(query)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_what_it_needs_and_nothing_else(as_role: psycopg.Connection, role: str) -> None:
    readable = {name for name in TABLES if not is_refused(as_role, statement("select * from {table} limit 1", name))}
    assert readable == MAY_READ[role]


WRITES = (
    "insert into {table} overriding system value select * from {table}",
    "insert into {table} default values",
    "delete from {table}",
    "truncate {table}",
    "alter table {table} disable trigger user",
    "alter table {table} add column more int",
    "drop table {table}",
    "lock table {table}",
    "create index on {table} ((1))",
    "alter table {table} owner to current_user",
)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("words", WRITES)
def test_no_role_writes_a_table_or_changes_it(as_role: psycopg.Connection, role: str, words: str) -> None:
    taken = [name for name in TABLES if not is_refused(as_role, statement(words, name))]
    assert taken == []


@pytest.mark.parametrize("role", ROLES)
def test_no_role_updates_a_column_but_those_of_the_outbox(as_role: psycopg.Connection, role: str) -> None:
    updated = {
        (role, name, column.name)
        for name, table in metadata.tables.items()
        for column in table.columns
        if not is_refused(as_role, statement("update {table} set {column} = default where false", name, column.name))
    }
    assert updated == {allowed for allowed in MAY_UPDATE if allowed[0] == role}


@pytest.mark.parametrize("role", ROLES)
def test_no_role_calls_a_function_that_writes_but_append_and_integrate(as_role: psycopg.Connection, role: str) -> None:
    rows = as_role.execute(
        """
        select p.oid::regprocedure::text, has_function_privilege(p.oid, 'execute')
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('ledger', 'precedent')
        """
    ).fetchall()
    callable_names = {name.split("(")[0] for name, is_allowed in rows if is_allowed}
    readers = {"ledger.u8", "ledger.u64_at", "ledger.instant"}
    writers = {ANALYST: set(), API: {"ledger.append", "ledger.integrate"}}.get(role, {"ledger.append"})
    assert callable_names == readers | writers


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "words",
    [
        f"set role {OWNER}",
        "create table ledger.mine (id int)",
        "create table precedent.mine (id int)",
        "create table public.mine (id int)",
        "create or replace function ledger.u8(p_value integer) returns bytea language sql as 'select null::bytea'",
        "set session_replication_role = replica",
        "select pg_read_file('PG_VERSION')",
        "create role mine",
    ],
)
def test_no_role_rises_above_itself(filled_url: str, role: str, words: str) -> None:
    """The login user here is an administrator, who may become anybody: a session that logs in as the role may not."""
    with psycopg.connect(filled_url) as administrator:
        administrator.execute(sql.SQL("set session authorization {}").format(sql.Identifier(role)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            administrator.execute(words.encode())
        administrator.rollback()


CHANGES = ("update {table} set {column} = {column}", "delete from {table}", "truncate {table}", "truncate {table} cascade")


@pytest.mark.parametrize("name", RECORD)
@pytest.mark.parametrize("words", CHANGES)
@pytest.mark.parametrize("setting", ["origin", "replica", "local"])
def test_the_record_refuses_even_its_owner_and_an_administrator(filled_url: str, name: str, words: str, setting: str) -> None:
    column = next(iter(metadata.tables[name].columns)).name
    for role in (None, OWNER) if setting == "origin" else (None,):
        with connect(filled_url, role) as connection:
            if setting != "origin":
                connection.execute(f"set session_replication_role = {setting}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is never changed"):
                connection.execute(statement(words, name, column))
            connection.rollback()


def test_nobody_logs_in_as_a_role_and_none_has_an_attribute(filled_url: str) -> None:
    with psycopg.connect(filled_url) as connection:
        rows = connection.execute(
            """
            select rolname from pg_roles where rolname like 'precedent\\_%'
            and (rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication)
            """
        ).fetchall()
        count = connection.execute("select count(*) from pg_roles where rolname like 'precedent\\_%'").fetchone()
    assert rows == []
    assert count == (5,)


def test_the_functions_that_run_as_their_owner_pin_their_search_path(filled_url: str) -> None:
    with psycopg.connect(filled_url) as connection:
        rows = connection.execute(
            """
            select p.proname, p.proconfig from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where n.nspname in ('ledger', 'precedent') and p.prosecdef
            """
        ).fetchall()
    assert sorted(name for name, _ in rows) == ["append", "integrate"]
    assert all("search_path=pg_catalog, pg_temp" in options for _, options in rows)
