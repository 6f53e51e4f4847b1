"""What is timed is a tree that does its work: every planted entry is integrated, proved, and followed by real appends."""

from __future__ import annotations

import psycopg

from tests.bench.tree import measure_tree


def test_a_planted_tree_is_integrated_proved_and_appended_to(database_url: str) -> None:
    found = measure_tree(database_url, entries=1000, proofs=20, appends=20)
    assert found.entries == 1000
    assert min(found.leaves_per_second, found.leaves_per_cpu_second, found.restart_ms) > 0
    assert 0 < found.proof_p50_ms <= found.proof_p99_ms
    assert 0 < found.cover_p50_ms <= found.cover_p99_ms
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select max(size) from ledger.checkpoint").fetchone() == (1020,)
