"""The way back from a partition: what was stated of its rows, whether they still are that, and which entries they were made from.

Everything is made again from what stands in the database: the entry from its sections, the tree from every envelope, the digest from
the rows. What differs is a finding, and names the row, the partition or the entry. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg

from precedent.errors import NotFound
from precedent.ledger.store import chain_id_of
from precedent.lineage.asset_store import Asset, asset_named, read_leaves, read_rows, reading
from precedent.lineage.digest import differences, digest_of, digest_of_pairs, prove_row
from precedent.lineage.feature import FeatureCount, count_features, count_scorecard
from precedent.lineage.record import LedgerWay, check_record
from precedent.lineage.source_store import Source, read_sources
from precedent.lineage.statement import Input, Statement
from precedent.lineage.statement_store import (
    count_erasures_since,
    count_statements,
    read_due_since,
    read_newest,
    read_stated_leaves,
)

NAMED_ROWS = 20


@dataclass(frozen=True, slots=True)
class RowsNow:
    """The rows as they stand: their digest, the keys of those that were never stated so, and how many of the stated are gone."""

    count: int
    digest: str
    unstated: tuple[str, ...]
    unstated_count: int
    gone_count: int


@dataclass(frozen=True, slots=True)
class RowWay:
    """One row: its values, and the proof that it is among those stated; no path where it is not as stated."""

    key: tuple[str, ...]
    values: dict[str, Any]
    leaf: str
    place: int | None
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        return "/".join(self.key)


@dataclass(frozen=True, slots=True)
class InputNow:
    """An input with what its partitions' statements come to now, and those whose rows are not as stated."""

    stated: Input
    digest: str
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Of one partition; intact where there are no findings."""

    statement: Statement
    statement_count: int
    due_since: datetime | None
    erasures_since: int
    ledger: LedgerWay
    rows: RowsNow
    row: RowWay | None
    features: tuple[FeatureCount, ...]
    inputs: tuple[InputNow, ...]
    sources: tuple[Source, ...]
    findings: tuple[str, ...]


def trace(url: str, chain: str, name: str, day: date, row: str | None = None) -> Lineage:
    """The way back from the rows of a day, or from one of them by its key (`customer/acme`, `finance-daily`).

    Reads every envelope of the chain (2 µs each), the day's rows and those of its inputs.

    Raises: FieldInvalid for an asset that nothing is stated of; NotFound where nothing is stated of the day, or no row has the key;
    DatabaseUnavailable.
    """
    asset = asset_named(name)
    with reading(url) as connection:
        chain_id = chain_id_of(connection, chain)
        statement = read_newest(connection, chain_id, name, day.isoformat(), day.isoformat()).get(day.isoformat())
        due_since = read_due_since(connection, chain_id, name, day.isoformat())
        if statement is None:
            raise NotFound(f"nothing is stated of {name} of {day}" + (f": due since {due_since:%Y-%m-%d %H:%M}" if due_since else ""))
        ledger = check_record(connection, chain_id, statement)
        rows, found = _rows_now(connection, chain_id, asset, statement, row)
        if row and found is None:
            raise NotFound(f"{name} of {day} has no row '{row}'")
        inputs = tuple(_input_now(connection, chain_id, one, statement.seq) for one in statement.inputs)
        key = found.key if found else None
        first = min([date.fromisoformat(one.first) for one in statement.inputs] + [day])
        sources = read_sources(connection, chain_id, statement, first, key)
        features = _features(connection, chain_id, statement, found)
        erased = count_erasures_since(connection, chain_id, statement.seq)
        findings = (*ledger.findings, *_of_rows(statement, rows, erased), *_of_inputs(inputs), *_of_features(found, features))
        count = count_statements(connection, chain_id, name, statement.partition)
    return Lineage(statement, count, due_since, erased, ledger, rows, found, features, inputs, tuple(sources), findings)


def _features(connection: psycopg.Connection, chain_id: UUID, statement: Statement, row: RowWay | None) -> tuple[FeatureCount, ...]:
    if row is not None and statement.asset == "entity_features":
        return count_features(connection, chain_id, statement, row.key, row.values["features"])
    if row is not None and statement.asset == "variant_scorecards":
        return count_scorecard(connection, chain_id, statement, row.key, row.values)
    return ()


def _rows_now(
    connection: psycopg.Connection, chain_id: UUID, asset: Asset, statement: Statement, row: str | None
) -> tuple[RowsNow, RowWay | None]:
    chosen = (connection, chain_id, asset, statement.day, statement.columns, statement.parameters)
    leaves = read_leaves(*chosen)
    digest = digest_of(leaves).hex()
    # Leaves that don't make the digest are not those that were stated: then no row can be told from another.
    stated = read_stated_leaves(connection, chain_id, statement.id)
    if stated is None or digest_of(stated).hex() != statement.digest:
        stated = None
    new, gone = differences(stated, leaves) if stated is not None else (None, 0)
    named, way = list[str](), None
    if row or new:
        for leaf, key, values in read_rows(*chosen):
            if new and new[leaf]:
                named.append("/".join(key))
            if row and way is None and f"{'/'.join(key)}/".startswith(f"{row}/"):
                way = _row_way(key, values, leaf, stated)
    unstated_count = len(named) if new is not None else 0
    return RowsNow(len(leaves) // 32, digest, tuple(named[:NAMED_ROWS]), unstated_count, gone), way


def _row_way(key: tuple[str, ...], values: dict[str, Any], leaf: bytes, stated: bytes | None) -> RowWay:
    try:
        place, path = prove_row(stated or b"", leaf)
    except ValueError:
        return RowWay(key, values, leaf.hex(), None, ())
    return RowWay(key, values, leaf.hex(), place, tuple(step.hex() for step in path))


def _input_now(connection: psycopg.Connection, chain_id: UUID, stated: Input, below: int) -> InputNow:
    """What had been stated below the statement's own seq, and whether the rows of those partitions are as stated last."""
    then = read_newest(connection, chain_id, stated.asset, stated.first, stated.last, below)
    digest = digest_of_pairs((partition, one.digest) for partition, one in then.items())
    changed, asset = list[str](), asset_named(stated.asset)
    for partition, last in read_newest(connection, chain_id, stated.asset, stated.first, stated.last).items():
        leaves = read_leaves(connection, chain_id, asset, last.day, last.columns, last.parameters)
        if digest_of(leaves).hex() != last.digest:
            changed.append(partition)
    return InputNow(stated, digest, tuple(changed))


