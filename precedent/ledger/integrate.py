"""The integrator: it hashes what was appended into the tree, has the head signed, and writes tiles, checkpoint and anchor.

Never on the way of an answer. One process at a time, by an advisory lock that ends with its session; the others look on. It
believes no stored hash: each leaf is made again from its envelope, the chain must be unbroken, and what was signed or anchored
before must be the beginning of what stands there now.

If we crash after the signer remembers and before the commit, the next run reads at least as far and continues what was signed.
If we crash after the commit and before the anchor, the anchor is one checkpoint behind until the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import psycopg
import structlog

from precedent.db.engine import API, connect, with_options
from precedent.errors import LedgerBroken, SettingsInvalid, Unavailable
from precedent.ledger import tile_store
from precedent.ledger.anchor import Anchor, Anchors
from precedent.ledger.continuity import HeadSigner, StoredTree, witnesses_of
from precedent.ledger.leaves import check_leaves
from precedent.ledger.merkle import is_consistent, plan_consistency, prove
from precedent.ledger.note import Checkpoint
from precedent.ledger.read_ahead import ReadAhead
from precedent.ledger.tiles import Growth, RightEdge, hashes_in, tiles_for

CADENCE_SECONDS = 0.2
# What is broken stays so until somebody looks; asking again must not fill the log.
BROKEN_SECONDS = 5.0
# As many as a tile of level 1 covers: a backlog goes into few commits, and takes some 10 MB.
BATCH_LEAVES = 65_536

log = structlog.get_logger(__name__)


def origin_of(chain_id: UUID) -> str:
    """The name of a chain's tree, in its checkpoints and as the name of its key."""
    return f"precedent/{chain_id}"


def give_way() -> None:
    """Let the threads run that wait for the interpreter: answers are not to wait until a backlog is hashed."""
    time.sleep(0)


class Integrator:
    """Grows the tree of one chain. `step` is for one thread; `start` and `stop` run it beside an event loop."""

    def __init__(self, url: str, chain_id: UUID, signer: HeadSigner, *anchors: Anchor) -> None:
        # A checkpoint that a power cut takes is signed again: it is derived. Decisions don't wait for its way to the disk.
        self._url = with_options(url, statement_timeout="15000", synchronous_commit="off")
        self._chain_id = chain_id
        self._signer = signer
        self.anchors = Anchors(anchors)
        self._connection: psycopg.Connection | None = None
        self._is_leader = False
        self._edge: RightEdge | None = None
        self._ahead = ReadAhead(chain_id)
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
            except (Unavailable, psycopg.OperationalError) as error:
                log.warning("integrator_waits", error=str(error))
                pause_seconds = 1.0
            except (LedgerBroken, SettingsInvalid, psycopg.Error, OSError) as error:
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
        self._ahead.forget()
        self.anchors.close()
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
        block = self._ahead.take(connection, edge.size, count)
        return check_leaves(block, self._chain_id, edge.size, edge.last_leaf, give_way)

    def _extend(self, connection: psycopg.Connection, edge: RightEdge, leaves: Sequence[bytes], last: Checkpoint | None) -> None:
        growth = edge.grow(leaves, give_way)
        head = Checkpoint(self._signer.origin, growth.edge.size, growth.edge.root())
        path = self._prove(connection, growth, edge.size)
        if edge.size and not is_consistent(edge.size, edge.root(), head.size, head.root, path):
            raise LedgerBroken(f"the tree of {head.size} entries does not prove to begin with that of {edge.size}")
        if last and last.size != edge.size:
            path = self._prove(connection, growth, last.size)
        note = self._signer.sign(head, path)
        tile_store.write_tree(connection, self._chain_id, growth.tiles, head.size, head.root, note)
        self._edge = growth.edge
        self.anchors.write(head.origin, note)

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
        tree = StoredTree.load(connection, self._chain_id)
        for witness in witnesses_of(connection, self._chain_id, self._signer, self.anchors):
            tree.require_beginning(witness)
        return tree.edge
