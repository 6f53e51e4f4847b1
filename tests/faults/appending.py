"""A process of many writers that says what it asks and what it was told: started and killed by test_kill_writer.py.

It first asks again for the keys on its standard input, which a killed process left open, then goes on with keys of its own.
Each line is written before what follows it: `asked KEY`, then `told KEY SEQ ID LEAF`, or `found KEY ID` where the key had its
entry already.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import count
from uuid import UUID

import psycopg
import sample_entries as sample
import structlog

from precedent.errors import DatabaseUnavailable
from precedent.ledger.entry import Appended, Claimed
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import Writer

CLIENTS = 3  # of each writer


def claim_of(key: str) -> bytes:
    return sha256(key.encode()).digest()


async def run(url: str, name: str, writers: int, open_keys: Sequence[str], is_settling: bool) -> None:
    """Ends by itself only when it settles: then there are no keys but the open ones."""
    chain_id = find_chain(url)
    made = [Writer(url, chain_id, queue_limit=1000, timeout_seconds=3) for _ in range(writers)]
    for writer in made:
        writer.start()
    keys = iter([*open_keys]) if is_settling else keys_of(name, open_keys)
    await asyncio.gather(*(serve(writer, keys) for writer in made for _ in range(CLIENTS)))
    for writer in made:
        await writer.stop()


def find_chain(url: str) -> UUID:
    """Its connection may be cut as any other."""
    while True:
        with suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            return chain_id_of(connection, "main")


def keys_of(name: str, first: Sequence[str]) -> Iterator[str]:
    yield from first
    yield from (f"{name}-{number}" for number in count())


async def serve(writer: Writer, keys: Iterator[str]) -> None:
    """One client: a key at a time, until it is answered."""
    for key in keys:
        say(f"asked {key}")
        while True:
            draft = sample.decision(len(key), verdict="approve", claim=claim_of(key), fingerprint=b"")
            try:
                answer = await writer.append(draft)
            except DatabaseUnavailable:
                continue  # what an API's client does: the same key again, with an entry of its own
            break
        if isinstance(answer, Appended):
            say(f"told {key} {answer.entry_id} {answer.seq} {answer.leaf.hex()}")
        else:
            assert isinstance(answer, Claimed)
            say(f"found {key} {answer.entry_id}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is the protocol's alone
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.stdin.read().split(), sys.argv[4:] == ["settle"]))
