"""Proofs for callers: that an entry stands in the tree of the newest checkpoint, from full tiles and what is beyond them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from uuid import UUID

from precedent.db.reads import Reads, SharedLookup
from precedent.errors import LedgerBroken, NotFound, ProofPending
from precedent.ledger import tile_store
from precedent.ledger.entry import Appended, leaf_of
from precedent.ledger.merkle import HASH_BYTES, is_included, plan_inclusion, prove
from precedent.ledger.tiles import TILE_HASHES, TILE_LEVELS, TileName, hashes_in, tiles_for

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as it stands: how many entries, their root, and the signed note that says so."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class Proof:
    """With the note's key alone it shows that the entry stands at its place; `path` as in RFC 9162, 2.1.3."""

    place: Appended
    path: tuple[bytes, ...]
    signed: Signed

    def __str__(self) -> str:
        """As C2SP tlog-proof writes it; its extra data is the envelope, whose hash after a zero byte is the leaf."""
        lines = [
            "c2sp.org/tlog-proof@v1",
            f"extra {b64encode(self.place.envelope).decode()}",
            f"index {self.place.seq}",
            *(b64encode(step).decode() for step in self.path),
            "",
            self.signed.note,
        ]
        return "\n".join(lines)


class Proofs:
    """Proves entries of one chain. Requests in flight share the look at the newest checkpoint."""

    def __init__(self, reads: Reads, chain_id: UUID) -> None:
        self._reads = reads
        self._chain_id = chain_id
        self._newest: SharedLookup[UUID, Signed] = SharedLookup(self._fetch_newest)

    async def newest(self) -> Signed:
        """The newest checkpoint.

        Raises: NotFound while there is none; DatabaseUnavailable.
        """
        found = await self._newest.get(self._chain_id)
        if found is None:
            raise NotFound("nothing is covered by a checkpoint yet")
        return found

    async def prove(self, place: Appended, wait_seconds: float) -> Proof:
        """That the entry at `place` is in the tree of the newest checkpoint; waits so long for one that covers it.

        Raises: ProofPending, LedgerBroken, DatabaseUnavailable.
        """
        signed = await self._await_cover(place.seq, wait_seconds)
        plan = plan_inclusion(place.seq, signed.size)
        path = prove(plan, hashes_in(await self._fetch_tiles(tiles_for(plan, signed.size))))
        # What can't be proved must not leave as a proof: then what stands there is not what was signed.
        if not is_included(leaf_of(place.envelope), place.seq, signed.size, path, signed.root):
            raise LedgerBroken(f"entry {place.seq} does not prove to be in the signed tree of {signed.size} entries")
        return Proof(place, tuple(path), signed)

    async def read_tile(self, name: TileName) -> bytes:
        """The hashes of a tile, as many as its width.

        Raises: NotFound where the newest checkpoint does not cover them; LedgerBroken, DatabaseUnavailable.
        """
        await self._require_covered(name, "tile")
        tile = (await self._fetch_tiles([name])).get((name.level, name.number), b"")
        if len(tile) != name.width * HASH_BYTES:
            raise LedgerBroken(f"tile {name.level}/{name.number} is missing, or entries under it are")
        return tile

    async def read_bundle(self, name: TileName) -> bytes:
        """The envelopes under a tile of level 0, each behind its length as u16: a C2SP entry bundle.

        Raises: NotFound where the newest checkpoint does not cover them; LedgerBroken, DatabaseUnavailable.
        """
        await self._require_covered(name, "bundle")
        first = name.number * TILE_HASHES
        rows = await self._reads.fetch(tile_store.LEAVES, (self._chain_id, first, name.width))
        if [seq for seq, _, _ in rows] != list(range(first, first + name.width)):
            raise LedgerBroken(f"entries from {first} on are missing")
        return b"".join(len(envelope).to_bytes(2) + envelope for _, envelope, _ in rows)

    async def _require_covered(self, name: TileName, what: str) -> None:
        signed = await self.newest()
        if name.number * TILE_HASHES + name.width > signed.size >> TILE_LEVELS * name.level:
            raise NotFound(f"no such {what} in the tree of {signed.size} entries")

    async def _await_cover(self, seq: int, wait_seconds: float) -> Signed:
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while True:
            signed = await self._newest.get(self._chain_id)
            if signed is not None and signed.size > seq:
                return signed
            if asyncio.get_running_loop().time() >= deadline:
                size = signed.size if signed else 0
                raise ProofPending(f"no checkpoint covers entry {seq} yet: the newest covers {size} entries")
            await asyncio.sleep(POLL_SECONDS)

    async def _fetch_newest(self, chain_ids: list[UUID]) -> dict[UUID, Signed]:
        rows = await self._reads.fetch(tile_store.NEWEST_CHECKPOINT, (self._chain_id,))
        return {chain_id: Signed(*row) for chain_id in chain_ids for row in rows}

    async def _fetch_tiles(self, names: list[TileName]) -> dict[tuple[int, int], bytes]:
        if not names:
            return {}
        return tile_store.tiles_of(await self._reads.fetch(tile_store.TILES, tile_store.tile_parameters(self._chain_id, names)))
