"""SQL of tiles and checkpoints, and of the leaves that they are made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

import psycopg

from precedent.ledger.leaves import LeafBlock
from precedent.ledger.tiles import Tile, TileName

TRY_TO_LEAD = "select pg_try_advisory_lock(%s, %s)"
STOP_LEADING = "select pg_advisory_unlock_all()"

NEWEST_CHECKPOINT = "select size, root, note from ledger.checkpoint where chain_id = %s order by size desc limit 1"

LEAVES = "select seq, envelope, leaf from ledger.entry where chain_id = %s and seq >= %s order by seq limit %s"

# One row for many entries: what a row costs in the driver is more than what its leaf costs to hash.
LEAF_BLOCK = """
select count(*), max(e.seq), coalesce(string_agg(e.envelope, ''::bytea), ''), coalesce(string_agg(e.leaf, ''::bytea), '')
from (
    select seq, envelope, leaf from ledger.entry where chain_id = %s and seq >= %s order by seq limit %s
) e
"""

# Full tiles as they stand; of a tile that is not full, its hashes are the leaves, or the tops of the tiles below. Each part
# sees at most 256 rows by their key.
TILES = """
select w.level, w.number, t.hashes
from unnest(%(levels)s::int2[], %(numbers)s::int8[], %(widths)s::int2[]) w (level, number, width)
cross join lateral (
    select t.hashes from ledger.tile t
    where w.width = 256 and t.chain_id = %(chain)s and t.level = w.level and t.number = w.number
    union all
    select string_agg(e.leaf, ''::bytea order by e.seq) from ledger.entry e
    where w.width < 256 and w.level = 0 and e.chain_id = %(chain)s and e.seq >= w.number * 256 and e.seq < w.number * 256 + w.width
    union all
    select string_agg(b.root, ''::bytea order by b.number) from ledger.tile b
    where w.width < 256 and w.level > 0 and b.chain_id = %(chain)s and b.level = w.level - 1
      and b.number >= w.number * 256 and b.number < w.number * 256 + w.width
) t
where t.hashes is not null
"""

# Tiles in binary: as text the driver escapes each of their digits, a third of the time that integration took.
_INTEGRATE = "select ledger.integrate(%s, %b::int2[], %b::int8[], %b::bytea[], %b::bytea[], %s, %s, %s)"


def tile_parameters(chain_id: UUID, names: Iterable[TileName]) -> dict[str, Any]:
    """Of `TILES`."""
    wanted = list(names)
    return {
        "chain": chain_id,
        "levels": [name.level for name in wanted],
        "numbers": [name.number for name in wanted],
        "widths": [name.width for name in wanted],
    }


def tiles_of(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[int, int], bytes]:
    """The answer of `TILES`, by level and number."""
    return {(level, number): hashes for level, number, hashes in rows}


def read_tiles(connection: psycopg.Connection, chain_id: UUID, names: Iterable[TileName]) -> dict[tuple[int, int], bytes]:
    """Tiles by level and number; those that aren't there are left out."""
    return tiles_of(connection.execute(TILES, tile_parameters(chain_id, names), binary=True))


def read_newest_checkpoint(connection: psycopg.Connection, chain_id: UUID) -> tuple[int, bytes, str] | None:
    """(size, root, note)."""
    return connection.execute(NEWEST_CHECKPOINT, (chain_id,)).fetchone()


def read_leaves(connection: psycopg.Connection, chain_id: UUID, first: int, count: int) -> LeafBlock:
    """The entries from `first` on, `count` at most."""
    row = connection.execute(LEAF_BLOCK, (chain_id, first, count), binary=True, prepare=True).fetchone()
    found, highest, envelopes, leaves = row or (0, None, b"", b"")
    return LeafBlock(found, first - 1 if highest is None else highest, envelopes, leaves)


def try_to_lead(connection: psycopg.Connection, chain_id: UUID) -> bool:
    """Whether this session is the one that integrates the chain, from now on until it ends."""
    row = connection.execute(TRY_TO_LEAD, (0x74726565, int.from_bytes(chain_id.bytes[:4], signed=True))).fetchone()
    return bool(row and row[0])


def write_tree(connection: psycopg.Connection, chain_id: UUID, tiles: Sequence[Tile], size: int, root: bytes, note: str) -> None:
    """Write full tiles and the checkpoint that covers them."""
    parameters = (
        chain_id,
        [tile.level for tile in tiles],
        [tile.number for tile in tiles],
        [tile.hashes for tile in tiles],
        [tile.root for tile in tiles],
        size,
        root,
        note,
    )
    connection.execute(_INTEGRATE, parameters, binary=True)


def checkpoint_sizes(connection: psycopg.Connection, chain_id: UUID, first: int, last: int) -> list[int]:
    """Of the checkpoints that cover `first` … `last` entries."""
    query = "select size from ledger.checkpoint where chain_id = %s and size between %s and %s order by size"
    return [size for (size,) in connection.execute(query, (chain_id, first, last))]


def read_checkpoints(connection: psycopg.Connection, chain_id: UUID) -> Iterator[tuple[int, bytes, str]]:
    """(size, root, note) of all, the oldest first."""
    return connection.cursor().stream("select size, root, note from ledger.checkpoint where chain_id = %s order by size", (chain_id,))


def read_leaf_tiles(connection: psycopg.Connection, chain_id: UUID, first: int, last: int) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, hashes, root) of the stored tiles of level 0 from `first` to `last`."""
    query = "select number, hashes, root from ledger.tile where chain_id = %s and level = 0 and number between %s and %s"
    return connection.cursor().stream(query, (chain_id, first, last), binary=True)


def read_seqs_of_kinds(connection: psycopg.Connection, chain_id: UUID, below: int, kinds: Sequence[int]) -> list[int]:
    """The seqs below `below` of entries of these kinds. One pass over their envelopes."""
    query = "select seq from ledger.entry where chain_id = %s and seq < %s and get_byte(envelope, 1) = any(%s) order by seq"
    return [seq for (seq,) in connection.execute(query, (chain_id, below, list(kinds)))]


def read_upper_tiles(connection: psycopg.Connection, chain_id: UUID) -> Iterator[tuple[int, int, bytes, bytes]]:
    """(level, number, hashes, root) of those above."""
    query = "select level, number, hashes, root from ledger.tile where chain_id = %s and level > 0 order by level, number"
    return connection.cursor().stream(query, (chain_id,), binary=True)


def uncovered_tiles(connection: psycopg.Connection, chain_id: UUID) -> list[tuple[int, int]]:
    """(level, number) of stored tiles that reach beyond the newest checkpoint; the first hundred."""
    query = """
        select level, number from ledger.tile t where chain_id = %(chain)s and (level not between 0 and 6 or number < 0 or
            (number + 1)::numeric * 256::numeric ^ (level + 1)
                > (select coalesce(max(size), 0) from ledger.checkpoint c where c.chain_id = %(chain)s))
        order by level, number limit 100
    """
    return connection.execute(query, {"chain": chain_id}).fetchall()
