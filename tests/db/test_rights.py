"""Every statement that is not allowed by name is tried as every role, on everything that the catalog lists.

Each role is tried from a login of its own that is a member of it alone, so that nothing rests on what an administrator's
session could take back. What is allowed stands in `allowed_rights.py`.
"""

from __future__ import annotations

import re
from importlib.resources import files

import psycopg
import pytest
from allowed_rights import FUNCTIONS, KINDS, MAY_CHANGE, RELATIONS, ROLES, RUN_AS_OWNER, SCHEMAS
from database_catalog import PUBLIC_RIGHTS, TRIGGERS, Relation, functions, relations, sequences
from psycopg import sql

from precedent.db import migrate
from precedent.db.engine import ANALYST, OWNER, connect
from precedent.db.tables import metadata

RECORD = sorted(name for name in metadata.tables if name.startswith("ledger.") and name not in MAY_CHANGE)


def test_the_roles_are_those_that_the_code_names_and_nobody_can_log_in_as_one(administrator: psycopg.Connection) -> None:
    laid = set(re.findall(r"'(precedent_\w+)'", files("precedent.db").joinpath("roles.sql").read_text()))
    rows = administrator.execute(
        r"""
        select rolname, rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication
        from pg_roles where rolname like 'precedent\_%'
        """
    ).fetchall()
    assert dict(rows) == dict.fromkeys(laid, False)
    assert laid == {*ROLES, OWNER}
    members = administrator.execute(
        "select roleid::regrole::text, member::regrole::text from pg_auth_members where member::regrole::text = any (%s)", ([*laid],)
    ).fetchall()
    assert members == [], "no role has the rights of another"


def test_every_table_view_and_function_is_on_the_list_and_none_besides(administrator: psycopg.Connection) -> None:
    assert {relation.name for relation in relations(administrator)} == set(RELATIONS)
    names = {function.name for function in functions(administrator)}
    assert set(FUNCTIONS) <= names
    assert {function.name for function in functions(administrator) if function.runs_as_owner} == RUN_AS_OWNER
    stray = administrator.execute(
        "select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> all (%s)", (["information_schema", "public", *SCHEMAS],)
    ).fetchall()
    assert stray == []


def test_nothing_is_public(administrator: psycopg.Connection) -> None:
    assert administrator.execute(PUBLIC_RIGHTS, {"schemas": list(SCHEMAS)}).fetchall() == []


def test_everything_of_ours_is_owned_by_the_role_that_no_process_becomes(administrator: psycopg.Connection) -> None:
    rows = administrator.execute(
        """
        select oid::regclass::text, relowner::regrole::text from pg_class
        where relnamespace in ('ledger'::regnamespace, 'precedent'::regnamespace)
        union all select oid::regprocedure::text, proowner::regrole::text from pg_proc
        where pronamespace in ('ledger'::regnamespace, 'precedent'::regnamespace)
        union all select nspname, nspowner::regrole::text from pg_namespace where nspname in ('ledger', 'precedent')
        """
    ).fetchall()
    assert {owner for _, owner in rows} == {OWNER}, [name for name, owner in rows if owner != OWNER]


def test_what_runs_as_the_owner_pins_its_search_path(administrator: psycopg.Connection) -> None:
    """And nobody can put anything into what it is pinned to."""
    loose = [f.signature for f in functions(administrator) if f.runs_as_owner and "search_path=pg_catalog, pg_temp" not in f.options]
    assert loose == []


def test_which_kinds_a_role_may_append_is_as_listed(administrator: psycopg.Connection) -> None:
    found: dict[str, set[int]] = {}
    for role, kind in administrator.execute("select role_name, kind from ledger.writer_kind"):
        found.setdefault(role, set()).add(kind)
    assert found == KINDS


