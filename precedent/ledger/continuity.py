"""Whether a database still is what was signed: its tree against itself, the signer's memory and the anchors.

Run at every start, before anything is appended, and by whoever takes over the tree. It takes O(log n): the tiles at the right edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import psycopg

from precedent.errors import LedgerBroken
from precedent.ledger import entry_store, tile_store
from precedent.ledger.anchor import Anchors
from precedent.ledger.control_store import handovers_in, read_control
from precedent.ledger.entry import NO_PREVIOUS
from precedent.ledger.handover import spans_of
from precedent.ledger.leaves import check_leaves
from precedent.ledger.merkle import HASH_BYTES, cover, root_at
from precedent.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from precedent.ledger.tiles import TILE_HASHES, RightEdge, TileName, edge_names, hashes_in, split_hashes, tiles_for

MEMORY = "the signer's memory"
WAY_ON = "Nothing is appended to it: bring back the newer database, or record what is lost by `precedent ledger recover`"


class HeadSigner(Protocol):
    """Who signs the heads of one tree, here or in another process."""

    @property
    def origin(self) -> str: ...

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """The keys whose signatures its notes have now, the current one first."""
        ...

    def last(self) -> Checkpoint | None:
        """What it signed last. Raises: LedgerBroken, SignerUnavailable, SettingsInvalid."""
        ...

    def sign(self, head: Checkpoint, path: Sequence[bytes]) -> str:
        """The signed note. Raises: LedgerBroken where `path` does not prove it; SignerUnavailable, SettingsInvalid."""
        ...


@dataclass(frozen=True, slots=True)
class Witness:
    """A checkpoint that was signed, and who keeps it outside the database."""

    name: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class StoredTree:
    """The tree of the newest checkpoint by its right edge, and how many entries there are in all."""

    connection: psycopg.Connection = field(repr=False)
    chain_id: UUID
    edge: RightEdge
    head: int

    @classmethod
    def load(cls, connection: psycopg.Connection, chain_id: UUID) -> StoredTree:
        """Raises: LedgerBroken where the database contradicts its own newest checkpoint."""
        size, root, _ = tile_store.read_newest_checkpoint(connection, chain_id) or (0, b"", "")
        head_seq, _ = entry_store.read_head(connection, chain_id) or (-1, b"")
        if head_seq + 1 < size:
            raise LedgerBroken(f"the newest checkpoint covers {size} entries, but the database has {head_seq + 1}")
        edge = _load_edge(connection, chain_id, size)
        if size and edge.root() != root:
            raise LedgerBroken(f"the first {size} entries no longer have the root that their checkpoint says")
        return cls(connection, chain_id, edge, head_seq + 1)

    def root_of(self, size: int) -> bytes:
        """Of the first `size` entries, of which there are as many. Raises: LedgerBroken."""
        if size > self.edge.size:
            block = tile_store.read_leaves(self.connection, self.chain_id, self.edge.size, size - self.edge.size)
            return self.edge.grow(check_leaves(block, self.chain_id, self.edge.size, self.edge.last_leaf)).edge.root()
        names = tiles_for((cover(0, size),), self.edge.size)
        return root_at(size, hashes_in(tile_store.read_tiles(self.connection, self.chain_id, names)))

    def is_beginning(self, checkpoint: Checkpoint) -> bool:
        """Whether the entries begin with those of a checkpoint. Raises: LedgerBroken."""
        size = checkpoint.size
        return size == 0 or (size <= self.head and self.root_of(size) == checkpoint.root)

    def require_beginning(self, witness: Witness) -> None:
        """Raises: LedgerBroken where the database was taken back or rewritten since `witness` was signed."""
        if self.is_beginning(witness.checkpoint):
            return
        size = witness.checkpoint.size
        if size > self.head:
            raise LedgerBroken(
                f"the database was taken back: {witness.name} has a signed checkpoint of {size} entries, "
                f"the database has {self.head}. {WAY_ON}"
            )
        raise LedgerBroken(
            f"the database was rewritten: its first {size} entries are not those of the signed checkpoint in {witness.name}. {WAY_ON}"
        )


def witnesses_of(connection: psycopg.Connection, chain_id: UUID, signer: HeadSigner, anchors: Anchors) -> Iterator[Witness]:
    """What was signed last, by the signer's memory and by each anchor.

    Raises: LedgerBroken where one can't be believed; SignerUnavailable.
    """
    last = signer.last()
    if last is not None:
        yield Witness(MEMORY, last)
    for place, note in anchors.read(signer.origin):
        try:
            yield Witness(f"the anchor {place}", _open(connection, chain_id, note, signer.verifiers))
        except ValueError as error:
            raise LedgerBroken(f"couldn't read the anchored checkpoint of {signer.origin} in {place}: {error}") from error


def _open(connection: psycopg.Connection, chain_id: UUID, note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """By the keys of now; an anchor that lagged behind a rotation, by those that these say they follow."""
    try:
        return open_checkpoint(note, *keys)
    except ValueError:
        handovers = handovers_in(read_control(connection, chain_id))
        return open_checkpoint(note, *(span.verifier for span in spans_of(keys[0], handovers)))


def _load_edge(connection: psycopg.Connection, chain_id: UUID, size: int) -> RightEdge:
    names = [name for name in edge_names(size) if name.width]
    before = TileName(0, size // TILE_HASHES - 1, TILE_HASHES)
    wanted = names if size % TILE_HASHES or not size else [*names, before]
    tiles = tile_store.read_tiles(connection, chain_id, wanted)
    if any(len(tiles.get((level, number), b"")) != width * HASH_BYTES for level, number, width in wanted):
        raise LedgerBroken(f"tiles of the tree of {size} entries are missing")
    levels = tuple(tuple(split_hashes(tiles.get((name.level, name.number), b""))) if name.width else () for name in edge_names(size))
    if size % TILE_HASHES:
        last_leaf = levels[0][-1]
    else:
        last_leaf = tiles[0, before.number][-HASH_BYTES:] if size else NO_PREVIOUS
    return RightEdge(size, last_leaf, levels)
