"""A process that appends without end and says what it was told: started and killed by test_kill_writer.py."""

from __future__ import annotations

import asyncio
import sys

import psycopg
import sample_entries as sample

from precedent.ledger.entry import Appended
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import Writer

CLIENTS = 24


async def run(url: str) -> None:
    with psycopg.connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
    writer = Writer(url, chain_id, queue_limit=1000, timeout_seconds=5)
    writer.start()
    await asyncio.gather(*(ask(writer, client) for client in range(CLIENTS)))


async def ask(writer: Writer, client: int) -> None:
    """One client's requests; a line per answer, written before the next request."""
    number = 0
    while True:
        number += 1
        answer = await writer.append(sample.decision(number, verdict="escalate" if number % 3 else "approve"))
        assert isinstance(answer, Appended)
        sys.stdout.write(f"{answer.seq} {answer.entry_id} {answer.leaf.hex()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
