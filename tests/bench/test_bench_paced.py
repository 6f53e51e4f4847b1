"""What was appended at a pace, and before and after it, is one chain that verifies; the part has its numbers and its note."""

from __future__ import annotations

import psutil

from precedent.db.embedded import EmbeddedPostgres
from precedent.ledger.verify import verify_database
from tests.bench.appends import WARM_UP
from tests.bench.paced import RATE, measure_paced


def test_paced_appends_are_one_chain_that_verifies(server: EmbeddedPostgres, database_url: str) -> None:
    part = measure_paced(database_url, psutil.Process(server.identity.pid), 0.1, 0.1)
    assert [goal.wanted for goal in part.goals] == [15, 0.9]
    assert all(goal.found > 0 for goal in part.goals)
    assert "for 0.1 s" in part.note
    report = verify_database(database_url, processes=1)
    assert report.is_intact, str(report)
    assert report.size > 0.1 * RATE + 5 * WARM_UP
