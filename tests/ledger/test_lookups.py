"""Look-ups that requests share: a row that is broken fails whoever asked for it, and nobody beside them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import sample_entries as sample

from precedent.db.reads import Reads
from precedent.errors import LedgerBroken
from precedent.ledger.epoch_keys import HeldKeys
from precedent.ledger.keyring import Keyring
from precedent.ledger.store import Entries, chain_id_of
from precedent.ledger.subjects import Subjects


def with_reads(url: str, body: Callable[[Reads], Awaitable[list[Any]]]) -> list[Any]:
    async def run() -> list[Any]:
        reads = Reads(url, 1)
        await reads.open()
        try:
            return await body(reads)
        finally:
            await reads.close()

    return asyncio.run(run())


def break_section(url: str, seq: int, stored: bytes) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("alter table ledger.section disable trigger refuse_change")
        connection.execute("update ledger.section set stored[1] = %s where seq = %s", (stored, seq))
        connection.execute("alter table ledger.section enable always trigger refuse_change")


def test_an_entry_that_does_not_parse_is_a_broken_ledger_to_who_asked_alone(database_url: str) -> None:
    first, second, third = sample.append_all(database_url, [sample.event(n) for n in range(3)])
    break_section(database_url, second.seq, b'{"type": ')
    break_section(database_url, third.seq, b"\xff")
    with psycopg.connect(database_url) as connection:
        chain_id = chain_id_of(connection, "main")

    async def body(reads: Reads) -> list[Any]:
        entries = Entries(reads, chain_id)
        asked = [entries.find(one.entry_id) for one in (first, second, third, second)] + [entries.find(sample.CLOCK.new_id())]
        return await asyncio.gather(*asked, return_exceptions=True)

    found, *broken, absent = with_reads(database_url, body)
    assert (found.place, found.core["correlation_id"], absent) == (first, "cid-0", None)
    assert [type(one) for one in broken] == [LedgerBroken] * 3


def test_a_subject_whose_key_is_gone_fails_alone(database_url: str) -> None:
    kept, gone = "epoch-2026-11", "epoch-2026-10"
    epoch_keys = {kept: bytes(range(32)), gone: os.urandom(32)}
    with psycopg.connect(database_url) as connection:
        chain_id = chain_id_of(connection, "main")

    def subjects(reads: Reads, keys: dict[str, bytes]) -> Subjects:
        return Subjects(reads, Keyring(bytes(32), HeldKeys(keys)), chain_id, sample.CLOCK)

    async def body(reads: Reads) -> list[Any]:
        for name, epoch in (("C-1", kept), ("C-2", gone)):
            subject = await subjects(reads, {epoch: epoch_keys[epoch]}).resolve("customer", name)
            sample.append_all(database_url, [sample.event(subject=subject.new)])
        left = subjects(reads, {kept: epoch_keys[kept]})
        return await asyncio.gather(*(left.resolve("customer", name) for name in ("C-1", "C-2", "C-3")), return_exceptions=True)

    known, lost, new = with_reads(database_url, body)
    assert (known.new, type(lost)) == (None, LedgerBroken)
    assert new.new is not None, "a subject that nobody has named yet"
