"""The core without a shell: everything that decides and records, on a real database, with parts that a test may exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from running_api import Installation

from precedent.authority import AuthoritySource
from precedent.call import Call
from precedent.clock import Clock, SystemClock
from precedent.db.reads import Reads
from precedent.decide import Decider, Question
from precedent.ledger.idempotency import Claim
from precedent.ledger.keyring import load_keyring
from precedent.ledger.store import Entries, chain_id_of
from precedent.ledger.subjects import Subjects
from precedent.ledger.writer import Writer
from precedent.memory.assemble import Memory
from precedent.record import Recorder

DEAL: dict[str, Any] = {
    "deal_value": 12000,
    "base_margin_pct": Decimal("0.31"),
    "requested_discount_pct": Decimal("0.08"),
    "customer_tier": "A",
}
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Core:
    """One process's worth of it; nobody listens for changes unless the test does."""

    chain_id: UUID
    reads: Reads
    authority: AuthoritySource
    decider: Decider
    recorder: Recorder


@asynccontextmanager
async def core_of(installation: Installation, clock: Clock = CLOCK, writer: Callable[..., Writer] = Writer) -> AsyncIterator[Core]:
    url, settings = installation.database_url, installation.settings
    with psycopg.connect(url) as connection:
        chain_id = chain_id_of(connection, settings.chain)
    reads = Reads(url, 2)
    await reads.open()
    writing = writer(url, chain_id, queue_limit=100, timeout_seconds=2.0)
    writing.start()
    authority = AuthoritySource(reads, url, chain_id)
    subjects = Subjects(reads, load_keyring(settings.keys_path, "2026-11", create=True), chain_id, clock)
    entries = Entries(reads, chain_id)
    try:
        yield Core(
            chain_id,
            reads,
            authority,
            Decider(authority, subjects, Memory(reads, chain_id), entries, writing, clock),
            Recorder(authority, subjects, entries, writing, clock),
        )
    finally:
        await writing.stop()
        await reads.close()


def call(claim: Claim | None = None) -> Call:
    return Call("tests", "cid", CLOCK.monotonic_ns(), b"{}", claim)


def question(**facts: Any) -> Question:
    return Question("finance", "approve_discount", DEAL | facts)


def size_of(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from ledger.entry").fetchone()
    assert row is not None
    return int(row[0])