def _of_rows(statement: Statement, rows: RowsNow, erased: int) -> list[str]:
    if rows.digest == statement.digest:
        return []
    where = f"{statement.asset} of {statement.partition}"
    told = [f"{where}: the row {key} is not as stated" for key in rows.unstated]
    if rows.unstated_count > len(rows.unstated):
        told.append(f"{where}: {rows.unstated_count - len(rows.unstated)} more rows are not as stated")
    if lacking := rows.gone_count - rows.unstated_count:
        lawful = f"; {erased} erasures came after the statement, which may have taken them" if erased else ""
        told.append(f"{where}: {lacking} stated rows are gone{lawful}" if lacking > 0 else f"{where}: {-lacking} rows were added")
    return told or [f"{where}: its {rows.count} rows have another digest than its {statement.rows} had"]


def _of_inputs(inputs: Sequence[InputNow]) -> list[str]:
    told = [f"{one.stated.asset} of {partition}, an input: its rows are not as stated" for one in inputs for partition in one.changed]
    other = [one.stated for one in inputs if one.digest != one.stated.digest]
    return told + [f"{one.asset} of {one.first} to {one.last}, an input: what was stated of it comes to another digest" for one in other]


def _of_features(row: RowWay | None, features: Sequence[FeatureCount]) -> list[str]:
    return [
        f"{row.name}: {one.name} is {one.value}, but the ledger's decisions come to {one.counted}"
        for one in features
        if row and one.value != one.counted
    ]
