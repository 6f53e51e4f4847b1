"""Statements in the ledger about what a run left behind: one entry for each partition whose rows are not those stated last.

A run notes the partitions that it is about to write, writes their rows, and then states all that is noted. If it crashes between
rows and entry, the note stays, and the next run of the asset, whatever its days, states those partitions too. Entry, leaves and the
end of the note are one transaction. The same rows again add nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import psycopg

from precedent.clock import Clock
from precedent.db.engine import PIPELINE, connect
from precedent.errors import LedgerBroken
from precedent.ledger.continuity import StoredTree
from precedent.ledger.entry import Appended, Draft, Kind, Section, draft_entry
from precedent.ledger.writer import append
from precedent.lineage.asset_store import Asset, asset_named, read_changed_days, read_columns, read_leaves, reading
from precedent.lineage.digest import digest_of, digest_of_pairs
from precedent.lineage.statement import Input, Prefix, Statement, core_of
from precedent.lineage.statement_store import (
    add_leaves,
    note_partitions,
    read_due,
    read_last_size,
    read_newest,
    settle,
)

# Partitions of one transaction: their leaves are in memory together, and the chain's lock is held for their append.
BATCH = 64


@dataclass(frozen=True, slots=True)
class Upstream:
    """The partitions of another asset that a day's rows were made from: the same day, and so many before it."""

    asset: str
    days_before: int = 0


@dataclass(frozen=True, slots=True)
class Maker:
    """What computed the rows: its `code` by digest or name, what it read of other assets, and what chooses its rows."""

    code: str
    upstream: Sequence[Upstream] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    principal: str = "pipeline"


@dataclass(frozen=True, slots=True)
class Stated:
    """What is stated of partitions by now: (digest, seq of the entry), and how many entries that took."""

    partitions: Mapping[str, tuple[str, int]]
    added_count: int


def read_prefix(connection: psycopg.Connection, chain_id: UUID, size: int) -> Prefix:
    """The first `size` entries by their root, from the tree as far as it is integrated and from entries beyond.

    Raises: LedgerBroken where tree and entries contradict each other.
    """
    return Prefix(chain_id, size, StoredTree.load(connection, chain_id).root_of(size))


def note_due(url: str, chain_id: UUID, assets: Sequence[str], days: Iterable[date]) -> None:
    """Remember, before rows are written, that these partitions will have to be stated. Raises: DatabaseUnavailable."""
    with connect(url, PIPELINE) as connection:
        note_partitions(connection, chain_id, assets, days)
        connection.commit()


def state_due(url: str, prefix: Prefix, name: str, maker: Maker, clock: Clock) -> Stated:
    """State every partition that is due or that a run changed beside its own; what `prefix` is the rows were computed from.

    Raises: DatabaseUnavailable; LedgerBroken where the append refuses.
    """
    asset, found, added = asset_named(name), dict[str, tuple[str, int]](), 0
    with reading(url) as connection:
        changed = read_changed_days(connection, prefix.chain_id, asset, read_last_size(connection, prefix.chain_id, name))
        # Noted as well: if we crash after some of them, the size stated last no longer tells the others.
        note_partitions(connection, prefix.chain_id, [name], changed)
        connection.commit()
        due = read_due(connection, prefix.chain_id, name)
        columns = read_columns(connection, asset, maker.parameters) if due else ()
        for start in range(0, len(due), BATCH):
            batch = due[start : start + BATCH]
            stated = _state_batch(connection, prefix, asset, batch, columns, maker, clock)
            found.update(stated.partitions)
            added += stated.added_count
    return Stated(found, added)


def _state_batch(
    connection: psycopg.Connection,
    prefix: Prefix,
    asset: Asset,
    partitions: Sequence[str],
    columns: tuple[str, ...],
    maker: Maker,
    clock: Clock,
) -> Stated:
    chain_id = prefix.chain_id
    held = read_newest(connection, chain_id, asset.name, partitions[0], partitions[-1])
    found, drafts = dict[str, tuple[str, int]](), list[tuple[str, Draft, bytes, bytes]]()
    for partition in partitions:
        leaves = read_leaves(connection, chain_id, asset, date.fromisoformat(partition), columns, maker.parameters)
        digest, before = digest_of(leaves), held.get(partition)
        if before and _is_same(before, digest, columns, maker):
            found[partition] = (before.digest, before.seq)
        elif before or leaves:
            inputs = [read_input(connection, chain_id, one, date.fromisoformat(partition)) for one in maker.upstream]
            core = core_of(
                *(asset.name, partition, digest, len(leaves) // 32, columns, maker.parameters, maker.code, prefix, inputs),
                *(before.id if before else None, maker.principal),
            )
            drafts.append((partition, draft_entry(clock, Kind.ASSET, {Section.CORE: core}), leaves, digest))
    answers = append(connection, chain_id, [draft for _, draft, _, _ in drafts])
    for (partition, _, _, digest), answer in zip(drafts, answers, strict=True):
        if not isinstance(answer, Appended):
            raise LedgerBroken(f"couldn't state {asset.name} of {partition}: the append said {answer}")
        found[partition] = (digest.hex(), answer.seq)
    add_leaves(connection, chain_id, [(draft.entry_id, leaves) for _, draft, leaves, _ in drafts])
    settle(connection, chain_id, asset.name, partitions)
    connection.commit()
    return Stated(found, len(drafts))


def read_input(connection: psycopg.Connection, chain_id: UUID, upstream: Upstream, day: date) -> Input:
    """What had been stated of the partitions that a day's rows were made from."""
    first, last = (day - timedelta(days=upstream.days_before)).isoformat(), day.isoformat()
    stated = read_newest(connection, chain_id, upstream.asset, first, last)
    digest = digest_of_pairs((partition, one.digest) for partition, one in stated.items())
    return Input(upstream.asset, first, last, len(stated), digest)


def _is_same(before: Statement, digest: bytes, columns: tuple[str, ...], maker: Maker) -> bool:
    return (before.digest, before.columns, dict(before.parameters)) == (digest.hex(), columns, dict(maker.parameters))
