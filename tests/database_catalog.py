"""What stands in a database, by its own catalog: relations, columns, functions, sequences of our schemas."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from allowed_rights import SCHEMAS

_RELATIONS = """
select n.nspname || '.' || c.relname, c.relkind::text,
       array(select a.attname from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any (%s) and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1
"""
_SEQUENCES = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any (%s) and c.relkind = 'S' order by 1
"""
_FUNCTIONS = """
select p.oid, n.nspname || '.' || p.proname, p.oid::regprocedure::text, p.prosecdef, coalesce(p.proconfig, '{}'),
       array(select format_type(t, null) from unnest(p.proargtypes) with ordinality a (t, o) order by o), p.prorettype = 'trigger'::regtype
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = any (%s) and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 3
"""
# Grantee 0 is PUBLIC. An absent list means the built-in defaults: of a function, that everybody may execute it.
PUBLIC_RIGHTS = """
select what, name, privilege_type from (
    select 'schema' as what, n.nspname as name, a.* from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    where n.nspname = any (%(schemas)s)
    union all
    select 'relation', c.oid::regclass::text, a.* from pg_class c join pg_namespace n on n.oid = c.relnamespace,
        aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))) a
    where n.nspname = any (%(schemas)s)
    union all
    select 'column', c.oid::regclass || '.' || t.attname, a.* from pg_attribute t join pg_class c on c.oid = t.attrelid
        join pg_namespace n on n.oid = c.relnamespace, aclexplode(t.attacl) a where n.nspname = any (%(schemas)s)
    union all
    select 'function', p.oid::regprocedure::text, a.* from pg_proc p join pg_namespace n on n.oid = p.pronamespace,
        aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where n.nspname = any (%(schemas)s)
    union all
    select 'default', d.defaclobjtype::text, a.* from pg_default_acl d, aclexplode(d.defaclacl) a
) x where grantee = 0
union all
select 'schema', 'public', privilege_type from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner)))
where n.nspname = 'public' and grantee = 0 and privilege_type = 'CREATE'
"""
TRIGGERS = """
select c.oid::regclass::text, t.tgname, t.tgenabled::text, t.tgtype, p.oid::regproc::text
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal left join pg_proc p on p.oid = t.tgfoid
where n.nspname = 'ledger' and c.relkind in ('r', 'p') order by 1, 2
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view; `kind` as in pg_class."""

    name: str
    kind: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function with the types of its arguments."""

    oid: int
    name: str
    signature: str
    runs_as_owner: bool
    options: tuple[str, ...]
    argument_types: tuple[str, ...]
    is_trigger: bool


def relations(connection: psycopg.Connection) -> list[Relation]:
    return [Relation(name, kind, tuple(columns)) for name, kind, columns in connection.execute(_RELATIONS, (list(SCHEMAS),))]


def sequences(connection: psycopg.Connection) -> list[str]:
    return [name for (name,) in connection.execute(_SEQUENCES, (list(SCHEMAS),))]


def functions(connection: psycopg.Connection) -> list[Function]:
    """Ours; those of an extension are its own."""
    return [
        Function(oid, name, signature, runs_as_owner, tuple(options), tuple(types), is_trigger)
        for oid, name, signature, runs_as_owner, options, types, is_trigger in connection.execute(_FUNCTIONS, (list(SCHEMAS),))
    ]
