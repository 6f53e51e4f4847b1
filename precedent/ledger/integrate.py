"""The integrator: it hashes what was appended into the tree, has the head signed, and writes tiles, checkpoint and anchor.

Never on the way of an answer. One process at a time, by an advisory lock that ends with its session; the others look on. It
believes no stored hash: each leaf is made again from its envelope, the chain must be unbroken, and what was signed or anchored
before must be the beginning of what stands there now.

If we crash after the signer remembers and before the commit, the next run reads at least as far and continues what was signed.
If we crash after the commit and before the anchor, the anchor is one checkpoint behind until the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from uuid import UUID

import psycopg
import structlog

from precedent.db.engine import API, connect, with_options
from precedent.errors import DatabaseUnavailable, LedgerBroken
from precedent.ledger import entry_store, tile_store
from precedent.ledger.anchor import Anchor
from precedent.ledger.entry import NO_PREVIOUS
from precedent.ledger.merkle import HASH_BYTES, cover, is_consistent, plan_consistency, prove, root_at
from precedent.ledger.note import Checkpoint, open_checkpoint
from precedent.ledger.signer import Signer
from precedent.ledger.tiles import TILE_HASHES, Growth, RightEdge, TileName, edge_names, hashes_in, split_hashes, tiles_for

CADENCE_SECONDS = 0.2
# What is broken stays so until somebody looks; asking again must not fill the log.
BROKEN_SECONDS = 5.0
BATCH_LEAVES = 8192

log = structlog.get_logger(__name__)


def origin_of(chain_id: UUID) -> str:
    """The name of a chain's tree, in its checkpoints and as the name of its key."""
    return f"precedent/{chain_id}"


