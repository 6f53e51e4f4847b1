"""SQL of the derived assets themselves: their rows of a day as leaves, and the days that changed.

What is stated of an asset is described once, in `ASSETS`. The texts of values are PostgreSQL's, under settings that every session
of ours is given here, so that a leaf is the same whoever reads the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from precedent.db.engine import PIPELINE, connect
from precedent.errors import FieldInvalid, NotFound

_START = "(%(day)s::date)::timestamp at time zone 'UTC'"
_END = "(%(day)s::date + 1)::timestamp at time zone 'UTC'"

# Of what several runs added for one day of counting, the sum: it is the same however the days were computed.
_ACTIVITY = """(
    select chain_id, entity_type, entity_id, measure, counted_on, known_on, sum(row_count)::bigint as row_count, sum(value_sum) as value_sum
    from analytics.int_entities_daily_activity group by 1, 2, 3, 4, 5, 6)"""
_ACTIVITY_COLUMNS = ("chain_id", "entity_type", "entity_id", "measure", "counted_on", "known_on", "row_count", "value_sum")
_PLACED_SNAPSHOTS = """(
    select v.*, s.period_start from precedent.{vectors} v
    join precedent.knowledge_snapshots s on s.chain_id = v.chain_id and s.id = v.snapshot_id)"""
# Of those measured by a person's command, too, which states nothing itself.
_CALIBRATED_SINCE = """
select distinct (c.measured_at at time zone 'UTC')::date from precedent.recall_calibrations c
where c.chain_id = %(chain)s and not exists (
    select from precedent.asset_statements s
    where s.chain_id = c.chain_id and s.asset = 'recall_probe' and s.partition = to_char(c.measured_at at time zone 'UTC', 'YYYY-MM-DD')
      and s.recorded_at >= c.measured_at)
"""
_SNAPSHOT_VECTOR_COLUMNS = ("chain_id", "model_id", "snapshot_id", "input_digest", "summary_vec")


@dataclass(frozen=True, slots=True)
class Asset:
    """A table, or what is read of it, by day. Without `columns` all that the table `relation` has; `changed` finds days that a run
    changed beside those it was asked for: rows of the ledger from `%(since)s` on went into them.
    """

    name: str
    relation: LiteralString
    of_day: LiteralString
    key: tuple[str, ...]
    columns: tuple[str, ...] = ()
    changed: LiteralString | None = None


_ALL = (
    Asset(
        "int_entities_daily_activity",
        _ACTIVITY,
        "r.counted_on = %(day)s",
        ("entity_type", "entity_id", "measure", "known_on"),
        _ACTIVITY_COLUMNS,
        "select distinct counted_on from analytics.int_entities_daily_activity where chain_id = %(chain)s and absorbed_seq >= %(since)s",
    ),
    Asset("entity_features", "analytics.entity_features", "r.as_of_date = %(day)s", ("entity_type", "entity_id")),
    Asset(
        "decision_daily",
        "analytics.decision_daily",
        "r.day = %(day)s",
        ("node", "action", "policy_version"),
        changed="select distinct day from analytics.decision_daily where chain_id = %(chain)s and changed_seq >= %(since)s",
    ),
    Asset("knowledge_snapshots", "precedent.knowledge_snapshots", f"r.period_start = {_START}", ("scope", "id")),
    Asset(
        "decision_embeddings",
        "precedent.{vectors}",
        f"r.model_id = %(model)s and r.qualified_at >= {_START} and r.qualified_at < {_END}",
        ("decision_id",),
    ),
    Asset(
        "snapshot_embeddings",
        _PLACED_SNAPSHOTS,
        f"r.model_id = %(model)s and r.period_start = {_START}",
        ("snapshot_id",),
        _SNAPSHOT_VECTOR_COLUMNS,
    ),
    Asset(
        "recall_probe",
        "precedent.recall_calibrations",
        f"r.measured_at >= {_START} and r.measured_at < {_END}",
        ("node", "action", "model_id", "measured_at"),
        changed=_CALIBRATED_SINCE,
    ),
    Asset("variant_scorecards", "precedent.variant_scorecards", "r.computed_on = %(day)s", ("node", "action", "policy_version")),
)
ASSETS = {asset.name: asset for asset in _ALL}

_COLUMNS = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum"
_LEAF = sql.SQL("sha256('\\x00'::bytea || {fields})")
_FIELD = sql.SQL(
    "coalesce('\\x01'::bytea || int4send(octet_length(r.{column}::text)) || convert_to(r.{column}::text, 'UTF8'), '\\x00'::bytea)"
)
_LEAVES = sql.SQL("""
select coalesce(string_agg(l.leaf, ''::bytea order by l.leaf), ''::bytea) from (
    select {leaf} as leaf from {relation} r where r.chain_id = %(chain)s and {of_day}) l
