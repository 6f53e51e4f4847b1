"""Proofs where nobody integrates by itself: what is not covered yet, what is waited for, and what can't be proved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
import sample_entries as sample

from precedent.db.engine import connect
from precedent.db.reads import Reads
from precedent.errors import LedgerBroken, NotFound, ProofPending
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.entry import Appended
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.merkle import is_included
from precedent.ledger.proof import Proofs
from precedent.ledger.signer import Signer
from precedent.ledger.store import chain_id_of
from precedent.ledger.tiles import TileName


def with_proofs(url: str, folder: Path, body: Callable[[Proofs, Integrator], Awaitable[None]]) -> None:
    async def run() -> None:
        with connect(url) as connection:
            chain_id = chain_id_of(connection, "main")
        integrator = Integrator(url, chain_id, Signer(origin_of(chain_id), bytes(32), folder / "memory"), FolderAnchor(folder / "anchor"))
        reads = Reads(url, 2)
        await reads.open()
        try:
            await body(Proofs(reads, chain_id), integrator)
        finally:
            integrator.close()
            await reads.close()

    asyncio.run(run())


def append(url: str, count: int) -> list[Appended]:
    return sample.append_all(url, [sample.event(n) for n in range(count)])


def test_what_no_checkpoint_covers_is_pending(database_url: str, tmp_path: Path) -> None:
    first, second = append(database_url, 1), None

    async def body(proofs: Proofs, integrator: Integrator) -> None:
        nonlocal second
        with pytest.raises(NotFound, match="nothing is covered"):
            await proofs.newest()
        with pytest.raises(ProofPending, match="covers entry 0 yet: the newest covers 0"):
            await proofs.prove(first[0], 0)
        integrator.step()
        assert (await proofs.prove(first[0], 0)).path == ()
        second = append(database_url, 1)
        with pytest.raises(ProofPending, match="covers entry 1 yet: the newest covers 1"):
            await proofs.prove(second[0], 0.1)
        with pytest.raises(NotFound, match="no such tile in the tree of 1 entries"):
            await proofs.read_tile(TileName(0, 0, 2))

    with_proofs(database_url, tmp_path, body)


def test_who_waits_has_the_proof_once_there_is_one(database_url: str, tmp_path: Path) -> None:
    places = append(database_url, 3)

    async def body(proofs: Proofs, integrator: Integrator) -> None:
        waiting = [asyncio.create_task(proofs.prove(place, 10)) for place in places]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        await asyncio.to_thread(integrator.step)
        for place, proof in zip(places, await asyncio.gather(*waiting), strict=True):
            assert is_included(place.leaf, place.seq, 3, proof.path, proof.signed.root)

    with_proofs(database_url, tmp_path, body)


def test_entries_of_every_place_in_a_tree_of_three_levels_of_tiles_are_proved(database_url: str, tmp_path: Path) -> None:
    places = append(database_url, 1000)

    async def body(proofs: Proofs, integrator: Integrator) -> None:
        integrator.step()
        for seq in (0, 1, 255, 256, 511, 767, 768, 998, 999):
            proof = await proofs.prove(places[seq], 0)
            assert proof.signed.size == 1000
            assert is_included(places[seq].leaf, seq, 1000, proof.path, proof.signed.root)

    with_proofs(database_url, tmp_path, body)


@pytest.mark.parametrize(
    ("seq", "change"),
    [
        (290, "update ledger.entry set leaf = set_byte(leaf, 0, get_byte(leaf, 0) # 1) where seq = 299"),
        (3, "update ledger.tile set hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1)"),
        (290, "update ledger.tile set root = set_byte(root, 0, get_byte(root, 0) # 1)"),
        (3, "delete from ledger.tile"),
        (290, "delete from ledger.entry where seq = 298"),
    ],
)
def test_what_was_changed_gives_no_proof(database_url: str, tmp_path: Path, seq: int, change: str) -> None:
    places = append(database_url, 300)

    async def body(proofs: Proofs, integrator: Integrator) -> None:
        integrator.step()
        await proofs.prove(places[seq], 0)
        with psycopg.connect(database_url) as connection:
            connection.execute(b"alter table ledger.tile disable trigger user; alter table ledger.entry disable trigger user")
            connection.execute(change.encode())
        with pytest.raises(LedgerBroken):
            await proofs.prove(places[seq], 0)

    with_proofs(database_url, tmp_path, body)


def test_a_rewritten_entry_gives_no_proof(database_url: str, tmp_path: Path) -> None:
    places = append(database_url, 10)

    async def body(proofs: Proofs, integrator: Integrator) -> None:
        integrator.step()
        place = places[5]
        forged = Appended(place.entry_id, place.seq, place.envelope[:-1] + b"?", place.leaf)
        with pytest.raises(LedgerBroken, match="does not prove"):
            await proofs.prove(forged, 0)

    with_proofs(database_url, tmp_path, body)
