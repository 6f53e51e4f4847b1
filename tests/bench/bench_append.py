"""Durable appends a second: the ledger's batches against one transaction a request that locks and updates a head row.

Run it: `python tests/bench/bench_append.py URL`, on a migrated database that nobody needs. No test collects it.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
import uuid
from hashlib import sha256
from typing import Any

import psycopg

from precedent.clock import SystemClock
from precedent.ledger.entry import Draft, Kind, Section, draft_entry
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import MAX_BATCH_ENTRIES, append

RECORD_BYTES = 1500
_BASELINE_TABLES = """
create table if not exists baseline_head (id int primary key, seq bigint not null, hash bytea not null);
create table if not exists baseline_record (
    seq bigint primary key, id uuid not null unique, recorded_at timestamptz not null default now(), body jsonb not null,
    prev_hash bytea not null, hash bytea not null);
insert into baseline_head values (1, -1, decode(repeat('00', 32), 'hex')) on conflict do nothing;
"""


def run(url: str, *, entries: int = 40 * MAX_BATCH_ENTRIES, seconds: float = 5.0) -> dict[str, Any]:
    """Appends a second of both, one process and one connection each, and their ratio.

    Both sides start from records that are made: the API drafts the next batch while a commit is in flight. What drafting costs
    is told beside it. The append writes sections, entry, projection and outbox; the baseline one row.
    """
    began = time.perf_counter()
    batches = [[decision_draft(n) for n in range(MAX_BATCH_ENTRIES)] for _ in range(entries // MAX_BATCH_ENTRIES)]
    drafting_us = (time.perf_counter() - began) * 1e6 / entries
    with psycopg.connect(url, autocommit=True) as connection:
        settings = {name: connection.execute(f"show {name}").fetchone()[0] for name in ("fsync", "synchronous_commit")}  # type: ignore[index]
        connection.execute(_BASELINE_TABLES.encode())
        batched = _append_batches(connection, batches)
    with psycopg.connect(url) as connection:
        baseline = _append_under_row_lock(connection, json.dumps(record(0), sort_keys=True, separators=(",", ":")), seconds)
    return {
        "append_per_second": round(batched),
        "baseline_per_second": round(baseline),
        "ratio": round(batched / baseline, 1),
        "drafting_us": round(drafting_us, 1),
        "batch_entries": MAX_BATCH_ENTRIES,
        "record_bytes": RECORD_BYTES,
        **settings,
    }


def _append_batches(connection: psycopg.Connection, batches: list[list[Draft]]) -> float:
    chain_id = chain_id_of(connection, "main")
    warm = batches[: len(batches) // 10]
    for batch in warm:  # plans are made, pages are there
        append(connection, chain_id, batch)
    began = time.perf_counter()
    for batch in batches[len(warm) :]:
        append(connection, chain_id, batch)
    return sum(map(len, batches[len(warm) :])) / (time.perf_counter() - began)


def _append_under_row_lock(connection: psycopg.Connection, text: str, seconds: float) -> float:
    done = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        _append_one(connection, text)
        done += 1
    return done / (time.perf_counter() - began)


def _append_one(connection: psycopg.Connection, text: str) -> None:
    entry_id = uuid.uuid4()
    row = connection.execute("select seq, hash from baseline_head where id = 1 for update").fetchone()
    assert row is not None
    seq, prev_hash = row[0] + 1, row[1]
    digest = sha256(prev_hash + struct.pack(">Q", seq) + entry_id.bytes + text.encode()).digest()
    connection.execute(
        "insert into baseline_record (seq, id, body, prev_hash, hash) values (%s, %s, %s, %s, %s)", (seq, entry_id, text, prev_hash, digest)
    )
    connection.execute("update baseline_head set seq = %s, hash = %s where id = 1", (seq, digest))
    connection.commit()


def decision_draft(number: int) -> Draft:
    """A decision of `RECORD_BYTES` in all its sections, all projections included."""
    body = record(number)
    sections: dict[Section, object] = {
        Section.CORE: body,
        Section.FACTS: {"facts": {"deal_value": 1_200_000 + number, "requested_discount_pct": 800}},
        Section.MEMORY: {"features": {"approvals_30d": number}},
    }
    return draft_entry(_CLOCK, Kind.DECISION, sections)


def record(number: int) -> dict[str, Any]:
    """What a decision's core holds; the same for both sides."""
    core: dict[str, Any] = {
        "node": "finance",
        "action": "approve_discount",
        "subject_id": None,
        "entities": {"customer": f"c-{number}"},
        "result": {
            "verdict": "approve",
            "level": 2,
            "rule": "band.small",
            "reasons": [{"code": "WITHIN_BAND", "text": "the discount is within the band"}],
            "effective": True,
            "requires_human": False,
            "trace": [{"rule": f"rule-{n}", "value": n % 2 == 0, "line": n} for n in range(12)],
        },
        "derivation": {"policy": "finance-constitution@1.0.0", "policy_digest": "ab" * 32, "variant": "A", "draw": os.urandom(16).hex()},
        "call": {"correlation_id": str(uuid.uuid4()), "principal": "bench", "event_id": None, "as_of": None, "latency_us": 1234},
    }
    core["padding"] = "x" * (RECORD_BYTES - 110 - len(json.dumps(core, separators=(",", ":"))))
    return core


_CLOCK = SystemClock()

if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1]), indent=2))