""")
_KEYED = sql.SQL("select {leaf}, array[{key}]::text[], to_jsonb(r) from {relation} r where r.chain_id = %(chain)s and {of_day} order by 2")


def asset_named(name: str) -> Asset:
    """Raises: FieldInvalid for one that nothing is stated of."""
    if name not in ASSETS:
        raise FieldInvalid(f"nothing is stated of '{name}'; there are {', '.join(ASSETS)}")
    return ASSETS[name]


@contextmanager
def reading(url: str) -> Iterator[psycopg.Connection]:
    """A session in which values have the texts that leaves are made of. Raises: DatabaseUnavailable."""
    with connect(url, PIPELINE) as connection:
        connection.execute("set datestyle = 'ISO, YMD'")
        connection.execute("set extra_float_digits = 1")
        connection.execute("set bytea_output = 'hex'")
        connection.commit()
        yield connection


def read_columns(connection: psycopg.Connection, asset: Asset, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that the digest has now, in order.

    Raises: NotFound before anything was derived.
    """
    if asset.columns:
        return asset.columns
    try:
        rows = connection.execute(_COLUMNS, (_relation(asset, parameters).as_string(connection),)).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise NotFound(f"there is no {asset.name} yet: the pipeline has not run") from error
    return tuple(name for (name,) in rows)


def read_leaves(
    connection: psycopg.Connection, chain_id: UUID, asset: Asset, day: date, columns: Sequence[str], parameters: Mapping[str, Any]
) -> bytes:
    """The leaves of a day's rows, ascending, one behind the other. PostgreSQL makes them: 10 µs a row, with a vector 100."""
    statement = _LEAVES.format(leaf=_leaf(columns), relation=_relation(asset, parameters), of_day=sql.SQL(asset.of_day))
    row = connection.execute(statement, {"chain": chain_id, "day": day, **parameters}).fetchone()
    return bytes(row[0]) if row else b""


def read_rows(
    connection: psycopg.Connection, chain_id: UUID, asset: Asset, day: date, columns: Sequence[str], parameters: Mapping[str, Any]
) -> list[tuple[bytes, tuple[str, ...], dict[str, Any]]]:
    """(leaf, key, values) of a day's rows, by key: to name them."""
    key = sql.SQL(", ").join(sql.SQL("r.{}::text").format(sql.Identifier(name)) for name in asset.key)
    statement = _KEYED.format(leaf=_leaf(columns), key=key, relation=_relation(asset, parameters), of_day=sql.SQL(asset.of_day))
    rows = connection.execute(statement, {"chain": chain_id, "day": day, **parameters})
    return [(bytes(leaf), tuple(names), values) for leaf, names, values in rows]


def read_changed_days(connection: psycopg.Connection, chain_id: UUID, asset: Asset, since: int) -> list[date]:
    """Days whose rows hold something of the entries from `since` on, whatever days a run was asked for."""
    if asset.changed is None:
        return []
    return [day for (day,) in connection.execute(asset.changed, {"chain": chain_id, "since": since})]


def _leaf(columns: Sequence[str]) -> sql.Composed:
    return _LEAF.format(fields=sql.SQL(" || ").join(_FIELD.format(column=sql.Identifier(name)) for name in columns))


def _relation(asset: Asset, parameters: Mapping[str, Any]) -> sql.Composed:
    kind = asset.name.removesuffix("_embeddings")
    return sql.SQL(asset.relation).format(vectors=sql.Identifier(f"{kind}_embeddings_{parameters.get('dimension', 384)}"))
