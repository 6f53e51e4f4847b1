"""What is measured of memory finds what was planted for it."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.bench import remembering
from tests.bench.stack import running_api


def test_a_decision_that_is_measured_has_its_precedents(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "CASES", 40)
    monkeypatch.setattr(remembering, "BATCH", 20)
    with running_api(tmp_path, database_url) as api:
        part = remembering.measure_memory(api, 1, 1)
    assert part.goals[0].wanted == 4
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select stored from ledger.section where not is_personal order by seq desc limit 1").fetchone()
    assert row is not None
    memory = next(json.loads(text) for text in row[0] if b'"precedents"' in text)
    assert (memory["precedents"]["count"], len(memory["precedents"]["nearest"])) == (10, 10)
