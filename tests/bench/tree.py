"""The tree at a million entries: how fast it is integrated, proved and taken up again, and how soon a checkpoint covers an entry."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from uuid import UUID

from precedent.db.engine import connect
from precedent.db.reads import Reads
from precedent.ledger.anchor import FolderAnchor
from precedent.ledger.entry import ENVELOPE, NO_PREVIOUS, Appended, Kind, leaf_of
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.proof import Proofs
from precedent.ledger.signer import Signer
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import Writer
from tests.bench.clients import percentile
from tests.bench.records import EVENTS, draft_of, record

PLACES = "select entry_id, seq, envelope, leaf from ledger.entry where chain_id = %s and seq = any(%s)"
APPEND_EVERY_SECONDS = 0.005
LONGEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TreeFigures:
    """Of a tree of `entries`; proofs are asked for one after the other, entries appended while the integrator runs beside them.

    Leaves by second are by the clock, PostgreSQL beside us; by second of our own processor time they don't suffer from others.
    """

    entries: int
    leaves_per_second: float
    leaves_per_cpu_second: float
    restart_ms: float
    proof_p50_ms: float
    proof_p99_ms: float
    cover_p50_ms: float
    cover_p99_ms: float


def measure_tree(url: str, entries: int, proofs: int, appends: int) -> TreeFigures:
    """On a migrated database without entries."""
    with connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
    plant_entries(url, chain_id, entries)
    with tempfile.TemporaryDirectory() as folder:
        integrator = _integrator(url, chain_id, Path(folder))
        began, began_cpu = perf_counter(), process_time()
        while integrator.step():
            pass
        integrated_seconds, integrated_cpu_seconds = perf_counter() - began, process_time() - began_cpu
        integrator.close()
        integrator = _integrator(url, chain_id, Path(folder))
        began = perf_counter()
        integrator.require_continued()
        restart_seconds = perf_counter() - began
        prove_seconds, cover_seconds = asyncio.run(_prove_and_cover(url, chain_id, integrator, entries, proofs, appends))
    return TreeFigures(
        entries,
        leaves_per_second=entries / integrated_seconds,
        leaves_per_cpu_second=entries / integrated_cpu_seconds,
        restart_ms=restart_seconds * 1000,
        proof_p50_ms=percentile(prove_seconds, 0.50) * 1000,
        proof_p99_ms=percentile(prove_seconds, 0.99) * 1000,
        cover_p50_ms=percentile(cover_seconds, 0.50) * 1000,
        cover_p99_ms=percentile(cover_seconds, 0.99) * 1000,
    )


def plant_entries(url: str, chain_id: UUID, count: int) -> None:
    """Envelopes that continue each other, put there past the append: bodies are no matter of the tree."""
    previous, commits = NO_PREVIOUS, bytes(33)
    statement = "copy ledger.entry (chain_id, seq, entry_id, envelope, leaf, commits) from stdin (format binary)"
    with connect(url) as connection, connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["uuid", "int8", "uuid", "bytea", "bytea", "bytea"])
        for seq in range(count):
            entry_id = UUID(bytes=os.urandom(16))
            envelope = ENVELOPE.pack(1, Kind.EVENT, chain_id.bytes, seq, seq + 1, entry_id.bytes, previous, bytes(32))
            previous = leaf_of(envelope)
            copy.write_row((chain_id, seq, entry_id, envelope, previous, commits))
    with connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze ledger.entry")


def _integrator(url: str, chain_id: UUID, folder: Path) -> Integrator:
    signer = Signer(origin_of(chain_id), bytes(range(32)), folder / "signer")
    return Integrator(url, chain_id, signer, FolderAnchor(folder / "anchor"))


async def _prove_and_cover(
    url: str, chain_id: UUID, integrator: Integrator, entries: int, proofs: int, appends: int
) -> tuple[list[float], list[float]]:
    """Seconds of each proof, and from each answer to its proof, both ascending."""
    reads = Reads(url, 4)
    await reads.open()
    writer = Writer(url, chain_id, queue_limit=appends, timeout_seconds=10.0)
    try:
        found = Proofs(reads, chain_id)
        wanted = random.Random(7).sample(range(entries), proofs)
        rows = await reads.fetch(PLACES, (chain_id, wanted))
        proved = [await _seconds_to_prove(found, Appended(*row)) for row in rows]
        writer.start()
        integrator.start()
        waits = []
        for _ in range(appends):
            waits.append(asyncio.create_task(_append_and_wait(writer, found)))
            await asyncio.sleep(APPEND_EVERY_SECONDS)
        return sorted(proved), sorted(await asyncio.gather(*waits))
    finally:
        await writer.stop()
        await integrator.stop()
        await reads.close()


async def _append_and_wait(writer: Writer, proofs: Proofs) -> float:
    place = await writer.append(draft_of(EVENTS, record(EVENTS, 0)))
    assert isinstance(place, Appended), place
    return await _seconds_to_prove(proofs, place)


async def _seconds_to_prove(proofs: Proofs, place: Appended) -> float:
    began = perf_counter()
    await proofs.prove(place, LONGEST_WAIT_SECONDS)
    return perf_counter() - began
