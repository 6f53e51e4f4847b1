"""Writers append while an integrator signs and readers take proofs: each proof is checked, by code that shares none with the
prover, against the one checkpoint it names, and each checkpoint against the one before.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, pairwise, takewhile
from pathlib import Path
from uuid import UUID

import pytest
import sample_entries as sample
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from independent import is_continued, open_note, require_chain, root_from_inclusion

from precedent.db.engine import API, connect
from precedent.db.reads import Reads
from precedent.errors import DatabaseUnavailable
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.entry import Appended
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.merkle import plan_consistency, prove
from precedent.ledger.proof import Proof, Proofs
from precedent.ledger.signer import Signer
from precedent.ledger.store import chain_id_of
from precedent.ledger.tile_store import read_tiles
from precedent.ledger.tiles import hashes_in, tiles_for
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import Writer

SEED = bytes(range(32))
PUBLIC_KEY = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
WRITERS, CLIENTS, READERS = 4, 8, 2
PROOFS_AT_ONCE = 16


@dataclass(slots=True)
class Ground:
    """A chain under the hammer; `stood` holds what writers were told, and `is_over` says that they are done."""

    url: str
    chain_id: UUID
    stood: list[Appended] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)
    checked: int = 0
    continued: int = 0

    @property
    def origin(self) -> str:
        return origin_of(self.chain_id)

    @property
    def is_unseen(self) -> bool:
        return self.checked < 20 * PROOFS_AT_ONCE or self.continued < 10

    def begin(self, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as failure:
                self.failures.append(failure)
                self.is_over.set()

        thread = threading.Thread(target=guarded)
        thread.start()
        return thread

    async def write(self, entries: int) -> None:
        """So many entries in all, and on until the readers have seen enough, by writers that compete for the chain."""
        writers = [Writer(self.url, self.chain_id, queue_limit=1000, timeout_seconds=20) for _ in range(WRITERS)]
        numbers = takewhile(lambda number: number < entries or (self.is_unseen and number < 10 * entries), count())

        async def serve(writer: Writer) -> None:
            for number in numbers:
                answer = await writer.append(sample.decision(number, verdict="escalate" if number % 5 == 0 else "approve"))
                assert isinstance(answer, Appended)
                self.stood.append(answer)

        for writer in writers:
            writer.start()
        try:
            await asyncio.gather(*(serve(writer) for writer in writers for _ in range(CLIENTS)))
        finally:
            for writer in writers:
                await writer.stop()

    def integrate(self, folder: Path) -> None:
        """As fast as it can, so that there are many checkpoints; everything is covered when it ends."""
        integrator = Integrator(self.url, self.chain_id, Signer(self.origin, SEED, folder / "memory"), FolderAnchor(folder / "anchor"))
        try:
            while not self.is_over.is_set():
                integrator.step()
            while integrator.step():
                pass
        finally:
            integrator.close()

    def read(self, seed: int) -> None:
        asyncio.run(self._read(random.Random(seed)))

    async def _read(self, chance: random.Random) -> None:
        reads = Reads(self.url, 2)
        await reads.open()
        proofs = Proofs(reads, self.chain_id)
        seen: tuple[int, bytes] | None = None
        try:
            while not self.is_over.is_set():
                if not (stood := self.stood[:]):
                    await asyncio.sleep(0)
                    continue
                places = [chance.choice(stood) for _ in range(PROOFS_AT_ONCE)]
                head = await self.check(proofs, places)
                if seen:
                    self.require_continued(seen, head)
                seen = head
        finally:
            await reads.close()

    async def check(self, proofs: Proofs, places: list[Appended]) -> tuple[int, bytes]:
        """Prove all at once; the newest head that signed one of them."""
        newest = (0, b"")
        for proof in await asyncio.gather(*(proved(proofs, place) for place in places)):
            size, root = open_note(proof.signed.note, self.origin, PUBLIC_KEY)
            assert root_from_inclusion(proof.place.leaf, proof.place.seq, size, proof.path) == root
            newest = max(newest, (size, root))
            self.checked += 1
        return newest

    def require_continued(self, seen: tuple[int, bytes], head: tuple[int, bytes]) -> None:
        assert head[0] >= seen[0]
        if head[0] == seen[0]:
            assert head == seen, "two roots for one size"
            return
        with connect(self.url, API, autocommit=True) as connection:
            plan = plan_consistency(seen[0], head[0])
            path = prove(plan, hashes_in(read_tiles(connection, self.chain_id, tiles_for(plan, head[0]))))
        assert is_continued(*seen, *head, path)
        self.continued += 1


async def proved(proofs: Proofs, place: Appended) -> Proof:
    """Asked again where no connection was free in time, as a client does."""
    for _ in range(10):
        with suppress(DatabaseUnavailable):
            return await proofs.prove(place, 20)
    raise AssertionError(f"no proof of entry {place.seq} in ten attempts")


def hammer(url: str, folder: Path, entries: int) -> Ground:
    with connect(url) as connection:
        ground = Ground(url, chain_id_of(connection, "main"))
    threads = [ground.begin(lambda: ground.integrate(folder))]
    threads += [ground.begin(lambda seed=seed: ground.read(seed)) for seed in range(READERS)]  # type: ignore[misc]
    try:
        asyncio.run(ground.write(entries))
    finally:
        ground.is_over.set()
        for thread in threads:
            thread.join()
    assert not ground.failures, ground.failures
    return ground


async def require_all_under_one_checkpoint(ground: Ground, places: list[Appended]) -> None:
    """The last checkpoint covers everything: every entry that was acknowledged is proved against it."""
    reads = Reads(ground.url, 2)
    await reads.open()
    proofs = Proofs(reads, ground.chain_id)
    try:
        for first in range(0, len(places), 64):
            size, _ = await ground.check(proofs, places[first : first + 64])
            assert size == len(ground.stood)
    finally:
        await reads.close()


def require_whole(ground: Ground) -> None:
    with connect(ground.url) as connection:
        rows = connection.execute(
            "select seq, uuid_send(entry_id), envelope, leaf from ledger.entry where chain_id = %s order by seq",
            (ground.chain_id,),
            binary=True,
        ).fetchall()
        notes = connection.execute("select size, root, note from ledger.checkpoint order by size").fetchall()
    require_chain(rows, ground.chain_id.bytes)
    assert {(seq, leaf) for seq, _, _, leaf in rows} == {(place.seq, place.leaf) for place in ground.stood}
    heads = [open_note(note, ground.origin, PUBLIC_KEY) for _, _, note in notes]
    assert heads == [(size, root) for size, root, _ in notes]
    for seen, head in pairwise(heads):
        ground.require_continued(seen, head)
    report = verify_database(ground.url, processes=1)
    assert report.is_intact, str(report)


def test_every_proof_holds_while_writers_append(database_url: str, tmp_path: Path) -> None:
    ground = hammer(database_url, tmp_path, 2500)
    assert not ground.is_unseen
    asyncio.run(require_all_under_one_checkpoint(ground, random.Random(1).sample(ground.stood, 400)))
    require_whole(ground)


@pytest.mark.long
def test_every_proof_holds_while_writers_append_at_length(database_url: str, tmp_path: Path) -> None:
    """Far beyond one tile of level 1 (65,536 leaves), and then every single entry against the last checkpoint."""
    ground = hammer(database_url, tmp_path, 70_000)
    assert not ground.is_unseen
    asyncio.run(require_all_under_one_checkpoint(ground, ground.stood))
    require_whole(ground)