class Integrator:
    """Grows the tree of one chain. `step` is for one thread; `start` and `stop` run it beside an event loop."""

    def __init__(self, url: str, chain_id: UUID, signer: Signer, anchor: Anchor) -> None:
        self._url = with_options(url, statement_timeout="15000")
        self._chain_id = chain_id
        self._signer = signer
        self._anchor = anchor
        self._connection: psycopg.Connection | None = None
        self._is_leader = False
        self._edge: RightEdge | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger-integrator")

    async def stop(self) -> None:
        """Integrate what was committed, then close."""
        self._stop.set()
        if self._task:
            await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            is_last = self._stop.is_set()
            began, pause_seconds = loop.time(), CADENCE_SECONDS
            try:
                if await asyncio.to_thread(self.step) and not is_last:
                    continue
            except (DatabaseUnavailable, psycopg.OperationalError) as error:
                log.warning("integrator_waits", error=str(error))
                pause_seconds = 1.0
            except (LedgerBroken, psycopg.Error, OSError) as error:
                log.error("integrator_refused", error=str(error))
                pause_seconds = BROKEN_SECONDS
            if is_last:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), max(0.0, began + pause_seconds - loop.time()))
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Give up the lead, said to the server: it notices a closed session only later, and the next process would wait."""
        connection, self._connection, self._is_leader, self._edge = self._connection, None, False, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.execute(tile_store.STOP_LEADING)
            connection.close()

    def require_continued(self) -> None:
        """Nothing is written, and nothing that was signed or anchored is missing in the database or other there.

        Raises: LedgerBroken, DatabaseUnavailable.
        """
        with connect(self._url, API, autocommit=True) as connection:
            self._read_edge(connection)

    def step(self) -> bool:
        """Integrate one batch; whether there may be more.

        Raises: LedgerBroken, DatabaseUnavailable, psycopg.Error, OSError; the next step begins anew.
        """
        try:
            connection = self._lead()
            if connection is None:
                return False
            edge = self._edge = self._edge or self._read_edge(connection)
            last = self._signer.last()
            # As far as was signed before, at least: a shorter head would be refused.
            wanted = max(BATCH_LEAVES, last.size - edge.size if last else 0)
            leaves = self._read_leaves(connection, edge, wanted)
            if leaves:
                self._extend(connection, edge, leaves, last)
            return len(leaves) == wanted
        except Exception:
            self.close()
            raise

    def _lead(self) -> psycopg.Connection | None:
        if self._connection is None:
            self._connection = connect(self._url, API, autocommit=True)
        self._is_leader = self._is_leader or tile_store.try_to_lead(self._connection, self._chain_id)
        return self._connection if self._is_leader else None

    def _read_leaves(self, connection: psycopg.Connection, edge: RightEdge, count: int) -> list[bytes]:
        rows = tile_store.read_leaves(connection, self._chain_id, edge.size, count)
        return check_leaves(rows, self._chain_id, edge.size, edge.last_leaf)

    def _extend(self, connection: psycopg.Connection, edge: RightEdge, leaves: Sequence[bytes], last: Checkpoint | None) -> None:
        growth = edge.grow(leaves)
        head = Checkpoint(self._signer.origin, growth.edge.size, growth.edge.root())
        path = self._prove(connection, growth, edge.size)
        if edge.size and not is_consistent(edge.size, edge.root(), head.size, head.root, path):
            raise LedgerBroken(f"the tree of {head.size} entries does not prove to begin with that of {edge.size}")
        if last and last.size != edge.size:
            path = self._prove(connection, growth, last.size)
        note = self._signer.sign(head, path)
        tile_store.write_tree(connection, self._chain_id, growth.tiles, head.size, head.root, note)
        self._edge = growth.edge
        self._anchor.write(head.origin, note)

    def _prove(self, connection: psycopg.Connection, growth: Growth, first: int) -> list[bytes]:
        """From what is at hand; only a signer that remembers less than the database needs older tiles."""
        size = growth.edge.size
        plan = plan_consistency(first, size)
        names = tiles_for(tuple(tuple(node for node in nodes if not growth.is_known(node)) for nodes in plan), size)
        older = hashes_in(tile_store.read_tiles(connection, self._chain_id, names) if names else {})
        return prove(plan, lambda node: growth.hash_at(node) if growth.is_known(node) else older(node))

    def _read_edge(self, connection: psycopg.Connection) -> RightEdge:
        """The tree of the newest checkpoint, which must be what stands there, and continue what was signed and anchored.

        It takes O(log n): the tiles at the right edge.
        """
        size, root, _ = tile_store.read_newest_checkpoint(connection, self._chain_id) or (0, b"", "")
        head_seq, _ = entry_store.read_head(connection, self._chain_id) or (-1, b"")
        if head_seq + 1 < size:
            raise LedgerBroken(f"the newest checkpoint covers {size} entries, but the database has {head_seq + 1}")
        edge = self._load_edge(connection, size)
        if size and edge.root() != root:
            raise LedgerBroken(f"the first {size} entries no longer have the root that their checkpoint says")
        for name, witness in (("the signer's memory", self._signer.last()), ("the anchor", self._read_anchor())):
            if witness is not None and witness.size:
                self._require_beginning(connection, edge, head_seq + 1, name, witness)
        return edge

    def _load_edge(self, connection: psycopg.Connection, size: int) -> RightEdge:
        names = [name for name in edge_names(size) if name.width]
        before = TileName(0, size // TILE_HASHES - 1, TILE_HASHES)
        wanted = names if size % TILE_HASHES or not size else [*names, before]
        tiles = tile_store.read_tiles(connection, self._chain_id, wanted)
        if any(len(tiles.get((level, number), b"")) != width * HASH_BYTES for level, number, width in wanted):
            raise LedgerBroken(f"tiles of the tree of {size} entries are missing")
        levels = tuple(tuple(split_hashes(tiles.get((name.level, name.number), b""))) if name.width else () for name in edge_names(size))
        if size % TILE_HASHES:
            last_leaf = levels[0][-1]
        else:
            last_leaf = tiles[0, before.number][-HASH_BYTES:] if size else NO_PREVIOUS
        return RightEdge(size, last_leaf, levels)

    def _read_anchor(self) -> Checkpoint | None:
        note = self._anchor.read(self._signer.origin)
        if note is None:
            return None
        try:
            return open_checkpoint(note, self._signer.verifier)
        except ValueError as error:
            raise LedgerBroken(f"couldn't read the anchored checkpoint of {self._signer.origin}: {error}") from error

    def _require_beginning(self, connection: psycopg.Connection, edge: RightEdge, head: int, name: str, witness: Checkpoint) -> None:
        """Raises: LedgerBroken unless the tree begins with that of `witness`."""
        if witness.size > head:
            raise LedgerBroken(
                f"the database was taken back: {name} has a signed checkpoint of {witness.size} entries, the database has {head}. "
                "Nothing is appended to it: bring back the newer database"
            )
        if witness.size > edge.size:
            grown = edge.grow(self._read_leaves(connection, edge, witness.size - edge.size)).edge
            root = grown.root()
        else:
            names = tiles_for((cover(0, witness.size),), edge.size)
            root = root_at(witness.size, hashes_in(tile_store.read_tiles(connection, self._chain_id, names)))
        if root != witness.root:
            raise LedgerBroken(
                f"the database was rewritten: its first {witness.size} entries are not those of the signed checkpoint in {name}. "
                "Nothing is appended to it: run `precedent ledger verify`"
            )


def check_leaves(rows: Sequence[tuple[int, bytes, bytes]], chain_id: UUID, first: int, last_leaf: bytes) -> list[bytes]:
    """The leaves of entries `first`, `first` + 1, …, each made again from its envelope; `last_leaf` is that before `first`.

    Raises: LedgerBroken where one is missing, is not the hash of its envelope, or does not continue the one before.
    """
    leaves = []
    chain_bytes = chain_id.bytes
    for expected, (seq, envelope, stored) in enumerate(rows, first):
        leaf = sha256(b"\x00" + envelope).digest()
        if seq != expected or leaf != stored or envelope[50:82] != last_leaf or envelope[2:26] != chain_bytes + seq.to_bytes(8):
            raise LedgerBroken(f"entry {expected} is not integrated: it is missing, was changed, or does not continue the one before")
        leaves.append(leaf)
        last_leaf = leaf
    return leaves
