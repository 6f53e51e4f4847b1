"""The baseline: one transaction a record, which locks the head's row, hashes in Python, inserts, and updates the head.

It is what one writes first, and it is right: nothing forks. It keeps less than the ledger does: one row a record, no projections.
"""

from __future__ import annotations

import json
import struct
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from time import perf_counter

import psycopg

from tests.bench.records import DECISIONS, record

_TABLES = """
create table if not exists row_lock_head (id int primary key, seq bigint not null, hash bytea not null);
create table if not exists row_lock_record (
    seq bigint primary key, id uuid not null unique, recorded_at timestamptz not null default now(), body jsonb not null,
    prev_hash bytea not null, hash bytea not null);
insert into row_lock_head values (1, -1, decode(repeat('00', 32), 'hex')) on conflict do nothing;
"""


class RowLock:
    """`connections` threads, one connection each, that append to one chain; open while the block runs."""

    def __init__(self, url: str, connections: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_TABLES)
        self._open = [psycopg.connect(url) for _ in range(connections)]
        self._threads = ThreadPoolExecutor(connections)

    def __enter__(self) -> RowLock:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        for connection in self._open:
            connection.close()

    def run(self, seconds: float) -> list[float]:
        """How long each transaction took that ended in time, ascending. What ends late is committed, but not counted."""
        start = threading.Barrier(len(self._open))
        running = [self._threads.submit(_append_until, connection, start, seconds) for connection in self._open]
        return sorted(took for one in running for took in one.result())


def _append_until(connection: psycopg.Connection, start: threading.Barrier, seconds: float) -> list[float]:
    texts = [json.dumps(record(DECISIONS, number), sort_keys=True, separators=(",", ":")) for number in range(64)]
    took: list[float] = []
    start.wait(timeout=30)
    began = perf_counter()
    ends = began + seconds
    while True:
        append_under_row_lock(connection, texts[len(took) % len(texts)])
        now = perf_counter()
        if now > ends:
            return took
        took.append(now - began)
        began = now


def append_under_row_lock(connection: psycopg.Connection, text: str) -> None:
    """One record, committed."""
    entry_id = uuid.uuid4()
    row = connection.execute("select seq, hash from row_lock_head where id = 1 for update").fetchone()
    assert row is not None
    seq, prev_hash = row[0] + 1, row[1]
    digest = hash_of(prev_hash, seq, entry_id, text)
    connection.execute(
        "insert into row_lock_record (seq, id, body, prev_hash, hash) values (%s, %s, %s, %s, %s)", (seq, entry_id, text, prev_hash, digest)
    )
    connection.execute("update row_lock_head set seq = %s, hash = %s where id = 1", (seq, digest))
    connection.commit()


def hash_of(prev_hash: bytes, seq: int, entry_id: uuid.UUID, text: str) -> bytes:
    return sha256(prev_hash + struct.pack(">Q", seq) + entry_id.bytes + text.encode()).digest()
