"""Derives a test's ledger as the pipeline does, without Dagster: features by dbt, vectors, and what is stated of them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from running_dbt import run_dbt

from precedent.clock import SystemClock
from precedent.db.engine import PIPELINE, connect
from precedent.db.store import read_ledger_size
from precedent.ledger.store import chain_id_of
from precedent.lineage.state import Maker, note_due, read_prefix, state_due
from precedent.memory.embedder import TypedEmbedder
from precedent.memory.embedding import embed_days


def derive(url: str, first: date, after_last: date, target: Path) -> None:
    """Features and vectors of the days [first, after_last), and the statement of every day's features."""
    with connect(url, PIPELINE) as connection:
        chain_id = chain_id_of(connection, "main")
        prefix = read_prefix(connection, chain_id, read_ledger_size(connection, "main"))
    variables = {"ledger_prefix": {str(chain_id): prefix.size}, "from_day": first.isoformat(), "to_day": after_last.isoformat()}
    run_dbt(url, target, "run", "--select", "+entity_features", "+decision_daily", "--vars", json.dumps(variables))
    note_due(url, chain_id, ["entity_features"], [first + timedelta(days=day) for day in range((after_last - first).days)])
    state_due(url, prefix, "entity_features", Maker("test"), SystemClock())
    start, end = (datetime.combine(day, time(), UTC) for day in (first, after_last))
    embed_days(url, chain_id, TypedEmbedder(), prefix.size, start, end)
