"""No role rises above itself: the functions it calls, what it becomes, what it makes, what it reads from the server's disk.

As in `test_rights.py`, each role is tried from a login that is a member of it alone.
"""

from __future__ import annotations

import psycopg
import pytest
from allowed_rights import FUNCTIONS, ROLES, SCHEMA_RIGHTS
from database_catalog import functions

from precedent.db.engine import OWNER, PIPELINE


@pytest.mark.parametrize("role", ROLES)
def test_a_role_calls_the_functions_it_needs_and_no_other(
    as_role: psycopg.Connection, administrator: psycopg.Connection, role: str
) -> None:
    for function in functions(administrator):
        if function.is_trigger:
            allowed = as_role.execute("select has_function_privilege(%s::oid, 'execute')", (function.oid,)).fetchone()
            assert allowed == (False,), function.signature
            continue
        # Out of a subquery that stays one: a null that is seen while planning answers for a strict function without a call.
        nulls = ", ".join(f"null::{kind} as a{n}" for n, kind in enumerate(function.argument_types)) or "1"
        arguments = ", ".join(f"x.a{n}" for n in range(len(function.argument_types)))
        query = f"select {function.name}({arguments}) from (select {nulls} offset 0) x"
        try:
            with as_role.transaction(force_rollback=True):
                as_role.execute(query.encode())
            refused = False
        except psycopg.errors.InsufficientPrivilege:
            refused = True
        except psycopg.Error:
            refused = False  # it ran, and found nulls
        assert refused is (role not in FUNCTIONS.get(function.name, frozenset())), function.signature


RISING = (
    *(f"set role {name}" for name in (*ROLES, OWNER)),
    *(f"set session authorization {name}" for name in (*ROLES, OWNER)),
    *(f"grant {name} to current_user" for name in (*ROLES, OWNER)),
    *(f"alter role {name} login" for name in (*ROLES, OWNER)),
    "alter role current_user superuser",
    "alter role current_user bypassrls",
    "create role mine",
    "create role mine in role precedent_owner",
    "drop role precedent_analyst",
    "set session_replication_role = replica",
    "set session_preload_libraries = 'mine'",
    "alter system set fsync = off",
    "alter database {database} set session_replication_role = replica",
    "alter database {database} owner to current_user",
    "create schema mine",
    *(f"create table {schema}.mine (id int)" for schema in ("ledger", "precedent", "analytics", "public", "pg_catalog")),
    *(f"create view {schema}.mine as select 1" for schema in ("ledger", "precedent", "analytics", "public", "pg_catalog")),
    *(f"create type {schema}.mine as (id int)" for schema in ("ledger", "precedent", "analytics", "public", "pg_catalog")),
    *(
        f"create function {schema}.mine() returns int language sql as 'select 1'"
        for schema in ("ledger", "precedent", "analytics", "public", "pg_catalog")
    ),
    "create or replace function ledger.u8(p_value integer) returns bytea language sql as 'select null::bytea'",
    "alter function ledger.u8(integer) owner to current_user",
    "alter function ledger.u8(integer) set search_path = public",
    "drop function ledger.u8(integer)",
    *(f"drop schema {schema} cascade" for schema in ("ledger", "precedent", "analytics", "public")),
    *(f"alter schema {schema} owner to current_user" for schema in ("ledger", "precedent", "analytics")),
    "alter default privileges for role precedent_owner grant all on tables to public",
    "drop owned by precedent_owner",
    "reassign owned by precedent_owner to current_user",
    "drop extension vector",
    "create event trigger mine on ddl_command_start execute function ledger.refuse_change()",
    "create publication mine for all tables",
    "create cast (integer as bytea) without function",
    "copy (select 1) to '/tmp/mine'",
    "copy (select 1) to program 'true'",
    "select pg_read_file('PG_VERSION')",
    "select pg_ls_dir('.')",
    "select lo_import('/etc/hosts')",
    "select pg_reload_conf()",
    "select pg_create_restore_point('mine')",
    "load 'mine'",
)


@pytest.mark.parametrize("words", RISING)
@pytest.mark.parametrize("role", ROLES)
def test_no_role_rises_above_itself(as_role: psycopg.Connection, role: str, words: str) -> None:
    as_role.autocommit = True  # some statements run in no transaction
    if words == f"set role {role}":
        as_role.execute(words.encode())  # itself
        return
    if role == PIPELINE and " analytics" in words:
        return  # its own: dbt makes and drops what stands there
    database = as_role.info.dbname
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role.execute(words.replace("{database}", database).encode())


@pytest.mark.parametrize("schema", SCHEMA_RIGHTS)
def test_a_schema_gives_a_role_what_is_listed(administrator: psycopg.Connection, schema: str) -> None:
    rows = administrator.execute(
        "select a.grantee::regrole::text, a.privilege_type from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = %s", (schema,)
    )
    found: dict[str, set[str]] = {}
    for grantee, privilege in rows:
        if grantee != OWNER:
            found.setdefault(grantee, set()).add(privilege)
    assert found == SCHEMA_RIGHTS[schema]
