"""Both sides of the comparison do what they claim: chains without a fork, records of one size, verified afterwards."""

from __future__ import annotations

import json
from itertools import pairwise

import psutil
import psycopg
import pytest

from precedent.db.embedded import EmbeddedPostgres
from precedent.ledger.verify import verify_database
from tests.bench.appends import DRAFTS_PER_SECOND, PRODUCERS, WARM_UP, run_writers
from tests.bench.records import DECISIONS, EVENTS, RECORD_BYTES, draft_of, record
from tests.bench.row_lock import RowLock, hash_of


@pytest.mark.parametrize("kind", [DECISIONS, EVENTS])
def test_a_record_has_the_size_it_claims(kind: str) -> None:
    assert {draft_of(kind, record(kind, number)).size_bytes for number in (0, 9, 255)} == {RECORD_BYTES}


@pytest.mark.parametrize(("kind", "processes"), [(DECISIONS, 2), (EVENTS, 1)])
def test_what_the_writers_appended_is_one_chain_that_verifies(
    server: EmbeddedPostgres, database_url: str, kind: str, processes: int
) -> None:
    run = run_writers(database_url, psutil.Process(server.identity.pid), kind, processes, seconds=0.3)
    report = verify_database(database_url, processes=1)
    assert report.is_intact, str(report)
    # Every entry was counted, once, but for those that warmed up.
    assert report.size == run.entries + processes * WARM_UP
    assert 0 < run.entries <= processes * 0.3 * DRAFTS_PER_SECOND
    assert run.per_second > 0
    assert 1 < run.step_entries <= PRODUCERS
    assert 0 < run.step_p50_ms <= run.step_p99_ms


def test_the_row_lock_makes_one_chain_too(database_url: str) -> None:
    with RowLock(database_url, 4) as baseline:
        took = baseline.run(0.3)
    assert took == sorted(took)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select seq, id, body, prev_hash, hash from row_lock_record order by seq").fetchall()
    assert [row[0] for row in rows] == list(range(len(rows)))
    assert len(took) <= len(rows) <= len(took) + 4
    assert all(row[3] == before[4] for before, row in pairwise(rows))
    for seq, entry_id, body, prev_hash, digest in rows:
        assert digest == hash_of(prev_hash, seq, entry_id, json.dumps(body, sort_keys=True, separators=(",", ":")))
