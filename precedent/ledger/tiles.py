"""The tree in tiles, as C2SP tlog-tiles lays it out: tile (L, N) holds the hashes N·256 … N·256 + 255 of tree level 8·L.

Pure. Only full tiles are stored, each with the hash at its top, which is a hash of the tile above. What is beyond the last
full tile of each level is the right edge: fewer than 256 hashes a level, from which the tree grows and has its root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from precedent.errors import LedgerBroken
from precedent.ledger.merkle import HASH_BYTES, CompactRange, HashSource, Node, Plan, levels_of

TILE_LEVELS = 8
TILE_HASHES = 1 << TILE_LEVELS


class TileName(NamedTuple):
    """Where a tile stands, and how many hashes of it exist in a tree of some size."""

    level: int
    number: int
    width: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile."""

    level: int
    number: int
    hashes: bytes = field(repr=False)
    root: bytes


@dataclass(frozen=True, slots=True)
class RightEdge:
    """A tree of `size` leaves by what is beyond its full tiles, level by level; `last_leaf` is what the next entry continues."""

    size: int
    last_leaf: bytes
    levels: tuple[tuple[bytes, ...], ...] = ()

    def root(self) -> bytes:
        whole = CompactRange()
        for level in reversed(range(len(self.levels))):
            for place, found in enumerate(self.levels[level], first_beyond(self.size, level)):
                whole.push(Node(level * TILE_LEVELS, place), found)
        return whole.root()

    def grow(self, leaves: Sequence[bytes], between: Callable[[], object] = bool) -> Growth:
        """The tree with `leaves`, of which there is at least one, behind those it has; `between` is called after each full tile."""
        known: list[tuple[int, list[bytes]]] = []
        tiles: list[Tile] = []
        fresh, level = list(leaves), 0
        while fresh or level < len(self.levels):
            first = first_beyond(self.size, level)
            hashes = [*(self.levels[level] if level < len(self.levels) else ()), *fresh]
            known.append((first, hashes))
            fresh = []
            for start in range(0, len(hashes) - TILE_HASHES + 1, TILE_HASHES):
                full = hashes[start : start + TILE_HASHES]
                fresh.append(_top_of(full))
                tiles.append(Tile(level, (first + start) >> TILE_LEVELS, b"".join(full), fresh[-1]))
                between()
            level += 1
        beyond = tuple(tuple(hashes[len(hashes) - len(hashes) % TILE_HASHES :]) for _, hashes in known)
        return Growth(RightEdge(self.size + len(leaves), leaves[-1], beyond), tuple(tiles), tuple(known))


@dataclass(frozen=True, slots=True)
class Growth:
    """What came of growing: the new edge, the tiles that became full, and the hashes that were at hand."""

    edge: RightEdge
    tiles: tuple[Tile, ...]
    known: tuple[tuple[int, list[bytes]], ...] = field(repr=False)

    def is_known(self, node: Node) -> bool:
        """Whether `node` is not in a tile that was full before."""
        level, inner = divmod(node.level, TILE_LEVELS)
        return level < len(self.known) and node.place << inner >= self.known[level][0]

    def hash_at(self, node: Node) -> bytes:
        """Of a node that is known and complete."""
        level, inner = divmod(node.level, TILE_LEVELS)
        first, hashes = self.known[level]
        start = (node.place << inner) - first
        return _top_of(hashes[start : start + (1 << inner)])


def first_beyond(size: int, level: int) -> int:
    """The place, on tree level 8·level, of the first hash that no full tile holds."""
    return size >> (TILE_LEVELS * (level + 1)) << TILE_LEVELS


def edge_names(size: int) -> list[TileName]:
    """The tiles at the right edge that are not full, from the leaves on."""
    names = []
    for level in range((size.bit_length() + TILE_LEVELS - 1) // TILE_LEVELS):
        first = first_beyond(size, level)
        names.append(TileName(level, first >> TILE_LEVELS, (size >> TILE_LEVELS * level) - first))
    return names


def tiles_for(plan: Plan, size: int) -> list[TileName]:
    """The tiles of a tree of `size` leaves that hold what a plan needs."""
    return sorted({_tile_of(node, size) for nodes in plan for node in nodes})


def hashes_in(tiles: Mapping[tuple[int, int], bytes]) -> HashSource:
    """The hashes of nodes, from tiles by level and number.

    It raises LedgerBroken where a tile is missing or too short.
    """

    def hash_at(node: Node) -> bytes:
        level, inner = divmod(node.level, TILE_LEVELS)
        first = node.place << inner
        number, start = first >> TILE_LEVELS, first % TILE_HASHES
        found = tiles.get((level, number), b"")[start * HASH_BYTES : (start + (1 << inner)) * HASH_BYTES]
        if len(found) != HASH_BYTES << inner:
            raise LedgerBroken(f"tile {level}/{number} is missing, or entries under it are")
        return _top_of(split_hashes(found))

    return hash_at


def split_hashes(joined: bytes) -> list[bytes]:
    return [joined[start : start + HASH_BYTES] for start in range(0, len(joined), HASH_BYTES)]


def _tile_of(node: Node, size: int) -> TileName:
    level, inner = divmod(node.level, TILE_LEVELS)
    number = (node.place << inner) >> TILE_LEVELS
    return TileName(level, number, min(TILE_HASHES, (size >> TILE_LEVELS * level) - (number << TILE_LEVELS)))


def _top_of(hashes: Iterable[bytes]) -> bytes:
    """Of a complete subtree, from its lowest hashes."""
    *_, top = levels_of(list(hashes))
    return top[0]
