"""What the bench plants is a day like any other: the morning's jobs derive it, state it, and trace it back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from precedent.db.embedded import EmbeddedPostgres
from precedent.lineage.trace import trace
from tests.bench.daily import FIRST, plant
from tests.bench.pipeline import run_days

DECISIONS = 60


def test_what_is_planted_is_a_day_of_decisions_with_their_outcomes_under_a_chain(database_url: str, tmp_path: Path) -> None:
    plant(database_url, tmp_path, 0, DECISIONS, FIRST, DECISIONS, 20)
    with psycopg.connect(database_url) as connection:
        assert counts(connection, "known_at::date = %s") == [(DECISIONS, DECISIONS)]
        assert connection.execute("select size from precedent.ledger_heads").fetchone() == (2 * DECISIONS,)
        assert connection.execute("select max(size) from ledger.checkpoint").fetchone() == (2 * DECISIONS,)


def counts(connection: psycopg.Connection, where: str) -> list[tuple[int, ...]]:
    """Decisions and outcomes of the first day."""
    parts = (f"(select count(*) from precedent.{table} where {where})" for table in ("decisions", "outcomes"))
    return connection.execute(f"select {', '.join(parts)}".encode(), (FIRST, FIRST)).fetchall()


@pytest.mark.long
def test_a_planted_day_is_derived_stated_and_traced(server: EmbeddedPostgres, database_url: str, tmp_path: Path) -> None:
    plant(database_url, tmp_path, 0, 10, FIRST - timedelta(days=2), 5, 3)
    plant(database_url, tmp_path, 10, 10 + DECISIONS, FIRST, DECISIONS, 20)
    run = run_days(database_url, tmp_path, psutil.Process(server.identity.pid), FIRST, FIRST)
    assert {"dbt_models", "knowledge_snapshots", "decision_embeddings"} <= set(run.steps)
    assert 100 < run.peak_mb < 1500
    assert 1 < run.cpu_seconds < 4 * run.seconds
    with psycopg.connect(database_url) as connection:
        (vectors,) = connection.execute("select count(*) from precedent.decision_embeddings_384").fetchone() or (0,)
        (counted,) = connection.execute("select sum(decisions_count) from analytics.decision_daily").fetchone() or (0,)
    assert (vectors, counted) == (DECISIONS, DECISIONS)
    assert trace(database_url, "main", "decision_daily", FIRST).findings == ()