def test_a_kind_that_another_hand_gave_a_role_is_gone_at_the_next_start(database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("insert into ledger.writer_kind values (%s, 2)", (ANALYST,))
    migrate.apply_repeatable(database_url)
    with connect(database_url) as connection:
        assert connection.execute("select kind from ledger.writer_kind where role_name = %s", (ANALYST,)).fetchall() == []


# ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def tables_of(connection: psycopg.Connection) -> list[Relation]:
    return [one for one in relations(connection) if one.kind in "rp"]


def is_refused(connection: psycopg.Connection, words: str, relation: Relation | str, column: str = "") -> bool:
    """Whether the statement failed for want of a right, and for nothing else; nothing it did remains."""
    name = relation if isinstance(relation, str) else relation.name
    names = {"table": sql.Identifier(*name.split(".")), "column": sql.Identifier(column), "owner": sql.Identifier(OWNER)}
    query = sql.SQL(words).format(**names)  # type: ignore[arg-type]
    try:
        with connection.transaction(force_rollback=True):
            if words.startswith("copy"):
                with connection.cursor() as cursor, cursor.copy(query) as copy:
                    if words.endswith("to stdout"):
                        list(copy)
            else:
                connection.execute(query)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


@pytest.mark.parametrize("words", ["select {column} from {table} limit 1", "copy (select {column} from {table}) to stdout"])
@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_the_columns_it_needs_and_no_other(
    as_role: psycopg.Connection, administrator: psycopg.Connection, role: str, words: str
) -> None:
    for relation in relations(administrator):
        readable = {column for column in relation.columns if not is_refused(as_role, words, relation, column)}
        allowed = RELATIONS[relation.name]
        assert readable == (set(relation.columns) if role in allowed.read else allowed.read_columns.get(role, set())), relation.name


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sets_the_columns_it_needs_and_no_other(as_role: psycopg.Connection, administrator: psycopg.Connection, role: str) -> None:
    for relation in tables_of(administrator):
        words = "update {table} set {column} = default where false"
        settable = {column for column in relation.columns if not is_refused(as_role, words, relation, column)}
        assert settable == RELATIONS[relation.name].update.get(role, frozenset()), relation.name


WRITES = (
    "insert into {table} ({column}) overriding system value select {column} from {table}",
    "insert into {table} default values",
    "insert into {table} ({column}) values (default) on conflict do nothing",
    "merge into {table} t using (select 1) s on false when not matched then insert default values",
    "copy {table} from stdin",
    "delete from {table}",
    "delete from only {table} where false",
    "with gone as (delete from {table} returning 1) select count(*) from gone",
)
TABLE_WRITES = (
    "truncate {table}",
    "truncate {table} cascade",
    "lock table {table}",
    "alter table {table} disable trigger user",
    "alter table {table} disable trigger all",
    "alter table {table} add column more int",
    "alter table {table} drop column {column}",
    "alter table {table} alter column {column} drop not null",
    "alter table {table} set unlogged",
    "alter table {table} owner to current_user",
    "alter table {table} set schema public",
    "alter table {table} rename to taken",
    "alter table {table} enable row level security",
    "create trigger mine before insert on {table} for each row execute function suppress_redundant_updates_trigger()",
    "create policy mine on {table}",
    "create index on {table} ((1))",
    "create statistics on {column}, {column} from {table}",
    "cluster {table}",
    "reindex table {table}",
    "comment on table {table} is 'mine'",
    "drop table {table}",
)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("words", [*WRITES, *TABLE_WRITES])
def test_no_role_writes_a_table_or_changes_it(
    as_role: psycopg.Connection, administrator: psycopg.Connection, role: str, words: str
) -> None:
    adds = words.startswith(("insert", "merge", "copy"))
    tables = [one for one in tables_of(administrator) if not (adds and role in RELATIONS[one.name].insert)]
    assert [one.name for one in tables if not is_refused(as_role, words, one, one.columns[0])] == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_adds_rows_where_it_needs_to_and_nowhere_else(administrator: psycopg.Connection, role: str) -> None:
    for relation in relations(administrator):
        row = administrator.execute(
            "select has_table_privilege(%s, %s, 'insert'), has_table_privilege(%s, %s, 'delete, truncate, trigger, references')",
            (role, relation.name) * 2,
        ).fetchone()
        assert row == (role in RELATIONS[relation.name].insert, False), relation.name


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("words", ["drop trigger refuse_change on {table}", "alter table {table} enable replica trigger refuse_change"])
def test_no_role_takes_a_trigger_off(as_role: psycopg.Connection, role: str, words: str) -> None:
    assert [name for name in RECORD if not is_refused(as_role, words, name)] == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("words", ["create rule mine as on insert to {table} do instead nothing", "drop view {table}", *WRITES])
def test_no_role_writes_through_a_view_or_changes_it(
    as_role: psycopg.Connection, administrator: psycopg.Connection, role: str, words: str
) -> None:
    views = [one for one in relations(administrator) if one.kind not in "rp"]
    assert views
    for view in views:
        try:
            assert is_refused(as_role, words, view, view.columns[0]), view.name
        except (psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.WrongObjectType, psycopg.errors.FeatureNotSupported):
            continue  # nobody can write through it


@pytest.mark.parametrize("role", ROLES)
def test_no_role_passes_a_right_on(as_role: psycopg.Connection, administrator: psycopg.Connection, role: str) -> None:
    """Where a role has some right on a table, granting it is no error but does nothing."""
    for relation in relations(administrator):
        name = sql.Identifier(*relation.name.split("."))
        for grantee in ("current_user", "public", *ROLES):
            with as_role.transaction(force_rollback=True):
                before = as_role.execute("select relacl::text from pg_class where oid = %s::regclass", (relation.name,)).fetchone()
                try:
                    with as_role.transaction():
                        as_role.execute(sql.SQL("grant all on {} to " + grantee).format(name))
                except psycopg.errors.InsufficientPrivilege:
                    continue
                assert as_role.execute("select relacl::text from pg_class where oid = %s::regclass", (relation.name,)).fetchone() == before


@pytest.mark.parametrize("role", ROLES)
def test_no_role_touches_a_sequence(as_role: psycopg.Connection, administrator: psycopg.Connection, role: str) -> None:
    for name in sequences(administrator):
        for words in (
            "select setval('{table}', 1)",
            "select nextval('{table}')",
            "select * from {table}",
            "alter sequence {table} restart",
        ):
            assert is_refused(as_role, words, name), (name, words)


# ── what even the owner may not ─────────────────────────────────────────────────────────────────────────────────────────

ROW, BEFORE, DELETE, UPDATE, TRUNCATE = 1, 2, 8, 16, 32
AFTER_STATEMENT = 0
NEVER = {("refuse_change", ROW | BEFORE | DELETE | UPDATE), ("refuse_change", BEFORE | TRUNCATE)}
# Where erasure and rotation lead past, a trigger asks the record whether this is one.
BY_THE_RECORD = {
    "ledger.section": {
        ("refuse_change", ROW | BEFORE | UPDATE),
        ("refuse_change", BEFORE | TRUNCATE),
        ("refuse_delete_of_section", AFTER_STATEMENT | DELETE),
    },
    "ledger.subject_key": {
        ("refuse_change", BEFORE | TRUNCATE),
        ("refuse_update_of_key", AFTER_STATEMENT | UPDATE),
        ("refuse_delete_of_key", AFTER_STATEMENT | DELETE),
    },
}


def test_every_table_of_the_record_refuses_changes_always(administrator: psycopg.Connection) -> None:
    """`ALWAYS`: also in a session that plays replica, where triggers otherwise rest."""
    found: dict[str, set[tuple[str, int]]] = {}
    for table, _, enabled, kind, function in administrator.execute(TRIGGERS):
        found.setdefault(table, set())
        if enabled == "A":
            found[table].add((function.removeprefix("ledger."), kind))
    assert set(MAY_CHANGE) < set(found)
    for table, triggers in found.items():
        if table not in MAY_CHANGE:
            assert triggers == BY_THE_RECORD.get(table, NEVER), table


CHANGES = ("update {table} set {column} = {column}", "delete from {table}", "truncate {table}", "truncate {table} cascade")


@pytest.mark.parametrize("name", RECORD)
@pytest.mark.parametrize("words", CHANGES)
@pytest.mark.parametrize("setting", ["origin", "replica", "local"])
def test_the_record_refuses_even_its_owner_and_an_administrator(filled_url: str, name: str, words: str, setting: str) -> None:
    for role in (None, OWNER) if setting == "origin" else (None,):
        with connect(filled_url, role) as connection:
            if setting != "origin":
                connection.execute(f"set session_replication_role = {setting}".encode())
            for column in metadata.tables[name].columns:
                assert is_refused(connection, words, name, column.name), (name, column.name)
            connection.rollback()
